"""Settings that encoders with pretrained weights share: whether they stay as they are, or how they are fine-tuned."""

from __future__ import annotations

from pydantic import Field as Setting
from pydantic import model_validator

from .registry import PartSettings, Settings

FULL_RATE, LORA_RATE = 2e-5, 2e-4  # usual rates of pretrained weights (Devlin et al. 2019) and of adapters


class Lora(Settings):
    """Low-rank adapters (Hu et al. 2022): W x + alpha / rank B A x, where W is fixed and A, B learn."""

    rank: int = Setting(default=8, ge=1, le=1024, description="Rank of each adapter.", examples=[8])
    alpha: float = Setting(default=16.0, gt=0, description="Adapters are scaled by `alpha / rank`.", examples=[16])
    dropout: float = Setting(default=0.0, ge=0, lt=1, description="Dropout of what the adapters read.", examples=[0.1])
    targets: tuple[str, ...] = Setting(
        default=(),
        description="Names of the layers that get adapters. Default: queries and values of attention.",
        examples=[["query", "key", "value"]],
    )


class Finetune(Settings):
    """How pretrained weights go on learning."""

    learning_rate: float | None = Setting(
        default=None,
        gt=0,
        le=1,
        description="Rate of the topmost block, before the schedule of `train`. Default: 2e-5, with `lora` 2e-4.",
        examples=[2e-5],
    )
    layer_decay: float = Setting(
        default=0.9,
        gt=0,
        le=1,
        description="Each block's rate is that of the block above it times this. Embeddings have the lowest.",
        examples=[0.9],
    )
    unfreeze_after: int = Setting(
        default=1, ge=0, description="Epochs in which only the rest of the network learns.", examples=[1]
    )
    unfreeze_per_epoch: int = Setting(
        default=0,
        ge=0,
        description="So many blocks more learn with each epoch after that, from the top down. 0: all at once.",
        examples=[1],
    )
    gradient_checkpointing: bool = Setting(
        default=False,
        description="Keep only the inputs of blocks, compute the rest again for the gradient: less memory, more time.",
        examples=[True],
    )
    lora: Lora | None = Setting(
        default=None,
        description="Train low-rank adapters beside fixed weights. They are merged at the end. Extra `finetune`.",
        examples=[{"rank": 8, "alpha": 16}],
    )

    after_frozen: bool = Setting(
        default=False,
        description="It went on from a frozen encoder. Written when a model is saved; not set by hand.",
    )

    @property
    def rate(self) -> float:
        """The learning rate of the topmost block."""
        return self.learning_rate or (LORA_RATE if self.lora else FULL_RATE)

    def lowest_learning(self, epoch: int, top: int) -> int:
        """The depth of the lowest block that learns in an epoch (from 0), of blocks 0 to ``top``; ``top + 1``: none
        does. A function of the epoch alone, so a resumed training has the same one."""
        if epoch < self.unfreeze_after:
            return top + 1
        if not self.unfreeze_per_epoch:
            return 0
        return max(0, top + 1 - self.unfreeze_per_epoch * (epoch - self.unfreeze_after + 1))


class PretrainedSettings(PartSettings):
    """The base of the settings of an encoder with pretrained weights."""

    pretrained: bool = Setting(
        default=True, description="Load pretrained weights. False: the architecture with new weights."
    )
    frozen: bool = Setting(default=False, description="Don't train it; cache its vectors.")
    keep_tokens: bool = Setting(
        default=False,
        description="Of a frozen encoder: keep its tokens beside its vectors, for fusions that read tokens; float16, "
        "for each entry as many as the longest one has.",
    )
    finetune: Finetune | None = Setting(
        default=None,
        description="Train it with rates of its own ([fine-tuning](teachers.md#fine-tuning)). Default: as the rest.",
    )

    @model_validator(mode="after")
    def _sensible(self) -> PretrainedSettings:
        given = "frozen: true" if self.frozen else "finetune" if self.finetune else None
        if given and not self.pretrained:
            raise ValueError(f"got {given} with pretrained: false, expected weights that know something")
        if self.frozen and self.finetune:
            raise ValueError(
                "got finetune with frozen: true, expected one of the two: leave frozen out to train the encoder; "
                "finetune.unfreeze_after keeps it fixed for some epochs"
            )
        return self
