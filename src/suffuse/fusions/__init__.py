"""Fusions: what the encoders give and which of it is present -> one joint vector.

A fusion is one module that follows :class:`FusionPart`. Its docstring gives the number of its parameters as a formula,
which a test evaluates.

What stands in an absent slot (vector, tokens, token mask) changes no bit of any row's output or gradient. Where a
fusion has a share for each modality, it returns them as gates: they are 0 where a modality is absent, sum to 1, and
carry a gradient where they are learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..registry import KindTable, PartDocs, PartSettings, default, is_loaded, load_part

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..types import Encoded, Fused, Sizes

TABLE = KindTable(
    "fusions",
    PartSettings,
    {
        "concat": "suffuse.fusions.concat",
        "weighted": "suffuse.fusions.weighted",
        "softmax_gate": "suffuse.fusions.softmax_gate",
        "attention_pooling": "suffuse.fusions.attention_pooling",
        "gated": "suffuse.fusions.gated",
        "film": "suffuse.fusions.film",
        "low_rank": "suffuse.fusions.low_rank",
        "tensor": "suffuse.fusions.tensor",
        "cross_attention": "suffuse.fusions.cross_attention",
        "transformer": "suffuse.fusions.transformer",
        "bottleneck": "suffuse.fusions.bottleneck",
        "late": "suffuse.fusions.late",
        "queries": "suffuse.fusions.queries",
        "frames": "suffuse.fusions.frames",
    },
)


ANY = (1, 1000)  # modalities that a user's fusion may take whose code isn't imported: it was checked once


@dataclass(frozen=True)
class FusionDocs(PartDocs):
    """What the documentation says of a fusion."""

    use: str  # what to use it for
    absent: str  # what becomes of an absent modality


class FusionPart(Protocol):
    """The interface of a fusion's module. ``layers`` raises ValueError where the sizes can't be."""

    Settings: type[PartSettings]
    DOCS: FusionDocs
    EXAMPLES: tuple[dict[str, Any], ...] = ({},)  # small settings that together show every form of it
    TAKES: tuple[int, int]  # fewest and most modalities
    TOKENS: bool = False  # it reads tokens; a modality whose ``Sizes.tokens`` is 0 has its vector as its one token
    GATES: bool = False  # it learns a share for each modality
    HEADLESS: bool = False  # it gives logits itself, so that no head follows
    FRAMES: bool = False  # it is for targets that are sequences, and for them alone: its logits are those of frames
    LOOKS: bool = False  # it returns how a query for each target attends to the tokens
    QUERIES: tuple[str, ...] = ()  # names of its layers whose weights are learned queries, which don't decay

    def layers(self, settings: PartSettings, sizes: Sizes) -> nn.ModuleDict:
        """Its layers, with random weights."""
        ...

    def width(self, settings: PartSettings, sizes: Sizes) -> int:
        """D of the joint vector."""
        ...

    def fuse(self, settings: PartSettings, layers: nn.ModuleDict, encoded: list[Encoded], present: Tensor) -> Fused:
        """M modalities of B rows, and which of them each row has (B, M) bool -> the joint vector (B, D)."""
        ...

    @default
    def takes(self, settings: PartSettings) -> tuple[int, int]:
        """Fewest and most modalities, where settings narrow ``TAKES``."""
        return self.TAKES

    @default
    def gates(self, settings: PartSettings) -> bool:
        """Whether it learns a share for each modality, where settings may fix them."""
        return self.GATES


def load_fusion(kind: str) -> FusionPart:
    """The fusion of this kind. Raises UsageError where there is none."""
    return load_part(TABLE, kind, FusionPart)


def default_kind(modalities: int) -> str:
    """The kind of a network whose recipe names none: a transformer from three modalities on."""
    return "transformer" if modalities >= 3 else "gated"


def for_frames(settings: PartSettings) -> bool:
    """Whether it is for targets that are sequences, and for them alone."""
    return is_loaded(settings) and load_fusion(settings.kind).FRAMES


def takes(settings: PartSettings) -> tuple[int, int]:
    """Fewest and most modalities that a fusion of these settings takes."""
    return load_fusion(settings.kind).takes(settings) if is_loaded(settings) else ANY


def gates(settings: PartSettings) -> bool:
    """Whether it learns a share for each modality."""
    return not is_loaded(settings) or load_fusion(settings.kind).gates(settings)


def headless(settings: PartSettings) -> bool:
    """Whether it gives logits itself, so that no head follows."""
    return is_loaded(settings) and load_fusion(settings.kind).HEADLESS
