"""Low-rank adapters of an encoder (LoRA, Hu et al. 2022), by peft: added before a training, merged after it.

    W x + alpha / rank B A x      W fixed, A (rank, D_in) and B (D_out, rank) learn, B is 0 at first

Merging puts ``W + alpha / rank B A`` in place of W, so what is saved is an ordinary network.
"""

from __future__ import annotations

from typing import Any

from ..errors import UsageError
from ..modality_encoder import Encoder
from ..pretrained_settings import Lora
from ..registry import optional


class Adapters:
    """The adapters of one encoder. While they are there, checkpoints hold them and none of the encoder's weights."""

    def __init__(self, encoder: Encoder, lora: Lora):
        where = f"encoders.{encoder.field.name}.finetune.lora"
        targets = lora.targets or encoder.part.adapter_targets(encoder.settings, encoder.layers)
        if not targets:
            raise UsageError(
                "no attention was found in this network", where=where, got=f"kind '{encoder.settings.kind}'",
                hint="targets: [...] names the layers that get adapters",
            )  # fmt: skip
        peft: Any = optional("peft", "finetune")
        config = peft.LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(targets)
        )
        tuners: Any = optional("peft.tuners.lora", "finetune")
        try:
            self.tuner = tuners.LoraModel(encoder.layers, {"default": config}, "default")
        except (ValueError, TypeError) as error:
            raise UsageError(
                "these layers can't have adapters", where=f"{where}.targets", got=", ".join(targets),
                expected=f"names of linear or convolution layers, e.g. {_layer_names(encoder)}",
                hint=str(error).splitlines()[0][:200],
            ) from None  # fmt: skip
        self.encoder = encoder
        learned = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
        encoder.fixed = frozenset(encoder.state_dict().keys() - learned)

    def merge(self) -> None:
        """Add the adapters to the weights, which are then an ordinary network's."""
        self.tuner.merge_and_unload(progressbar=False)
        self.encoder.fixed = frozenset()
        if hasattr(self.encoder.layers, "peft_config"):  # a mark of the library's
            del self.encoder.layers.peft_config


def _layer_names(encoder: Encoder) -> str:
    """The last parts of the names of some layers that can have adapters."""
    from torch import nn

    kinds = (nn.Linear, nn.Conv2d)
    layers: Any = encoder.layers
    names = [name.rpartition(".")[2] for name, layer in layers.named_modules() if isinstance(layer, kinds)]
    return ", ".join([*dict.fromkeys(names)][:6]) or "none is there"
