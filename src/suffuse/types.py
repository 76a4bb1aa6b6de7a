"""The nouns that rooms hand to each other. Shapes: B rows, M modalities, C classes, D features, L tokens.

Nothing here loads torch: tensors are named for the type checker only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

UNLABELLED = -1  # a row without a target: learns from the teacher alone, is never scored


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows by index. A content that several rows share stands once in ``inputs`` and is encoded once.

    ``inputs[m]`` holds the U distinct entries of modality m (uint8 pictures (U, H, W, 3), int64 tokens
    (U, L)); ``index[m]`` (B,) int64 says which entry each row has. A row where m is absent points at entry 0
    and is masked by ``present``; an entry that no row has is not there. Without an index, row i has entry i.
    """

    inputs: dict[str, Tensor]
    index: dict[str, Tensor]
    present: Tensor  # (B, M) bool, in the order of the schema's modalities
    target: Tensor  # (B,) int64; -1 where there is no label
    rows: Tensor  # (B,) int64, positions in the prepared columns
    complete: bool = False  # every row has every modality


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder returns: one vector per entry and, where it has them, tokens with a mask."""

    vector: Tensor  # (U, D)
    tokens: Tensor | None = None  # (U, L, D)
    token_mask: Tensor | None = None  # (U, L) bool, True where the token is real


@dataclass(frozen=True, slots=True)
class Fused:
    """What a fusion returns: the joint vector and, where it has them, its gates."""

    vector: Tensor  # (B, D)
    gates: Tensor | None = None  # (B, M) share of each modality, 0 where it is absent


@dataclass(frozen=True, slots=True)
class Output:
    """What a model, teacher or student, returns: logits and the named taps that losses may need."""

    logits: Tensor  # (B, C)
    fused: Tensor | None = None  # (B, D)
    features: dict[str, Tensor] = field(default_factory=dict)  # modality -> (B, D_m)
    gates: Tensor | None = None  # (B, M)
    present: dict[str, Tensor] = field(default_factory=dict)  # modality -> (B,) bool, where some row lacks it


@dataclass(frozen=True, slots=True)
class Field:
    """What a model must know of one modality: its kind and the statistics of its training rows."""

    name: str
    kind: str  # a key of the modalities' table
    statistics: dict  # image: mean, std, size; text: vocabulary, length


@dataclass(frozen=True, slots=True)
class Spec:
    """What a model must know of the data: modalities in order, classes, and the training log-prior."""

    fields: tuple[Field, ...]
    classes: tuple[str, ...]
    log_prior: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities' names, in the order of ``Batch.present``."""
        return tuple(f.name for f in self.fields)

    def to_json(self) -> dict:
        """As plain lists and dictionaries."""
        return {
            "fields": [{"name": f.name, "kind": f.kind, "statistics": f.statistics} for f in self.fields],
            "classes": list(self.classes),
            "log_prior": list(self.log_prior),
        }

    @classmethod
    def from_json(cls, facts: dict) -> Spec:
        """The inverse of :meth:`to_json`."""
        fields = tuple(Field(f["name"], f["kind"], f["statistics"]) for f in facts["fields"])
        return cls(fields, tuple(facts["classes"]), tuple(facts["log_prior"]))
