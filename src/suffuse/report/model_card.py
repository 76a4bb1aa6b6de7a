"""The model card of what a run made: Markdown, from the scorecards, for people who decide whether to use it.

After Mitchell et al. 2019 (Model Cards for Model Reporting): what it is, what for, what not for, data, scores with
intervals and on parts of the inputs, limits. In English; names from the run stand as they are, without markup.
"""

from __future__ import annotations

from .. import markdown
from ..checked_json import read_checked
from ..evaluation_log import evaluations
from ..files import read_json
from ..prepare.data_section import data_section
from ..run import Run
from ..types import CLASSES, NUMBER, heads_of
from . import metric_names, modality_ablation, score_format, scores_table
from .formatting import listed
from .metric_names import METRICS

MOST_CLASSES = 20


def model_card(run: Run) -> str:
    """The card of the exported student; where nothing was exported, of the student."""
    cards = scores_table.scores(run)
    who = "export" if "export" in cards else "student"
    parts = (
        _head(run, cards.get(who, {})),
        _use(run),
        _data(run),
        _scores(run, cards),
        _parts(run, cards.get(who, {})),
        _calibration(cards.get(who, {})),
        _damage(cards.get(who, {})),
        _limits(run, cards.get(who, {})),
        _made(run),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(run: Run, card: dict) -> str:
    reads = ", ".join(f"{markdown.plain(n)} ({run.recipe.modalities[n].kind})" for n in run.recipe.student.encoders)
    size = f" It has {card['parameters']:,} parameters" if "parameters" in card else ""
    size += f" in a file of {card['bytes'] / 1000:,.1f} kB." if size and "bytes" in card else "." if size else ""
    return f"""# Model card: {markdown.plain(run.recipe.name or run.folder.name)}

## What it is

A multimodal student, distilled with suffuse from a larger teacher. It reads {reads} and answers from whichever of
them are there; where none is, it says what training rows are like.{size}"""


def _use(run: Run) -> str:
    schema = read_json(run.path("data", "schema.json")) or {"heads": []}
    lines = []
    for head in heads_of(schema["heads"]):
        if head.kind == NUMBER:
            said = "a number"
        else:
            kind = "one of" if head.kind == CLASSES else "any of"
            said = f"{kind} {len(head.classes):,}: {markdown.plain(listed(head.classes, MOST_CLASSES))}"
        lines.append(f"- `{markdown.plain(head.name)}`: {said}")
    return "\n".join((
        "## Intended use", "", "To predict, for rows like those that it was trained on:", "", *lines, "",
        "Not for rows of another kind than the training rows: it has no answer for a class that no list above holds, "
        "and it can't tell that it lacks one. Not where a wrong answer does harm and nobody looks at it, unless the "
        "scores below are good enough for that. What it learned of its teacher's mistakes it may repeat.",
    ))  # fmt: skip


def _data(run: Run) -> str:
    learned = "The model learned from the training rows; it was chosen on validation and scored on test rows."
    return data_section(read_json(run.path("data", "schema.json")) or {}, learned)


def _scores(run: Run, cards: dict[str, dict]) -> str:
    main, second = metric_names.main_of(run), metric_names.second_of(run)
    names = [n for n in (main, second, *metric_names.FURTHER, "log_loss") if n]
    shown = [
        who
        for who in cards
        if who in ("majority", "teacher", "ensemble", "baseline", "rival", "student") or who.startswith("export")
    ]
    there = [n for n in names if any(n in cards[w]["metrics"] for w in shown)]
    rows = [
        (scores_table.name(w, metric_names.kinds(run)), *(_value(n, cards[w]["metrics"].get(n)) for n in there))
        for w in shown
    ]
    said = [
        f"- {markdown.plain(sentence)}" for sentence in (*scores_table.verdicts(run), *modality_ablation.warnings(run))
    ]
    head = ("model", *(METRICS[n].title for n in there))
    return "\n\n".join(
        (
            "## Scores",
            f"On test rows, with {scores_table.percent(run)} intervals.",
            markdown.table(head, rows),
            "\n".join(said),
        )
    )


def _parts(run: Run, card: dict) -> str:
    facts, made = card.get("missing"), []
    if facts and len(facts["subsets"]) > 2:
        rows = [(score_format.subset(n), _value(facts["metric"], one)) for n, one in facts["subsets"].items()]
        made.append(markdown.table(("inputs present", METRICS[facts["metric"]].title), rows))
    for column, parts in (card.get("by") or {}).items():
        rows = [
            (value, f"{one['rows']:,}", _value(card["main"], one["metrics"].get(card["main"])))
            for value, one in parts.items()
        ]
        made.append(markdown.table((column, "rows", METRICS[card["main"]].title), rows))
    return "\n\n".join(("## On parts of the inputs and rows", *made)) if made else ""


def _calibration(card: dict) -> str:
    facts = (card.get("temperature") or {}).get("targets") or {}
    if not facts:
        return ""
    rows = [(name, f"{one['before']['ece']:.4f}", f"{one['after']['ece']:.4f}", f"{one['after']['brier']:.4f}")
            for name, one in facts.items()]  # fmt: skip
    said = "How far stated confidence and share of right answers lie apart (ECE), before and after the temperature."
    return f"## Calibration\n\n{said}\n\n" + markdown.table(("target", "ECE before", "ECE after", "Brier after"), rows)


def _damage(card: dict) -> str:
    facts = card.get("robustness") or {}
    rows = [
        (name, *(_short(facts["metric"], step["mean"]) for step in steps))
        for name, steps in (facts.get("modalities") or {}).items()
    ]
    if not rows:
        return ""
    head = ("damaged", *(f"severity {step['severity']}" for step in next(iter(facts["modalities"].values()))))
    title = METRICS[facts["metric"]].title
    made = [
        "## Robustness",
        f"{title} on {score_format.on(facts)}, one modality damaged at a time.",
        markdown.table(head, rows),
    ]
    if held := facts.get("held_out"):
        values = [_short(facts["metric"], held[key]["mean"]) for key in ("test", "validation")]
        made.append(
            f"On a group that training never saw ({markdown.plain(held['column'])}): {values[0]}, "
            f"on validation {values[1]}."
        )
    return "\n\n".join(made)


def _limits(run: Run, card: dict) -> str:
    looks = len(evaluations(run.folder))
    lines = [f"- The test rows were evaluated {'once' if looks == 1 else f'{looks} times'} in this run."]
    for name, why in (card.get("not_measured") or {}).items():
        lines.append(f"- Not measured: {name.replace('_', ' ')} ({markdown.plain(str(why))}).")
    lines.append("- Intervals speak of rows like the test rows and of other seeds, not of other data.")
    return "## Limits\n\n" + "\n".join(lines)


def _made(run: Run) -> str:
    facts, seeds = read_checked(run.path("run.json")) or {}, run.recipe.distill.seeds
    losses = ", ".join(f"{markdown.plain(name)} ({loss.kind})" for name, loss in run.recipe.distill.losses.items())
    made = f"suffuse {facts.get('suffuse', '')}, Python {facts.get('python', '')}" if facts else "suffuse"
    many, epochs = f"{seeds} student{'s' if seeds != 1 else ''}", run.recipe.distill.train.epochs
    return f"""## How it was made

{many} of {epochs} epochs at the most, with the losses {losses}; the best on
validation rows was exported. Made with {made}, seed {run.recipe.seed}. `recipe.yaml` holds every setting;
`report.html` shows all that stands here and more; `scores/` holds the numbers."""


def _value(metric: str, facts: dict | None) -> str:
    if not facts:
        return ""
    span = score_format.span(metric, facts)
    return _short(metric, facts["mean"]) + (f" ({span})" if span else "")


def _short(metric: str, value: float) -> str:
    return metric_names.shown(metric, value)
