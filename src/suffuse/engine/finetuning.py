"""Fine-tuning of pretrained encoders during a training: rates by depth, gradual unfreezing, gradient checkpointing,
adapters.

    rate(depth d) = learning_rate x layer_decay^(top - d)        d from 0 (embeddings) to top (the topmost block)

Rates by depth and unfreezing from the top are those of Howard & Ruder (2018), the geometric decay is that of Clark et
al. (2020). Parameters at rest have no gradient, so the optimiser leaves them alone and no graph reaches them; their
modules are in eval mode. Which learn is a function of the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from ..errors import UsageError
from ..modality_encoder import Encoder
from ..model import FusionModel
from ..pretrained_settings import Finetune
from .adapters import Adapters


def finetuned(model: FusionModel) -> Iterator[tuple[Encoder, Finetune]]:
    """The encoders that are fine-tuned, with how."""
    for name in model.spec.names:
        encoder = model.encoder(name)
        finetune = encoder.settings.get("finetune")
        if finetune is not None:
            yield encoder, finetune


def learning_rates(model: FusionModel) -> dict[int, float]:
    """Id of each parameter that is fine-tuned -> its learning rate, which the schedule scales as all others."""
    rates: dict[int, float] = {}
    for encoder, finetune in finetuned(model):
        depths = encoder.part.depths(encoder.settings, encoder.layers)
        top = max(depths.values(), default=0)
        for name, parameter in encoder.layers.named_parameters():
            rates[id(parameter)] = finetune.rate * finetune.layer_decay ** (top - depths[name])
    return rates


class FinetunedEncoder:
    """One encoder while it is fine-tuned."""

    def __init__(self, encoder: Encoder, finetune: Finetune):
        self.encoder, self.finetune = encoder, finetune
        self.adapters = Adapters(encoder, finetune.lora) if finetune.lora else None
        if finetune.gradient_checkpointing:
            try:
                encoder.part.checkpoint_gradients(encoder.settings, encoder.layers)
            except ValueError as error:
                where = f"encoders.{encoder.field.name}.finetune.gradient_checkpointing"
                got = str(error).removeprefix("got ")
                raise UsageError(
                    "this encoder can't be trained so", where=where, got=got, hint="leave it out"
                ) from None
        depths = encoder.part.depths(encoder.settings, encoder.layers)
        self.top = max(depths.values(), default=0)
        self.learned = [(p, depths[name]) for name, p in encoder.layers.named_parameters() if p.requires_grad]

    def start_epoch(self, epoch: int) -> None:
        """Let the parameters learn that an epoch (from 0) trains, and no others."""
        lowest = self.finetune.lowest_learning(epoch, self.top)
        for parameter, depth in self.learned:
            parameter.requires_grad_(depth >= lowest)
        self.encoder.at_rest = tuple(_at_rest(self.encoder.layers))
        self.encoder.train(self.encoder.training)

    def finish(self) -> None:
        """Merge the adapters. What rested learns again if the network is trained further."""
        if self.adapters:
            self.adapters.merge()
        self.encoder.at_rest = ()


class Finetuning:
    """All fine-tuned encoders of a network. To be made before the optimiser: adapters are parameters."""

    def __init__(self, model: FusionModel):
        self.encoders = [FinetunedEncoder(encoder, finetune) for encoder, finetune in finetuned(model)]

    def start_epoch(self, epoch: int) -> None:
        """Let those parameters learn that an epoch (from 0) trains."""
        for encoder in self.encoders:
            encoder.start_epoch(epoch)

    def finish(self) -> None:
        """Make the network an ordinary one; after the training, with the weights that are kept."""
        for encoder in self.encoders:
            encoder.finish()


def _at_rest(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that have parameters of which none learns."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        yield module
    else:
        for child in module.children():
            yield from _at_rest(child)
