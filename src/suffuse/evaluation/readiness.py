"""Readiness: whether a student meets the recipe's goal, judged from scorecards alone.

    keep        its score is at least ``goal.keep`` times the teacher's, for each target. The scores are accuracy,
                micro-F1 and R2, where higher is better; the share kept of a number is that of R2, and never a ratio of
                errors. A teacher of 0 or less, which only R2 can have, must be reached itself
    chance      it scores above the constant prediction (``majority``), for each target
    floor       it scores no lower than the classical baseline that is best on validation rows, for each target
    export      there is an exported file
    size        that file has at most ``goal.size`` bytes
    latency_ms  its median time for one row, on one thread, is at most ``goal.latency_ms``

The model is the exported file in its default form; without one the mean over the student's seeds. A plain ratio hides
how little a rare class leaves to learn: ``lead`` is the share that is kept of the teacher's lead over the constant
prediction. It is reported and not judged; ``chance`` and ``floor`` are what a model without use of its inputs fails.

The states are those of point estimates. ``settled``: whether the interval of the difference lies on the same side of
the goal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..activations import MAIN, main_metric
from ..recipe import Goal
from ..types import Head

MET, MISSED, UNKNOWN, SKIPPED = "met", "missed", "unknown", "skipped"
KEEP, CHANCE, FLOOR, EXPORT, SIZE, LATENCY = "keep", "chance", "floor", "export", "size", "latency_ms"
NEEDED = 0.01  # of the main metric: an input that costs less when it is missing isn't needed
Cards = Mapping[str, Mapping[str, Any]]
Reason = dict[str, Any]


def judge(cards: Cards, heads: Sequence[Head], goal: Goal) -> dict[str, Any] | None:
    """The verdict, the reasons with measured and wanted values, and what the first screen states; None where no student
    was scored. ``cards``: model -> scorecard; ``heads``: the targets, names and kinds alone."""
    model = next((name for name in ("export", "student") if name in cards), None)
    if model is None:
        return None
    reasons: list[Reason] = []
    for head in heads:
        metric = MAIN[head.kind]
        key = metric if len(heads) == 1 else f"{head.name}:{metric}"
        reasons += [
            {"check": check, "target": head.name, "metric": metric, **facts}
            for check, facts in _target_checks(cards, model, (head.name, key), goal)
        ]
    reasons += _export_checks(cards, model, goal)
    settled = [reason["settled"] for reason in reasons if reason.get("settled") is not None]
    return {
        "ready": all(reason["state"] in (MET, SKIPPED) for reason in reasons),
        "settled": all(settled) if settled else None,
        "model": model,
        "goal": goal.model_dump(mode="json"),
        "reasons": reasons,
        "score": _overall(cards, model, heads),
        "costs": _costs(cards, model),
        "inputs": _inputs(cards[model]),
    }


def best_classical(cards: Cards) -> str:
    """The classical baseline with all labels that is best on validation rows; "" where there is none."""
    scores = {
        name: next(iter(card["classical"]["validation"].values()))
        for name, card in cards.items()
        if name == "classical" or name.startswith("classical-only-")
    }
    return max(scores, key=lambda name: scores[name], default="")


def share_kept(score: float, teacher: float) -> float | None:
    """The share of the teacher's score; None where that is 0 or less, or nothing was scored."""
    return score / teacher if teacher > 0 and math.isfinite(score) else None


def _target_checks(
    cards: Cards, model: str, target: tuple[str, str], goal: Goal
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The checks of one target's score. ``target``: its name, and the key of its main metric."""
    score = _mean(cards, model, target[1])
    yield KEEP, _keep(cards, model, target, goal.keep)
    for check, reference in ((CHANCE, "majority"), (FLOOR, best_classical(cards))):
        if reference not in cards:
            continue
        wanted = _mean(cards, reference, target[1])
        state = _state(score > wanted if check == CHANCE else score >= wanted, score - wanted)
        yield check, {"state": state, "measured": score, "wanted": wanted, "against": reference}


def _keep(cards: Cards, model: str, target: tuple[str, str], keep: float | None) -> dict[str, Any]:
    """Score and teacher's score, the share kept, and whether that is enough."""
    pair = _pair(cards, model, *target)
    if pair is None or keep is None:
        return {"state": SKIPPED, "measured": None, "wanted": keep, **(pair or {"against": None})}
    score, teacher = pair["score"], pair["teacher"]
    allowed = -(1 - keep) * max(teacher, 0.0)  # the lowest difference that keeps enough
    is_met = score - teacher >= allowed - 1e-12
    settled = None
    if all(math.isfinite(pair.get(end, math.nan)) for end in ("low", "high")):
        settled = pair["low"] >= allowed if is_met else pair["high"] < allowed
    chance = _mean(cards, "majority", target[1]) if "majority" in cards else math.nan
    lead = (score - chance) / (teacher - chance) if teacher > chance else None
    return {"state": _state(is_met, score - teacher), "measured": share_kept(score, teacher), "wanted": keep, **pair,
            "lead": lead, "settled": settled}  # fmt: skip


def _state(is_met: bool, difference: float) -> str:
    """``unknown`` where one of the scores is undefined."""
    return (MET if is_met else MISSED) if math.isfinite(difference) else UNKNOWN


def _pair(cards: Cards, model: str, target: str, key: str) -> dict[str, Any] | None:
    """Both scores and their difference: of ``retention``, else of the metrics, which have no paired interval."""
    facts = cards[model].get("retention")
    for entry in (facts or {}).get("targets", ()):
        if facts and entry["target"] == target:
            numbers = {name: entry[name] for name in ("score", "teacher", "difference", "low", "high")}
            return {"against": facts["against"], "rows": facts["rows"], **numbers}
    teacher = next((name for name in ("ensemble", "teacher") if name in cards), None)
    if teacher is None:
        return None
    score, base = _mean(cards, model, key), _mean(cards, teacher, key)
    return {"against": teacher, "score": score, "teacher": base, "difference": score - base}


def _export_checks(cards: Cards, model: str, goal: Goal) -> Iterator[Reason]:
    """The checks of the exported file."""
    exported = model == "export"
    yield {"check": EXPORT, "state": MET if exported else UNKNOWN, "measured": exported, "wanted": True}
    costs = _costs(cards, model)
    for check, limit, key in ((SIZE, goal.size, "bytes"), (LATENCY, goal.latency_ms, "latency_ms")):
        measured = costs[key]
        state = UNKNOWN if measured is None else MET if limit is None or measured <= limit else MISSED
        yield {"check": check, "state": SKIPPED if limit is None else state, "measured": measured, "wanted": limit}


def _overall(cards: Cards, model: str, heads: Sequence[Head]) -> dict[str, Any]:
    """Score and teacher's score over all targets, and the share kept."""
    metric, name = main_metric(heads), heads[0].name if len(heads) == 1 else ""
    pair = _pair(cards, model, name, metric) or {"against": None, "score": _mean(cards, model, metric)}
    kept = share_kept(pair["score"], pair["teacher"]) if "teacher" in pair else None
    return {"metric": metric, "kept": kept, **pair}


def _costs(cards: Cards, model: str) -> dict[str, Any]:
    """Bytes and milliseconds of the exported file and of the teacher; None where they aren't known."""
    card, teacher = cards[model] if model == "export" else {}, cards.get("teacher", {})
    return {
        "bytes": card.get("bytes"),
        "teacher_bytes": teacher.get("bytes"),
        "latency_ms": (card.get("latency_ms") or {}).get("p50"),
        "teacher_latency_ms": (teacher.get("latency_ms") or {}).get("p50"),
    }


def _inputs(card: Mapping[str, Any]) -> dict[str, Any] | None:
    """Score with all inputs and without each, and the inputs that are needed; None with one input, or where that wasn't
    measured."""
    facts = card.get("missing")
    names = max(((facts or {}).get("subsets") or {"": 0}), key=lambda title: title.count("+")).split("+")
    if not facts or len(names) < 2:
        return None
    subsets, without = facts["subsets"], {}
    for name in names:
        without[name] = subsets["+".join(other for other in names if other != name)]
    needed = [n for n, f in without.items() if f["cost"]["high"] < 0 and f["cost"]["difference"] <= -NEEDED]
    return {
        "metric": facts["metric"],
        "all": subsets["+".join(names)]["mean"],
        "without": {name: f["mean"] for name, f in without.items()},
        "needed": needed,
    }


def _mean(cards: Cards, model: str, key: str) -> float:
    """NaN where the metric wasn't scored."""
    mean = (cards[model]["metrics"].get(key) or {}).get("mean")
    return math.nan if mean is None else float(mean)
