"""Affinity mimicking (TinyCLIP, Wu et al. 2023; MobileCLIP, Vasu et al. 2024): who is near whom, in both as a choice.

    mean over both directions of (1/B) sum_b KL(softmax_j(q_b . k_j / T) || the same of the student)

q and k are two modalities' features of length 1, or one feature with itself; then a row is not compared with itself.
A KL divergence, so 0 where both agree; its gradient is the cross-entropy's. The student's modalities are projected to
the teacher's width; the teacher's two must have one width for q . k to mean something.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field as Setting

from ...registry import PartSettings
from ...types import Output
from .. import LossDocs, Weight
from ..row_ops import answered_rows, both, exact, features, full, require_size, select_rows, taps, unit, zero_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_ROWS, HINT = 3, "use a larger batch, or kind hint: with two rows there is one neighbour to choose"

DOCS = LossDocs(
    summary=(
        "Affinity mimicking (TinyCLIP, Wu et al. 2023): affinities between rows of one feature, or between two "
        "modalities through projectors."
    ),
    example="affinity: {kind: affinity, taps: [picture, question]}",
    meaning={"en": "which rows the teacher finds near", "zh": "教师认为哪些行相近"},
    paper="Wu et al. 2023",
    formula="KL between softmaxes of cosines / T",
    projector="between two modalities",
    helps="matching images with texts",
    pitfalls="duplicates in a batch; the teacher's two modalities need the same width",
)
EXAMPLES = ({"taps": ("fused",)}, {"taps": ("picture", "question"), "temperature": 0.5})


class Settings(PartSettings):
    """One tap (``fused`` or a modality's name), or two modalities; temperature T."""

    kind: Literal["affinity"] = "affinity"
    weight: Weight = 1.0
    taps: tuple[Annotated[str, Setting(min_length=1)], ...] = Setting(
        default=("fused",),
        min_length=1,
        max_length=2,
        description="One feature (`fused` or a modality), or two modalities.",
    )
    temperature: float = Setting(default=0.1, gt=0, description="Temperature of the softmax over affinities.")


def needs(settings: Settings) -> tuple[str, ...]:
    """The teacher's features at the taps."""
    return settings.taps


def layers(settings: Settings, student: dict[str, int], teacher: dict[str, int]) -> nn.ModuleDict:
    """Of two modalities a projector each, student width -> teacher width; of one tap none."""
    from torch import nn

    widths = [taps(tap, student, teacher) for tap in settings.taps]
    if len(widths) == 1:
        return nn.ModuleDict()
    if widths[0][1] != widths[1][1]:
        got = f"the teacher's {settings.taps[0]} is {widths[0][1]} wide and its {settings.taps[1]} {widths[1][1]}"
        raise ValueError(f"{got}, expected one width; use kind cross_modal_relation, which needs none")
    return nn.ModuleDict({f"project{n}": nn.Linear(*pair) for n, pair in enumerate(widths)})


def loss(
    settings: Settings, layers: nn.ModuleDict, student: Output, teacher: dict[str, Tensor], target: Tensor
) -> Tensor:
    """Features (B, D) at the taps -> scalar, over the rows that have all of them."""
    pairs = [features(student, teacher, tap) for tap in settings.taps]
    row_mask = pairs[0][2]
    for _, f_t, has_tap in pairs[1:]:
        row_mask = answered_rows(f_t, both(row_mask, has_tap))
    rows = select_rows(row_mask, *(x for f_s, f_t, _ in pairs for x in (f_s, f_t)))
    if len(rows[0]) < MIN_ROWS:
        return zero_loss(rows[0])
    if len(pairs) == 1:
        return affinity(rows[0], rows[1], settings.temperature)
    f_s = (layers["project0"](rows[0]), layers["project1"](rows[2]))
    return affinity(f_s, (rows[1], rows[3]), settings.temperature)


def affinity(
    student: Tensor | tuple[Tensor, Tensor], teacher: Tensor | tuple[Tensor, Tensor], temperature: float
) -> Tensor:
    """One feature (B, D_s) and (B, D_t), or a pair of features of one width each, B at least 3 -> scalar (Wu et al.
    2023). UsageError with fewer rows."""
    scores_s, scores_t = _scores(student, temperature), _scores(teacher, temperature).detach()
    require_size("affinity", scores_s, MIN_ROWS, "rows", HINT)
    return (_divergence(scores_s, scores_t) + _divergence(scores_s.t(), scores_t.t())) / 2


def _scores(features: Tensor | tuple[Tensor, Tensor], temperature: float) -> Tensor:
    """(B, B); of one feature with -inf on the diagonal."""
    import torch

    q, k = (unit(exact(x)) for x in (features if isinstance(features, tuple) else (features, features)))
    with full(q):
        scores = q @ k.t() / temperature
    if isinstance(features, tuple):
        return scores
    return scores.masked_fill(torch.eye(len(q), dtype=torch.bool, device=q.device), -math.inf)


def _divergence(scores_s: Tensor, scores_t: Tensor) -> Tensor:
    """Scores (B, B), -inf where two rows aren't compared -> scalar."""
    log_p, log_q = scores_t.log_softmax(1), scores_s.log_softmax(1)
    gap = (log_p - log_q).where(log_p > -math.inf, 0.0)
    return (log_p.exp() * gap).sum(1).mean()
