"""What each modality is worth, scores of parts of the test rows, and warnings: for the terminal and the page alike."""

from __future__ import annotations

from ..files import read_json
from ..prepare import split_leaks as found_leaks
from ..run import Run
from . import metric_names, scores_table
from .i18n import t
from .label_curve_section import curve
from .metric_names import METRICS
from .text_table import Block

SCORED = ("teacher", "student", "baseline", "export")  # without the rows that leak, in a sentence
FUSION = {
    "hurts": "fusion doesn't pay here: %(ours)s, with all modalities, is worse than %(theirs)s (%(first)s against "
    "%(second)s: %(numbers)s)",
    "no evidence": "fusion doesn't pay here: %(ours)s, with all modalities, shows no evidence of beating %(theirs)s "
    "(%(first)s against %(second)s: %(numbers)s)",
}
BY_HEART = (
    "the teacher knows its training rows by heart (%(seen)s there, %(unseen)s on validation): its answers there are "
    "nearly the labels"
)
UNUSED = "%(model)s: shuffling %(name)s among the test rows costs nothing (%(numbers)s): the model doesn't use %(name)s"
UNSURE = (
    "%(model)s: shuffling %(name)s among the test rows can't be told to cost anything (%(numbers)s): there is no "
    "evidence that the model uses %(name)s"
)
SMALL = 0.01  # of the main metric: an interval that ends below it says that shuffling costs nothing


def blocks(run: Run) -> list[list[str]]:
    """What the terminal shows of it, as lines of text."""
    found = [*parts(run), *(block for block in (curve(run), controls(run)) if block)]
    return [[block.title, *scores_table.aligned([block.headings, *block.rows])] for block in found]


def controls(run: Run, intervals: bool = False) -> Block | None:
    """Teacher and student with each modality blank, and shuffled among the test rows; what is lost with its interval
    where there is room for it."""
    rows, metric = [], "accuracy"
    for who, card in scores_table.scores(run).items():
        found = card.get("controls")
        if found:
            metric = found["metric"]
            full = metric_names.value(metric, card["metrics"][metric]["mean"])
            for name, one in found["modalities"].items():
                cells = [_control(metric, one[c], intervals) for c in ("blank", "shuffled")]
                rows.append((scores_table.name(who), name, full, *cells))
    as_is = t("%(metric)s as it is", metric=t(METRICS[metric].name))
    headings = (t("model"), t("modality"), as_is, t("blank"), t("shuffled"))
    return Block(t("What each modality is worth"), headings, rows) if rows else None


def parts(run: Run) -> list[Block]:
    """For each column of ``evaluate.by``: every model's main metric on the rows of each of its values."""
    cards = {who: card for who, card in scores_table.scores(run).items() if card.get("by")}
    blocks = []
    for column in run.recipe.evaluate.by:
        found = {who: card["by"][column] for who, card in cards.items() if column in card["by"]}
        if found:
            named = {value: f"{value} ({part['rows']:,})" for value, part in next(iter(found.values())).items()}
            metric = metric_names.main_of(run)
            rows = [
                (scores_table.name(who), *(_part(metric, one[value]) for value in named)) for who, one in found.items()
            ]
            title = t("%(metric)s by %(column)s", metric=t(METRICS[metric].name), column=column.replace("_", " "))
            blocks.append(Block(title[0].upper() + title[1:], (t("model"), *named.values()), rows))
    return blocks


def warnings(run: Run) -> list[str]:
    """Where the teacher is weaker than its student or knows its rows by heart, where the modalities together are no
    better than the best one alone, and where a model doesn't use one."""
    return [*leaks(run), *teacher(run), *fusion(run), *unused(run)]


def leaks(run: Run) -> list[str]:
    """What stands in two splits, and what models score on the test rows that nothing gives away."""
    lines = found_leaks.warning_lines(read_json(run.path("data", "leaks.json")) or {}, _leak)
    cards = {who: card for who, card in scores_table.scores(run).items() if "clean" in card and who in SCORED}
    found = []
    for who, card in cards.items():
        metric, facts = card["main"], card["clean"]
        if "metrics" in facts:
            without, full = (metric_names.value(metric, one["metrics"][metric]["mean"]) for one in (facts, card))
            found.append(
                t(
                    "%(model)s %(without)s (all rows: %(full)s)",
                    model=scores_table.name(who),
                    without=without,
                    full=full,
                )
            )
    if cards:
        rows = next(iter(cards.values()))["clean"]["rows"]
        scored = t("; ").join(found) or t("nothing to score")
        lines.append(t("on the %(rows)s test rows without a leak: %(scored)s", rows=f"{rows:,}", scored=scored))
    return lines


def teacher(run: Run) -> list[str]:
    """What validation and training rows said against the teacher."""
    said, judged = [], read_json(run.path("judged.json")) or {}
    facts = read_json(run.path("teacher", "training.json")) or {}
    if judged.get("weak"):
        theirs, ours = (metric_names.value(judged["metric"], judged[who]) for who in ("teacher", "label_only"))
        said.append(
            t("on validation the teacher is weaker than the labels-only baseline (%(theirs)s against %(ours)s)",
              theirs=theirs, ours=ours)
        )  # fmt: skip
    folds = run.recipe.trained.folds if run.recipe.trained else None
    if facts.get("by_heart") and not folds:
        metric, seen = next(iter(facts["training"].items()))
        unseen = facts["validation"][metric]
        if seen - unseen >= SMALL:
            said.append(t(BY_HEART, seen=metric_names.value(metric, seen), unseen=metric_names.value(metric, unseen)))
    return said


def fusion(run: Run) -> list[str]:
    """A sentence for each network that sees all modalities and isn't shown to beat its best single one."""
    cards, said = scores_table.scores(run), []
    compared = [c for c in read_json(run.path("scores", "comparisons.json")) or [] if c.get("about") == "fusion"]
    for who in dict.fromkeys(c["who"] for c in compared):
        some = [c for c in compared if c["who"] == who]
        best = max(some, key=lambda c: cards[c["against"]]["metrics"][c["metric"]]["mean"])
        if best["verdict"] != "helps":
            ours, theirs = (scores_table.name(best[end]) for end in ("who", "against"))
            first, second = (metric_names.value(best["metric"], cards[best[end]]["metrics"][best["metric"]]["mean"])
                             for end in ("who", "against"))  # fmt: skip
            numbers = _numbers(run, best["metric"], best)
            said.append(
                t(FUSION[best["verdict"]], ours=ours, theirs=theirs, first=first, second=second, numbers=numbers)
            )
    return said


def unused(run: Run) -> list[str]:
    """A sentence for each modality that can be shuffled at no cost."""
    said = []
    for who, card in scores_table.scores(run).items():
        found = card.get("controls") or {}
        for name, one in found.get("modalities", {}).items():
            cost = one["shuffled"]["cost"]
            if cost["low"] <= 0:
                text = UNUSED if cost["high"] < SMALL else UNSURE
                numbers = _numbers(run, found["metric"], cost)
                said.append(t(text, model=scores_table.name(who), name=name, numbers=numbers))
    return said


def _numbers(run: Run, metric: str, facts: dict) -> str:
    gap, low, high = (metric_names.difference(metric, facts[key]) for key in ("difference", "low", "high"))
    interval = t("%(percent)s interval %(low)s to %(high)s", percent=scores_table.percent(run), low=low, high=high)
    return t(", ").join((gap + metric_names.points(metric), interval))


def _leak(text: str, **values: object) -> str:
    return t(text, **{key: t(str(v)) if key in ("held", "other") else v for key, v in values.items()})


def _control(metric: str, facts: dict, interval: bool) -> str:
    cost = facts["cost"]
    # what is lost is the cost turned round, and so are the ends of its interval; never -0
    lost, low, high = (
        metric_names.difference(metric, round(-cost[key], 6) + 0.0) for key in ("difference", "high", "low")
    )
    ends = f"; {t('%(low)s to %(high)s', low=low, high=high)}" if interval else ""
    return f"{metric_names.value(metric, facts['mean'])}  ({lost}{ends})"


def _part(metric: str, facts: dict) -> str:
    found = facts["metrics"].get(metric)
    return metric_names.value(metric, found["mean"]) if found else ""
