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
    "faster": "distillation is faster",
    "hurts": "distillation hurts",
    "no evidence": "distillation shows no evidence of a gain",
}
SETTLED = {
    "no lead": "settled: no lead on validation rows",
    "trained": "settled: the baseline has learned its training rows as well",
    "longer": "settled: the baseline stops rising at %(epochs)s epochs",
    "rising": "not settled: the baseline still rises at %(epochs)s epochs",
    "off": "not settled: longer baselines are switched off (distill.baseline.epochs)",
    "unknown": "not settled: no record of how the baseline converged",
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


def compared(run: Run) -> list[dict]:
    """The comparisons with a baseline; with all labels first."""
    comparisons = read_json(run.path("scores", "comparisons.json")) or []
    with_baseline = [c for c in comparisons if c.get("about", "distillation") in BASELINES]
    return sorted(with_baseline, key=lambda c: scores_table.model_order(c["who"]))


def verdicts(run: Run) -> list[Verdict]:
    """A verdict for each comparison with a baseline."""
    cards, texts = scores_table.scores(run), []
    for c in compared(run):
        fraction, metric = scores_table.fraction_of(c["who"]), c["metric"]
        models = (c["who"], c["against"], *(length["against"] for length in c.get("longer", ())))
        scores = {m: metric_format.ascii_value(metric, cards[m]["metrics"][metric]["mean"]) for m in models}
        gain = stated(c)
        interval = metric_format.ascii_interval(metric, gain, run.recipe.evaluate.confidence)
        details = (interval, sample_size(c), adjusted_p(gain), tuning_trials(run))
        difference = t(
            "%(gap)s, %(details)s",
            gap=metric_format.ascii_difference(metric, gain["difference"]) + metric_format.difference_unit(metric),
            details=t(", ").join(filter(None, details)),
        )
        share = scores_table.label_share(fraction) if fraction else ""
        labels = t("with %(share)s of the labels", share=share) if share else t("with all labels")
        numbers = t("%(scores)s: %(difference)s", scores=scores_text(run, c, scores), difference=difference)
        notes = (to_settle(c), settled_text(c), seeds_added(c), teachers_text(c))
        texts.append(Verdict(c["verdict"], labels, t(VERDICTS[c["verdict"]]), numbers + "".join(notes)))
    return texts


def stated(comparison: dict) -> dict:
    """The comparison whose difference the sentence states: for *helps* the one with the baseline that comes closest to
    the student, of whatever length; else the one of equal length."""
    if comparison["verdict"] != "helps" or not comparison.get("longer"):
        return comparison
    closest = min((comparison, *comparison["longer"]), key=lambda length: length["difference"])
    return {**comparison, **closest, "p_adjusted": comparison["p_every_length"]}


def scores_text(run: Run, comparison: dict, scores: dict[str, str]) -> str:
    """The scores of a comparison in words. ``scores``: model -> its score as text."""
    student, baseline = scores[comparison["who"]], scores[comparison["against"]]
    longer, epochs = comparison.get("longer") or [], comparison.get("epochs")
    closest = stated(comparison)["against"]
    if closest != comparison["against"]:
        best = next(length for length in longer if length["against"] == closest)
        values = {"student": student, "baseline": baseline, "first": comparison["baseline_epochs"]}
        values |= {"score": scores[closest], "epochs": best["epochs"], "name": t(BASELINES["distillation"])}
        return t("%(student)s against %(score)s for %(name)s with %(epochs)s epochs, %(baseline)s with %(first)s",
                 **values)  # fmt: skip
    if comparison["verdict"] != "faster" or not epochs:
        name = baseline_name(run, comparison.get("about", "distillation"))
        own = comparison.get("baseline_epochs")
        name += t(" (%(epochs)s epochs)", epochs=own) if own and own != epochs and not longer else ""
        text = t("%(student)s against %(baseline)s for %(name)s", student=student, baseline=baseline, name=name)
        last = longer[-1] if longer else None
        further = {"epochs": last["epochs"], "score": scores[last["against"]]} if last else {}
        return text + (t(", %(score)s for it with %(epochs)s epochs", **further) if last else "")
    values = {"student": student, "baseline": baseline, "epochs": epochs}
    if not longer:
        values["longer"] = comparison["baseline_epochs"]
        return t("reaches %(student)s in %(epochs)s epochs, the labels-only baseline %(baseline)s in %(longer)s",
                 **values)  # fmt: skip
    last = enough_epochs(comparison) if comparison["settled"] else longer[-1]
    values |= {"longer": last["epochs"], "score": scores[last["against"]], "first": comparison["baseline_epochs"]}
    if comparison["settled"]:
        return t("reaches %(student)s in %(epochs)s epochs; the labels-only baseline needs %(longer)s (%(score)s), and "
                 "has %(baseline)s after %(first)s", **values)  # fmt: skip
    return t("reaches %(student)s in %(epochs)s epochs; the labels-only baseline has %(score)s after %(longer)s and "
             "still rises, and %(baseline)s after %(first)s", **values)  # fmt: skip


def enough_epochs(comparison: dict) -> dict:
    """The shortest of the longer baselines whose mean score is the student's or higher; else the longest."""
    return next((length for length in comparison["longer"] if length["difference"] <= 0), comparison["longer"][-1])


def settled_text(comparison: dict) -> str:
    """The end of a verdict's sentence: whether the baseline was trained long enough, and whether it may be longer;
    empty where older scores don't hold that."""
    why = comparison.get("why")
    if why is None:
        return ""
    longest = comparison["longer"][-1]["epochs"] if comparison["longer"] else 0
    text = t("; ") + (t(SETTLED[why], epochs=longest) if "%(" in SETTLED[why] else t(SETTLED[why]))
    off = why != "off" and comparison.get("automatic") is False
    return text + (t("; longer baselines are switched off (distill.baseline.epochs)") if off else "")


def seeds_added(comparison: dict) -> str:
    """The end of a verdict's sentence where fewer seeds had a verdict before."""
    earlier = comparison.get("earlier_seeds")
    if not earlier:
        return ""
    seeds = t(", ").join(map(str, earlier))
    return t("; seeds were added after a verdict with %(seeds)s: it is wrong more often than stated", seeds=seeds)


def teachers_text(comparison: dict) -> str:
    """The end of a verdict's sentence: how many teachers the seeds learn from. The luck of a single one is in no
    interval. Empty where older scores don't hold that."""
    teachers = comparison.get("teachers")
    if teachers is None:
        return ""
    return t("; ") + (t("taught by one teacher") if teachers == 1 else t("a teacher for each seed"))


def adjusted_p(comparison: dict) -> str:
    """``p 0.012 of 2 verdicts``: adjusted for their number; empty where there is none."""
    p, family = comparison.get("p_adjusted"), comparison.get("family", 1)
    if p is None:
        return ""
    text = p_text(p)
    return t("p %(p)s adjusted for %(family)s verdicts", p=text, family=family) if family > 1 else f"p {text}"


def p_text(p: float | None) -> str:
    """``0.012``; ``<0.0001``; a hyphen where there is none."""
    if p is None:
        return "-"
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


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
