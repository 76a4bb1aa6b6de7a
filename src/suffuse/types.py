"""The nouns that rooms hand to each other. Shapes: B rows, M modalities, C classes, D features, L tokens.

Nothing here loads torch: tensors are named for the type checker only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

UNLABELLED = -1  # a row without a target: learns from the teacher alone, is never scored
MAP = ".map"  # after a modality's name: where its tokens are strong, see :mod:`suffuse.attention_maps`
LOOK = ".look.map"  # after a modality's name: how the fusion's queries look at its tokens
SPLIT_NAMES = {  # of a table or a folder, in lower case
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
CLASSES, LABELS, NUMBER = "classes", "labels", "number"  # what a target is: one of them, any of them, a quantity
TOKENS = "tokens"  # a sequence of units, such as a transcript
TRANSCRIPTS = "transcripts"  # a teacher's answers that are texts: what it hears, and not when
TIMED = ("audio", "sequence")  # kinds of modalities whose steps are in time: recordings
BLANK = 0  # of the outputs of each frame of a sequence, the one that stands for no unit (CTC; Graves et al. 2006)
BLANK_GAP = 30.0  # of a frame beyond a row's end: blank's logit is 0, all others are so much below


@dataclass(frozen=True, slots=True)
class Split:
    """A batch that several processes share: who of how many this is, and how many distinct entries each modality has.

    Of n things in their order each process takes a run, the first ones one more where they don't come out even. Where
    there are fewer things than processes, all compute all of them, and what the first one finds counts: so no process
    is ever without work, and none waits for one that is.
    """

    rank: int
    size: int
    entries: dict[str, int] = field(default_factory=lambda: {})  # U of the whole batch, of what is split

    def few(self, n: int) -> bool:
        """Whether all processes compute all n."""
        return n < self.size

    def counts(self, n: int) -> tuple[int, ...]:
        """How many of n count as each process's own."""
        if self.few(n):
            return (n, *[0] * (self.size - 1))
        return tuple(n // self.size + (rank < n % self.size) for rank in range(self.size))

    def own(self, n: int) -> slice:
        """Which of n this process computes."""
        if self.few(n):
            return slice(0, n)
        counts = self.counts(n)
        start = sum(counts[: self.rank])
        return slice(start, start + counts[self.rank])


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows by index. A content that several rows share stands once in ``inputs`` and is encoded once.

    ``inputs[m]`` holds the U distinct entries of modality m (uint8 pictures (U, H, W, 3), int64 tokens (U, L),
    float32 steps (U, L, F + 1)); ``index[m]`` (B,) int64 says which entry each row has. A row where m is absent
    points at entry 0 and is masked by ``present``; an entry that no row has is not there. Without an index, row i has
    entry i.
    """

    inputs: dict[str, Tensor]
    index: dict[str, Tensor]
    present: Tensor  # (B, M) bool, in the order of the schema's modalities
    target: Tensor  # (B,) int64, or (B, W) float32 as :class:`Spec` says; -1 (a number: NaN) where there is no label
    rows: Tensor  # (B,) int64, positions in the prepared columns
    complete: bool = False  # every row has every modality
    ready: frozenset[str] = frozenset()  # modalities whose entries are a frozen encoder's vectors (U, D) already
    full_present: Tensor | None = None  # (B, M) bool, present before modality dropout, where logits on it are needed
    split: Split | None = None  # ``inputs`` hold this process's entries only; the rest is of the whole batch
    train_full: bool = False  # the logits on ``full_present`` are learned from: they have a gradient, and dropout
    complementary_masks: Tensor | None = None  # (2, B, M) bool, two parts of ``present`` that are learned from as well


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder returns: one vector per entry and, where it has them, tokens with a mask."""

    vector: Tensor  # (U, D)
    tokens: Tensor | None = None  # (U, L, D)
    token_mask: Tensor | None = None  # (U, L) bool, True where the token is real
    map: Tensor | None = None  # (U, K) where they are strong, where a loss asks for it


@dataclass(frozen=True, slots=True)
class Frames:
    """What a fusion gives logits for where the target is a sequence: T frames of V outputs, along the recording of one
    modality. Each of its tokens makes ``repeat`` frames, or ``pool`` of them make one: one of the two is 1."""

    modality: int  # its place
    count: int  # T
    outputs: int  # V
    pool: int = 1
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a fusion is built for: widths of each modality's vector and tokens, and the number of outputs."""

    vectors: tuple[int, ...]  # D_m
    tokens: tuple[int, ...]  # width of each token; 0 where the encoder has none
    outputs: int  # C
    heads: tuple[int, ...] = ()  # of each target; none: they are all of one
    frames: Frames | None = None  # where the target is a sequence


class Look(NamedTuple):
    """How the queries of a fusion look at one modality's tokens."""

    weights: Tensor  # (B, Q, L)
    real: Tensor  # (B, L) bool, which tokens are


@dataclass(frozen=True, slots=True)
class Fused:
    """What a fusion returns: the joint vector and, where it has them, its gates and its own logits."""

    vector: Tensor  # (B, D)
    gates: Tensor | None = None  # (B, M) share of each modality, 0 where it is absent
    logits: Tensor | None = None  # (B, C) of a late fusion, which needs no head
    looks: tuple[Look, ...] = ()  # of each modality, where each target's query looks


@dataclass(frozen=True, slots=True)
class Head:
    """One target: what its outputs mean."""

    name: str
    kind: str  # CLASSES, LABELS, NUMBER or TOKENS
    classes: tuple[str, ...] = ()  # none of a number; of a sequence its units, whose outputs follow BLANK
    mean: float = 0.0  # of a number's training targets: outputs and stored targets are (y - mean) / std
    std: float = 1.0
    weight: float = 1.0  # share of the loss, relative to the other targets
    balance: tuple[float, ...] = ()  # class weights, where the recipe asks for them
    units: str = ""  # of a sequence: what its units are, a key of :data:`suffuse.transcripts.units.UNITS`
    frames: int = 0  # T, frames of a sequence that a model gives logits for; frames after a row's end are blank
    frame: float = 0.0  # how long a frame is: seconds of `audio`, steps of `sequence`
    length: int = 0  # L, the most units that a stored target has

    @property
    def frame_outputs(self) -> int:
        """V, outputs of one frame of a sequence: blank, then the units."""
        return len(self.classes) + 1

    @property
    def outputs(self) -> int:
        """How many of the model's outputs are its own; of a sequence T V, frame after frame."""
        return self.frames * self.frame_outputs if self.kind == TOKENS else len(self.classes) or 1

    @property
    def columns(self) -> int:
        """How many columns it has in the targets. Of a sequence 1 + L: how many units, then each unit's output in
        1..V-1, V where no training row has it."""
        return {LABELS: len(self.classes), TOKENS: 1 + self.length}.get(self.kind, 1)

    def count(self, target: Any) -> Any:
        """(N,) or (N, C) targets of this head -> how many labels they hold, over which a loss on labels is a mean; a
        sequence is one label. NumPy or torch alike."""
        if self.kind == TOKENS:
            return self.known(target).sum()
        return (target == target if self.kind == NUMBER else target != UNLABELLED).sum()

    def known(self, target: Any) -> Any:
        """(N,) or (N, C) targets of this head -> (N,) bool, which rows have one. NumPy or torch alike."""
        if self.kind == NUMBER:
            return target == target  # NaN is no number
        return (target[:, 0] if self.kind in (LABELS, TOKENS) else target) != UNLABELLED


@dataclass(frozen=True, slots=True)
class Output:
    """What a model, teacher or student, returns: logits and the named taps that losses may need."""

    logits: Tensor  # (B, C); of one head where a loss on heads is asked
    fused: Tensor | None = None  # (B, D)
    features: dict[str, Tensor] = field(default_factory=lambda: {})  # modality -> (B, D_m)
    gates: Tensor | None = None  # (B, M)
    present: dict[str, Tensor] = field(default_factory=lambda: {})  # modality -> (B,) bool, where some row lacks it
    head: Head | None = None  # whose logits these are, where a loss on heads is asked
    maps: dict[str, Tensor] = field(default_factory=lambda: {})  # modality, or tap of a look -> (B, K), where asked for
    full_logits: Tensor | None = None  # (B, C) on all modalities that the rows have, where they are needed
    is_partial: Tensor | None = None  # (B,) bool, rows seen without a modality that they have, beside ``full_logits``
    complementary_logits: tuple[Tensor, ...] = ()  # two of (B, C), on either part of what the rows have
    unimodal_logits: tuple[Tensor, ...] = ()  # M of (B, C), of each modality's own head, where the network has them


@dataclass(frozen=True, slots=True)
class Field:
    """What a model must know of one modality: its kind and the statistics of its training rows."""

    name: str
    kind: str  # a key of the modalities' table
    statistics: dict[str, Any]  # image: mean, std, size; text: vocabulary, length; steps: mean, std, features, length


@dataclass(frozen=True, slots=True)
class Spec:
    """What a model must know of the data: modalities in order, targets in order, and the training prior.

    Outputs stand side by side, head after head. So do the columns of the targets (N, W) float32; where the only
    head is one of classes, targets are (N,) int64.
    """

    fields: tuple[Field, ...]
    heads: tuple[Head, ...]
    log_prior: tuple[float, ...]  # one per output: log-prior of a class, log-odds of a label, 0 for a number

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities' names, in the order of ``Batch.present``."""
        return tuple(f.name for f in self.fields)

    @property
    def plain(self) -> bool:
        """Whether the only target is one of classes."""
        return len(self.heads) == 1 and self.heads[0].kind == CLASSES

    @property
    def outputs(self) -> int:
        """C: of all heads."""
        return sum(h.outputs for h in self.heads)

    @property
    def classes(self) -> tuple[str, ...]:
        """The outputs' names: the classes; ``target=class`` where there are several targets. Of a sequence not one
        for each output, but its frames and its units, which tell two such heads apart."""
        if self.heads[0].kind == TOKENS:
            return (f"{self.heads[0].frames} frames of {self.heads[0].frame:g}", *self.heads[0].classes)
        if self.plain:
            return self.heads[0].classes
        return tuple(f"{h.name}={c}" if c else h.name for h in self.heads for c in h.classes or ("",))

    def targets(self, target: Any) -> list[tuple[Head, Any]]:
        """Targets of NumPy or torch -> per head: (N,) int64 of classes, (N, C_h) of labels, (N,) of a number,
        (N, 1 + L) int64 of a sequence."""
        if self.plain:
            return [(self.heads[0], target)]
        by_head: list[tuple[Head, Any]] = []
        start = 0
        for head in self.heads:
            part = target[:, start : start + head.columns]
            part = part if head.kind in (LABELS, TOKENS) else part[:, 0]
            if head.kind in (CLASSES, TOKENS):
                part = part.astype("int64") if hasattr(part, "astype") else part.long()
            by_head.append((head, part))
            start += head.columns
        return by_head

    def parts(self, outputs: Any) -> list[tuple[Head, Any]]:
        """Outputs (N, C) of NumPy or torch -> per head its (N, C_h)."""
        ends = [0]
        for head in self.heads:
            ends.append(ends[-1] + head.outputs)
        return [(h, outputs[:, a:b]) for h, a, b in zip(self.heads, ends[:-1], ends[1:], strict=True)]

    def known(self, target: Any) -> Any:
        """Targets -> (N,) bool: rows that have at least one."""
        first, *others = [head.known(part) for head, part in self.targets(target)]
        for other in others:
            first = first | other
        return first

    def to_json(self) -> dict[str, Any]:
        """As plain lists and dictionaries."""
        return {
            "fields": [{"name": f.name, "kind": f.kind, "statistics": f.statistics} for f in self.fields],
            "heads": [asdict(h) for h in self.heads],
            "log_prior": [] if self.heads[0].kind == TOKENS else list(self.log_prior),  # of a sequence: all blank
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Spec:
        """The inverse of :meth:`to_json`."""
        fields = tuple(Field(f["name"], f["kind"], f["statistics"]) for f in facts["fields"])
        heads = heads_of(facts["heads"])
        is_sequence = heads[0].kind == TOKENS
        return cls(fields, heads, blank_logits(heads[0]) if is_sequence else tuple(facts["log_prior"]))


def blank_logits(head: Head) -> tuple[float, ...]:
    """(T V,) of a row without its recording: no frame has a unit."""
    frame = [-BLANK_GAP] * head.frame_outputs
    frame[BLANK] = 0.0
    return tuple(frame) * head.frames


def heads_of(facts: list[dict[str, Any]]) -> tuple[Head, ...]:
    """Heads as they stand in JSON."""
    heads: list[dict[str, Any]] = [{**h, "classes": tuple(h["classes"]), "balance": tuple(h["balance"])} for h in facts]
    return tuple(Head(**head) for head in heads)
