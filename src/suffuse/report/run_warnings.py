"""Warnings about a run: leaks between splits, a weak or overfitted teacher, fusion without gain, unused modalities."""

from __future__ import annotations

from ..files import read_json
from ..prepare import split_leaks
from ..run import Run
from . import metric_format, scores_table
from .i18n import t
from .metric_format import ascii_value
from .scores_table import model_name

LEAK_MODELS = ("teacher", "student", "baseline", "export")  # scored without the leaking rows, in a sentence
FUSION = {
    "hurts": "fusion doesn't pay here: %(model)s, with all modalities, is worse than %(single)s (%(score)s against "
    "%(single_score)s: %(numbers)s)",
    "no evidence": "fusion doesn't pay here: %(model)s, with all modalities, shows no evidence of beating %(single)s "
    "(%(score)s against %(single_score)s: %(numbers)s)",
}
OVERFITTED = (
    "the teacher knows its training rows by heart (%(training)s there, %(validation)s on validation): its answers "
    "there are nearly the labels"
)
UNUSED = "%(model)s: shuffling %(name)s among the test rows costs nothing (%(numbers)s): the model doesn't use %(name)s"
UNSURE = (
    "%(model)s: shuffling %(name)s among the test rows can't be told to cost anything (%(numbers)s): there is no "
    "evidence that the model uses %(name)s"
)
CLASSICAL = {
    "hurts": "%(model)s is worse than %(classical)s (%(score)s against %(classical_score)s: %(numbers)s): use that "
    "model, or add labels, epochs or a pretrained encoder",
    "no evidence": "%(model)s shows no evidence of beating %(classical)s (%(score)s against %(classical_score)s: "
    "%(numbers)s): that model may do",
}
CLASSICAL_SCORES = {"score": "who", "classical_score": "against"}
ASKED = "the teacher %(model)s says nothing of %(silent)s of the %(rows)s rows that it was asked about (%(reasons)s)"
REASONS = (  # why an asked teacher, or a table of transcripts, says nothing of a row, as training.json has them
    "refused", "unknown class", "malformed answer", "empty answer", "rejected by the endpoint", "no answer",
    "over the budget", "nothing to ask about", "no transcript", "units that the run doesn't have",
    "more units than its recording has frames", "confidence too low", "no confidence",
    "too many word errors against the second transcript", "no second transcript", "no recording",
    "a recording that can't be read", "a recording that is too long for the recogniser",
)  # fmt: skip
BUDGET = "budget.json"  # in the run: minutes of a time budget, and what it left out
SHORTENED = (
    "a time budget of %(minutes)s minutes shortened the trainings: %(teacher)s epochs of the teacher, %(epochs)s of "
    "%(students)s students; the recipe's first lines say what was left out"
)
NEGLIGIBLE = 0.01  # of the main metric: an interval that ends below it is no cost


def warnings(run: Run) -> list[str]:
    """All warnings."""
    return [
        *classical(run),
        *leaks(run),
        *teacher(run),
        *asked(run),
        *fusion(run),
        *unused_modalities(run),
        *budget(run),
    ]


def budget(run: Run) -> list[str]:
    """A time budget that shortened the trainings."""
    facts, recipe = read_json(run.path(BUDGET)) or {}, run.recipe
    if not facts.get("shortened"):
        return []
    teacher = str(recipe.trained.train.epochs) if recipe.trained else "-"
    values = {"teacher": teacher, "epochs": recipe.distill.train.epochs, "students": recipe.distill.num_seeds}
    return [t(SHORTENED, minutes=f"{facts['minutes']:g}", **values)]


def classical(run: Run) -> list[str]:
    """Networks without evidence that they beat the classical baseline that was best on validation rows."""
    cards, texts = scores_table.scores(run), []
    for facts in read_json(run.path("scores", "comparisons.json")) or []:
        if facts.get("about") == "classical" and facts["verdict"] != "helps":
            metric = facts["metric"]
            scores = {key: cards[facts[end]]["metrics"][metric]["mean"] for key, end in CLASSICAL_SCORES.items()}
            texts.append(
                t(CLASSICAL[facts["verdict"]], model=model_name(facts["who"]), classical=model_name(facts["against"]),
                  **{key: ascii_value(metric, score) for key, score in scores.items()},
                  numbers=_difference(run, metric, facts))
            )  # fmt: skip
    return texts


def leaks(run: Run) -> list[str]:
    """Rows in two splits, and the scores on the test rows without a leak."""
    texts = split_leaks.warning_lines(read_json(run.path("data", "leaks.json")) or {}, _translate_leak)
    cards = scores_table.scores(run)
    cards = {model: card for model, card in cards.items() if "clean" in card and model in LEAK_MODELS}
    scores = []
    for model, card in cards.items():
        metric, clean = card["main"], card["clean"]
        if "metrics" in clean:
            without, full = (ascii_value(metric, facts["metrics"][metric]["mean"]) for facts in (clean, card))
            name = model_name(model)
            scores.append(t("%(model)s %(without)s (all rows: %(full)s)", model=name, without=without, full=full))
    if cards:
        rows = next(iter(cards.values()))["clean"]["rows"]
        scored = t("; ").join(scores) or t("nothing to score")
        texts.append(t("on the %(rows)s test rows without a leak: %(scored)s", rows=f"{rows:,}", scored=scored))
    return texts


def _translate_leak(text: str, **values: object) -> str:
    return t(text, **{key: t(str(v)) if key in ("held", "other") else v for key, v in values.items()})


def teacher(run: Run) -> list[str]:
    """A teacher that is weaker than the labels-only baseline, or overfits its training rows."""
    texts, judged = [], read_json(run.path("judged.json")) or {}
    facts = read_json(run.path("teacher", "training.json")) or {}
    if judged.get("weak"):
        teacher, baseline = (ascii_value(judged["metric"], judged[key]) for key in ("teacher", "label_only"))
        texts.append(
            t("on validation the teacher is weaker than the labels-only baseline (%(teacher)s against %(baseline)s)",
              teacher=teacher, baseline=baseline)
        )  # fmt: skip
    folds = run.recipe.trained.folds if run.recipe.trained else None
    if facts.get("by_heart") and not folds:
        metric, training = next(iter(facts["training"].items()))
        validation = facts["validation"][metric]
        if training - validation >= NEGLIGIBLE:
            texts.append(
                t(OVERFITTED, training=ascii_value(metric, training), validation=ascii_value(metric, validation))
            )
    return texts


def asked(run: Run) -> list[str]:
    """Rows of which a teacher that was asked, alone or as a member of an ensemble, or a table of transcripts says
    nothing, and why."""
    texts, left = [], [read_json(run.path("teacher", "training.json")) or {}]
    while left:
        facts = left.pop(0)
        left += facts.get("members", {}).values()
        if reasons := facts.get("reasons"):
            counted = (
                f"{t(str(reason)) if reason in REASONS else reason}: {rows:,}" for reason, rows in reasons.items()
            )
            silent = f"{sum(reasons.values()):,}"
            rows = f"{facts['questioned']:,}"
            texts.append(t(ASKED, model=facts["model"], silent=silent, rows=rows, reasons=t("; ").join(counted)))
    return texts


def fusion(run: Run) -> list[str]:
    """Networks that read all modalities without evidence that they beat the best single one."""
    cards, texts = scores_table.scores(run), []
    comparisons = read_json(run.path("scores", "comparisons.json")) or []
    comparisons = [c for c in comparisons if c.get("about") == "fusion"]

    def mean(comparison: dict, end: str) -> float:
        return cards[comparison[end]]["metrics"][comparison["metric"]]["mean"]

    for model in dict.fromkeys(c["who"] for c in comparisons):
        best = max((c for c in comparisons if c["who"] == model), key=lambda c: mean(c, "against"))
        if best["verdict"] != "helps":
            metric = best["metric"]
            names = {"model": model_name(model), "single": model_name(best["against"])}
            scores = {"score": mean(best, "who"), "single_score": mean(best, "against")}
            values = {**names, **{key: ascii_value(metric, score) for key, score in scores.items()}}
            texts.append(t(FUSION[best["verdict"]], **values, numbers=_difference(run, metric, best)))
    return texts


def unused_modalities(run: Run) -> list[str]:
    """Modalities that can be shuffled at no cost."""
    texts = []
    for model, card in scores_table.scores(run).items():
        results = card.get("controls") or {}
        for modality, facts in results.get("modalities", {}).items():
            cost = facts["shuffled"]["cost"]
            if cost["low"] <= 0:
                text = UNUSED if cost["high"] < NEGLIGIBLE else UNSURE
                numbers = _difference(run, results["metric"], cost)
                texts.append(t(text, model=model_name(model), name=modality, numbers=numbers))
    return texts


def _difference(run: Run, metric: str, facts: dict) -> str:
    difference = metric_format.ascii_difference(metric, facts["difference"]) + metric_format.difference_unit(metric)
    return t(", ").join((difference, metric_format.ascii_interval(metric, facts, run.recipe.evaluate.confidence)))
