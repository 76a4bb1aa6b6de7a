"""Readiness as a sentence: whether the student can be shipped by the recipe's goal, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..evaluation.readiness import (
    CHANCE,
    EXPORT,
    FLOOR,
    KEEP,
    LATENCY,
    MET,
    MISSED,
    SIZE,
    SKIPPED,
    UNKNOWN,
    judge,
)
from ..run import Run
from . import metric_format, scores_table
from .formatting import amount
from .i18n import t
from .metric_format import METRICS

MAX_INPUTS = 3  # whose absence is described
SAME, HALF = (0.95, 1.05), 0.55  # a cost beside another: about the same; at most some half, which is written as 1/N
STATES = {MET: "met", MISSED: "missed", UNKNOWN: "unknown", SKIPPED: "no target"}
CHECKS = {
    KEEP: "share of the teacher's score",
    CHANCE: "above the constant prediction",
    FLOOR: "no lower than scikit-learn",
    EXPORT: "exported file",
    SIZE: "size of the file",
    LATENCY: "median time of one row",
}
UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


@dataclass(frozen=True)
class Readiness:
    """The verdict as text, in the language in which it was written. ``rows``: check, measured, wanted, state."""

    ready: bool
    headline: str
    text: str
    sentence: str  # headline and text
    rows: list[tuple[str, str, str, str]]
    facts: dict[str, Any]


def readiness(run: Run) -> Readiness | None:
    """The verdict on a run, by the goal that its recipe has; None where no student was scored."""
    facts = judge(scores_table.scores(run), metric_format.target_kinds(run), run.recipe.goal)
    if facts is None:
        return None
    several = len(run.recipe.data.targets) > 1
    if facts["ready"]:
        clauses = [_kept(run, facts), *_inputs(facts), *_uncertain(facts)]
    else:
        clauses = [*(_failure(reason, several) for reason in _failures(facts)), *_uncertain(facts)]
    rows = [
        (_check_name(r, several), _value(r, r["measured"]), _value(r, r["wanted"]), t(STATES[r["state"]]))
        for r in facts["reasons"]
    ]
    headline, text = t("Ready") if facts["ready"] else t("Not ready"), t("; ").join(clauses)
    sentence = t("%(headline)s: %(reasons)s", headline=headline, reasons=text)
    return Readiness(facts["ready"], headline, text, sentence, rows, facts)


def bytes_text(size: float) -> str:
    """70293 -> ``70.3 kB``, 1000000 -> ``1 MB``."""
    unit, factor = next(((unit, factor) for unit, factor in UNITS if size >= factor), ("B", 1.0))
    return f"{size / factor:.1f}".removesuffix(".0") + f" {unit}"


def ratio_phrase(value: float, reference: float, noun: str) -> str:
    """A cost beside another, with ``noun`` size or time: ``1/20 of the size``, ``1.3 times the time``."""
    ratio = value / reference
    if SAME[0] < ratio < SAME[1]:
        return t(f"the same {noun}")
    if ratio > 1:
        return t(f"%(ratio)s times the {noun}", ratio=f"{ratio:.2g}")
    return t(f"%(part)s of the {noun}", part=f"1/{round(1 / ratio)}" if ratio <= HALF else f"{100 * ratio:.0f} %")


def _kept(run: Run, facts: dict[str, Any]) -> str:
    """What of the teacher's score is kept, and at which cost."""
    score, costs = facts["score"], _costs(facts["costs"])
    name = t(METRICS[score["metric"]].name)
    if score["kept"] is None:
        against = t(" against the teacher's %(score)s", score=_rough(score, "teacher")) if score["against"] else ""
        text = t("%(metric)s %(score)s", metric=name, score=_rough(score, "score")) + against
        return text + (t(", %(costs)s", costs=costs) if costs else "")
    metric = score["metric"]
    details = [metric_format.ascii_difference(metric, score["difference"]) + metric_format.difference_unit(metric)]
    if "low" in score:
        details.append(metric_format.ascii_interval(metric, score, run.recipe.evaluate.confidence))
    values = {"metric": name + metric_format.mean_note(run), "details": t(", ").join(details)}
    if score["kept"] > 1:
        text = t("exceeds the teacher's %(metric)s (%(details)s)", **values)
    else:
        text = t("keeps %(share)s of the teacher's %(metric)s (%(details)s)", share=_share(score["kept"]), **values)
    text += t(" %(costs)s", costs=costs) if costs else ""
    lead = _weakest_lead(facts)
    rest = t("; of the teacher's lead over the constant prediction it keeps %(share)s", share=lead) if lead else ""
    return text + rest


def _weakest_lead(facts: dict[str, Any]) -> str:
    """The least share that is kept of the teacher's lead over the constant prediction, where it is less than the goal
    asks of the score; else empty."""
    leads = [r["lead"] for r in facts["reasons"] if r.get("lead") is not None and r["lead"] < r["wanted"]]
    return _share(min(leads)) if leads else ""


def _costs(costs: dict[str, Any]) -> str:
    """``at 1/20 of the size and 1/5 of the time``; empty where there is nothing to compare."""
    phrases = [
        ratio_phrase(costs[own], costs[teacher], noun)
        for own, teacher, noun in (("bytes", "teacher_bytes", "size"), ("latency_ms", "teacher_latency_ms", "time"))
        if costs[own] and costs[teacher]
    ]
    if len(phrases) == 2:
        return t("at %(size)s and %(time)s", size=phrases[0], time=phrases[1])
    return t("at %(cost)s", cost=phrases[0]) if phrases else ""


def _inputs(facts: dict[str, Any]) -> Iterator[str]:
    """Which inputs the student needs, and what it falls to without them."""
    inputs = facts["inputs"]
    if not inputs:
        return
    without, needed = inputs["without"], sorted(inputs["needed"], key=lambda name: inputs["without"][name])
    if not needed:
        yield t("no single modality is indispensable")
        return
    values = {"metric": inputs["metric"]}
    falls = [
        t("%(score)s without %(name)s", score=_rough({**values, "score": without[name]}, "score"), name=name)
        for name in needed[:MAX_INPUTS]
    ]
    scores = t(", ").join(falls)
    if len(needed) < len(without):
        yield t("needs %(names)s: falls to %(scores)s", names=t(", ").join(needed), scores=scores)
    elif len(needed) == 2:
        yield t("needs both modalities: falls to %(scores)s", scores=scores)
    else:
        yield t("needs all %(number)s modalities: falls to %(scores)s", number=len(needed), scores=scores)


def _uncertain(facts: dict[str, Any]) -> Iterator[str]:
    """Where the share that is kept decides, and its interval lies on both sides of the goal."""
    missed = {reason["check"] for reason in _failures(facts)}
    if facts["settled"] is False and missed <= {KEEP}:
        yield (
            t("not certain: the interval reaches the goal, more test rows would narrow it")
            if missed
            else t("not certain: the interval reaches below the goal, more test rows would narrow it")
        )


def _failures(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Reasons that aren't met. Where nothing is exported, its size and time are no reasons of their own."""
    failed = [reason for reason in facts["reasons"] if reason["state"] in (MISSED, UNKNOWN)]
    exported = not any(reason["check"] == EXPORT for reason in failed)
    return [reason for reason in failed if exported or reason["check"] not in (SIZE, LATENCY)]


def _failure(reason: dict[str, Any], several: bool) -> str:
    """Why a check isn't met, with both values."""
    check = reason["check"]
    prefix = t("%(target)s: ", target=reason["target"]) if several and "target" in reason else ""
    if check == EXPORT:
        return t("nothing is exported")
    if reason["state"] == UNKNOWN:
        return prefix + t("%(check)s: not measured", check=t(CHECKS[check]))
    measured, wanted = _value(reason, reason["measured"]), _value(reason, reason["wanted"])
    if check == SIZE:
        return t("the file is %(measured)s, over the limit of %(wanted)s", measured=measured, wanted=wanted)
    if check == LATENCY:
        return t("one row takes %(measured)s, over the limit of %(wanted)s", measured=measured, wanted=wanted)
    metric = t(METRICS[reason["metric"]].name)
    if check == KEEP:
        values = {"metric": metric, "score": _rough(reason, "score"), "teacher": _rough(reason, "teacher")}
        text = prefix + t("%(metric)s %(score)s against the teacher's %(teacher)s", **values)
        if reason["measured"] is None:
            return text
        if measured == wanted:
            measured = f"{100 * reason['measured']:.3f} %"
        return text + t(" (%(kept)s kept, %(wanted)s wanted)", kept=measured, wanted=wanted)
    values = {"metric": metric, "measured": measured, "wanted": wanted}
    values["name"] = scores_table.model_name(reason["against"])
    if check == CHANCE:
        return prefix + t("%(metric)s %(measured)s is no better than that of the constant prediction (%(wanted)s)",
                          **values)  # fmt: skip
    return prefix + t("%(metric)s %(measured)s is lower than that of %(name)s (%(wanted)s)", **values)


def _check_name(reason: dict[str, Any], several: bool) -> str:
    name = t(CHECKS[reason["check"]])
    return t("%(name)s, %(target)s", name=name, target=reason["target"]) if several and "target" in reason else name


def _value(reason: dict[str, Any], value: Any) -> str:
    """A measured or wanted value of a check as text; a hyphen where there is none."""
    if value is None:
        return "-"
    if reason["check"] == KEEP:
        return _share(value) if value <= 1 else t("more than %(share)s", share="100 %")
    if reason["check"] == SIZE:
        return bytes_text(value)
    if reason["check"] == LATENCY:
        return f"{amount(value, 3)} ms"
    if reason["check"] == EXPORT:
        return t("yes") if value else t("no")
    return metric_format.ascii_value(reason["metric"], value)


def _share(value: float) -> str:
    """``99.9 %``; whole numbers without a decimal."""
    return _percent(value).removesuffix(".0") + " %"


def _percent(value: float) -> str:
    """``99.9``, with as many decimals as keep what is less than 100 from reading as 100."""
    texts = [f"{100 * value:.{digits}f}" for digits in (1, 2, 3)]
    return next((text for text in texts if value >= 1 or float(text) < 100), texts[-1])


def _rough(facts: dict[str, Any], key: str) -> str:
    """A score with the digits that a sentence needs."""
    value = facts[key]
    return f"{_percent(value)} %" if metric_format.is_share(facts["metric"]) else f"{value:.2f}"
