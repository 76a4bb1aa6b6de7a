"""Whether the frozen or the fine-tuned teacher was kept, and by which scores."""

from __future__ import annotations

from typing import Any

from ..engine.frozen_first import KEY
from ..engine.seed_selection import selection_score
from ..files import read_json
from ..run import Run
from . import metric_format
from .i18n import t

FINETUNED_KEPT = (
    "the fine-tuned teacher is kept: %(finetuned)s on validation rows, %(frozen)s with frozen encoders (%(metric)s)"
)
FROZEN_KEPT = (
    "the teacher with frozen encoders is kept: %(frozen)s on validation rows, %(finetuned)s after fine-tuning "
    "(%(metric)s)"
)


def finetuning_choice(facts: dict[str, Any]) -> str:
    """The sentence about ``training.json`` of a teacher with ``frozen_first``; empty of another one."""
    tried = facts.get(KEY)
    if not tried:
        return ""
    metric = next(iter(tried["frozen"]))
    scores = {name: metric_format.ascii_value(metric, selection_score(tried[name])) for name in ("frozen", "finetuned")}
    sentence = FINETUNED_KEPT if tried["kept"] == "finetuned" else FROZEN_KEPT
    return t(sentence, **scores, metric=t(metric_format.METRICS[metric].name))


def teacher_choice(run: Run) -> str:
    """The same of a run's teacher."""
    return finetuning_choice(read_json(run.path("teacher", "training.json")) or {})
