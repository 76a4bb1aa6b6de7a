"""Any image network of timm (Wightman 2019): (U, 3, H, W) -> (U, D), its own pooled features.

``name`` is a name of timm's (``resnet18.a1_in1k``), a folder with ``config.json`` and ``model.safetensors`` as timm
saves it, or such a folder in a package (``package:NAME``). Nothing is downloaded: the weights of a name must lie in
the Hugging Face cache (``hf download timm/NAME``). timm is Apache-2.0; weights have licences of their own.
Pictures are normalised as the weights were trained.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field as Setting

from ..errors import UsageError, did_you_mean
from ..files import PACKAGE, absolute_file, package_file
from ..pretrained_settings import PretrainedSettings
from ..registry import PartDocs, optional
from ..types import Encoded, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("image",)
OURS = ("num_classes", "img_size", "in_chans")  # arguments that a folder doesn't decide

DOCS = PartDocs(
    summary="Any image network of timm: (U, 3, H, W) to (U, D). Extra `timm`.",
    example="photo: {kind: timm, name: mobilenetv3_small_100.lamb_in1k, frozen: true}",
)


class Settings(PretrainedSettings):
    """Which network, and whether it learns."""

    kind: Literal["timm"] = "timm"
    FILES: ClassVar = ("name",)
    name: str = Setting(description="A model's name, a folder, or `package:NAME`.")
    architecture: dict[str, Any] | None = Setting(
        default=None, description="The resolved architecture. Written when a model is saved; not set by hand."
    )

    def placed(self, base: Path) -> Settings:
        """A folder's path from ``base``; other names stay names."""
        here = not self.name.startswith(PACKAGE) and (base / self.name).is_dir()
        return self.model_copy(update={"name": absolute_file(self.name, base)}) if here else self


def resolved(settings: Settings) -> Settings:
    """The same settings with what stands in the folder, or in timm's own list, written in.

    Raises ValueError where timm has no such network.
    """
    if settings.architecture is not None:
        return settings
    timm = optional("timm", "timm")
    if _is_folder(settings.name):
        config = json.loads(package_file(settings.name, "config.json").read_text(encoding="utf-8"))
        name, trained = config["architecture"], config.get("pretrained_cfg", {})
        options = {k: v for k, v in (config.get("model_args") or {}).items() if k not in OURS}
    else:
        name, options = settings.name, {}
        if not timm.is_model(name):
            raise ValueError(f"got name '{name}', {did_you_mean(name.partition('.')[0], timm.list_models())}")
        found = timm.get_pretrained_cfg(name, allow_unregistered=False)
        trained = found.to_dict() if found else {}
    mean, std = list(trained.get("mean") or [0.485, 0.456, 0.406]), list(trained.get("std") or [0.229, 0.224, 0.225])
    fixed = bool(trained.get("fixed_input_size"))
    facts = {"name": name, "options": options, "mean": mean, "std": std, "fixed": fixed}
    return settings.model_copy(update={"architecture": facts})


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: of the network's pooled features."""
    return layers["body"].head_hidden_size  # pyright: ignore


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the features at each place."""
    return layers["body"].num_features  # pyright: ignore


def normalised(settings: Settings, layers: nn.ModuleDict) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel that the weights were trained with."""
    assert settings.architecture
    return settings.architecture["mean"], settings.architecture["std"]


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The network without its classifier."""
    from torch import nn

    body = _create(settings, field)
    if getattr(getattr(body, "patch_embed", None), "num_patches", 1) == 0:
        raise ValueError(f"got {field.statistics['size']} pixels, expected a whole patch of {settings.name} at least")
    return nn.ModuleDict({"body": body})


def initialise(settings: Settings, layers: nn.ModuleDict, field: Field) -> str:
    """The pretrained weights, fitted by timm to pictures of this size."""
    if not settings.pretrained:
        return ""
    file = _weights(settings)
    overlay = {"file": str(file), "hf_hub_id": None, "url": "", "custom_load": False}  # no archive of numpy's
    if _is_folder(settings.name):
        facts = json.loads(package_file(settings.name, "config.json").read_text(encoding="utf-8"))
        overlay |= {k: facts.get("pretrained_cfg", facts).get(k, facts.get(k)) for k in ("num_classes",)}
    body = _create(settings, field, pretrained=True, pretrained_cfg_overlay=overlay)
    layers["body"].load_state_dict(body.state_dict())
    return f"weights of {settings.name}"


def depths(settings: Settings, layers: nn.ModuleDict) -> dict[str, int]:
    """How deep each parameter lies, by the network's own groups in timm."""
    body: Any = layers["body"]
    group: Any = optional("timm.models", "timm").group_parameters
    return {f"body.{name}": depth for name, depth in group(body, body.group_matcher(), reverse=True).items()}


def checkpoint_gradients(settings: Settings, layers: nn.ModuleDict) -> None:
    """Compute blocks again for the gradient. Raises ValueError where timm can't for this network."""
    body: Any = layers["body"]
    try:
        body.set_grad_checkpointing(True)
    except (AssertionError, AttributeError):
        raise ValueError(f"got gradient_checkpointing for {settings.name}, for which timm has none") from None


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, 3, H, W) float -> vector (U, D), tokens (U, T, features)."""
    import torch

    body: Any = layers["body"]
    found = body.forward_features(x)
    vector = body.forward_head(found)
    if found.ndim == 4:  # (U, C, H, W), or (U, H, W, C) as Swin has it
        found = found.flatten(2).transpose(1, 2) if found.shape[1] == body.num_features else found.flatten(1, 2)
    return Encoded(vector, found, torch.ones_like(found[:, :, 0], dtype=torch.bool))


def _create(settings: Settings, field: Field, **options: Any) -> nn.Module:
    timm, facts = optional("timm", "timm"), settings.architecture
    assert facts
    sized = {"img_size": field.statistics["size"]} if facts["fixed"] else {}
    try:
        return timm.create_model(facts["name"], num_classes=0, **facts["options"], **sized, **options)
    except (AssertionError, RuntimeError, TypeError) as error:
        raise ValueError(f"got {settings.name}, which timm refuses: {str(error).splitlines()[0][:200]}") from None


def _is_folder(name: str) -> bool:
    return name.startswith(PACKAGE) or Path(name).is_dir()


def _weights(settings: Settings) -> Path:
    """The file with the weights: in the folder, or in the Hugging Face cache."""
    if _is_folder(settings.name):
        return package_file(settings.name, "model.safetensors")
    hub = optional("huggingface_hub", "timm").try_to_load_from_cache
    trained = optional("timm", "timm").get_pretrained_cfg(settings.name)
    source = trained.hf_hub_id if trained else None
    found = hub(source, "model.safetensors") if source else None
    if not isinstance(found, str):
        hint = f"`hf download {source}` fetches them" if source else "pretrained: false trains it from new weights"
        raise UsageError("these weights aren't on this machine", got=settings.name, hint=hint)
    return Path(found)
