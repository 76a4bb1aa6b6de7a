"""Verdicts of comparisons as sentences: gain, interval, number of seeds and rows, and what would settle it."""

from __future__ import annotations

from dataclasses import dataclass

from ..checked_json import read_checked
from ..files import read_json
from ..run import Run
from . import metric_format, scores_table
from .formatting import count
from .i18n import t

BASELINES = {
    "distillation": "the same network trained on labels only",
    "compute": "the compute-matched baseline",
}
VERDICTS = {
    "helps": "distillation helps",
    "hurts": "distillation hurts",
    "no evidence": "distillation shows no evidence of a gain",
}


@dataclass(frozen=True)
class Verdict:
    """A comparison as text."""

    verdict: str  # a key of VERDICTS
    labels: str  # the student's share of the labels
    conclusion: str
    numbers: str


def sentences(run: Run) -> list[str]:
    """A sentence for each comparison with a baseline; with all labels first."""
    metric = scores_table.main_metric_name(run)
    prefix = "" if metric == "accuracy" else f"{metric}: "
    return [f"{v.labels}, {v.conclusion} ({prefix}{v.numbers})" for v in verdicts(run)]


def verdicts(run: Run) -> list[Verdict]:
    """A verdict for each comparison with a baseline."""
    cards, texts = scores_table.scores(run), []
    comparisons = read_json(run.path("scores", "comparisons.json")) or []
    with_baseline = [c for c in comparisons if c.get("about", "distillation") in BASELINES]
    for c in sorted(with_baseline, key=lambda c: scores_table.model_order(c["who"])):
        _, _, fraction = c["who"].partition("-")
        metric = c["metric"]
        student, baseline = (
            metric_format.ascii_value(metric, cards[model]["metrics"][metric]["mean"])
            for model in (c["who"], c["against"])
        )
        interval = metric_format.ascii_interval(metric, c, run.recipe.evaluate.confidence)
        numbers = t(
            "%(student)s against %(baseline)s for %(name)s: %(gap)s, %(details)s",
            student=student,
            baseline=baseline,
            name=baseline_name(run, c.get("about", "distillation")),
            gap=metric_format.ascii_difference(metric, c["difference"]) + metric_format.difference_unit(metric),
            details=t(", ").join(filter(None, (interval, sample_size(c), tuning_trials(run)))),
        )
        share = scores_table.label_share(fraction) if fraction else ""
        labels = t("with %(share)s of the labels", share=share) if share else t("with all labels")
        texts.append(Verdict(c["verdict"], labels, t(VERDICTS[c["verdict"]]), numbers + to_settle(c)))
    return texts


def baseline_name(run: Run, about: str) -> str:
    """The baseline of a comparison; for the compute-matched one with its number of epochs."""
    name = t(BASELINES[about])
    facts = read_json(run.path("rival.json")) if about == "compute" else None
    if not facts:
        return name
    capped = t(", capped from %(wanted)s", wanted=f"{facts['wanted']:,}") if facts["capped"] else ""
    excluded = t(", without the teacher's own training") if facts["counted"] == "seconds" else ""
    return t(
        "%(name)s (%(epochs)s epochs%(further)s)", name=name, epochs=f"{facts['epochs']:,}", further=capped + excluded
    )


def to_settle(comparison: dict) -> str:
    """The end of a verdict's sentence: seeds or rows that would settle it; empty where it is settled, or where older
    scores don't hold them."""
    facts = comparison.get("settles")
    if comparison["verdict"] != "no evidence" or facts is None:
        return ""
    if facts.get("least"):
        text = t("one seed: the interval covers rows only, at least %(seeds)s seeds would tell", seeds=facts["seeds"])
    elif "seeds" not in facts and "rows" not in facts:
        text = t("a difference so small can't be settled by more seeds or rows")
    else:
        needs = [count(facts["seeds"], "seed")] if "seeds" in facts else []
        needs += [count(facts["rows"], "test row")] if "rows" in facts else []
        both = t("%(seeds)s and %(rows)s together", seeds=needs[0], rows=needs[-1]) if facts.get("together") else ""
        text = t("about %(number)s would settle it if the difference is as large as it looks",
                 number=both or t(" or ").join(needs))  # fmt: skip
    return t("; ") + text


def sample_size(comparison: dict) -> str:
    """Compared seeds, rows and groups; empty where older scores don't hold them."""
    if "rows" not in comparison:
        return ""
    seeds, rows = count(comparison["seeds"], "seed"), count(comparison["rows"], "row")
    if comparison["groups"] < comparison["rows"]:
        rows = t("%(rows)s in %(groups)s", rows=rows, groups=count(comparison["groups"], "group"))
    return t(", ").join((seeds, rows))


def tuning_trials(run: Run) -> str:
    """Trials of student and baseline where the recipe was tuned, from ``tuning.json``."""
    trials = read_checked(run.path("tuning.json"))
    if not isinstance(trials, dict) or "student" not in trials:
        return ""
    student, baseline = int(trials["student"]), int(trials.get("baseline", 0))
    text = t(
        "tuned with %(student)s trials, the baseline with %(baseline)s",
        student=f"{student:,}",
        baseline=f"{baseline:,}",
    )
    return text + (t(": not the same chance") if student > baseline else "")
