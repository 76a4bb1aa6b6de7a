"""The model card of a run as Markdown, from its scorecards.

After Mitchell et al. 2019 (Model Cards for Model Reporting): what it is, intended use, data, scores with intervals and
on slices, limits. In English; names from the run are escaped.
"""

from __future__ import annotations

from ..checked_json import read_checked
from ..evaluation_log import evaluations
from ..files import read_json
from ..markdown import document, plain, section, table
from ..prepare.data_section import data_section
from ..run import Run
from ..types import CLASSES, NUMBER, TOKENS, heads_of
from . import metric_format, run_warnings, scores_table, verdict_text
from .formatting import join_names
from .metric_format import METRICS, value_text
from .readiness_text import readiness

MAX_CLASSES = 20  # that are listed by name


def model_card(run: Run) -> str:
    """The card of the exported student; where nothing was exported, of the student."""
    cards = scores_table.scores(run)
    card = cards.get("export" if "export" in cards else "student", {})
    schema = read_json(run.path("data", "schema.json")) or {}
    learned = "The model learned from the training rows; it was chosen on validation and scored on test rows."
    return document(
        f"# Model card: {plain(run.recipe.name or run.folder.name)}",
        _readiness(run),
        _description(run, card),
        _intended_use(schema),
        data_section(schema, learned),
        _scores(run, cards),
        _slices(card),
        _calibration(card),
        _robustness(card),
        _limits(run, card),
        _training(run),
    )


def _readiness(run: Run) -> str:
    """Whether it can be shipped by the recipe's goal, and every check."""
    verdict = readiness(run)
    if verdict is None:
        return ""
    return section(
        "Can it be shipped?",
        f"{plain(verdict.sentence)}.",
        table(("check", "measured", "wanted", "state"), verdict.rows),
    )


def _description(run: Run, card: dict) -> str:
    inputs = ", ".join(f"{plain(n)} ({run.recipe.modalities[n].kind})" for n in run.recipe.student.encoders)
    size = ""
    if "parameters" in card:
        file = f" in a file of {card['bytes'] / 1000:,.1f} kB" if "bytes" in card else ""
        size = f" It has {card['parameters']:,} parameters{file}."
    return section(
        "What it is",
        f"A multimodal student, distilled with suffuse from a larger teacher. It reads {inputs} and answers from "
        f"whichever of\nthem are there; where none is, it says what training rows are like.{size}",
    )


def _intended_use(schema: dict) -> str:
    lines = []
    for head in heads_of(schema.get("heads", [])):
        text = "a number"
        if head.kind == TOKENS:
            text = f"a transcript, of {len(head.classes):,} {head.units}"
        elif head.kind != NUMBER:
            kind = "one of" if head.kind == CLASSES else "any of"
            text = f"{kind} {len(head.classes):,}: {plain(join_names(head.classes, MAX_CLASSES))}"
        lines.append(f"- `{plain(head.name)}`: {text}")
    return section(
        "Intended use",
        "To predict, for rows like those that it was trained on:",
        "\n".join(lines),
        "Not for rows of another kind than the training rows: it has no answer for a class that no list above holds, "
        "and it can't tell that it lacks one. Not where a wrong answer does harm and nobody looks at it, unless the "
        "scores below are good enough for that. What it learned of its teacher's mistakes it may repeat.",
    )


def _scores(run: Run, cards: dict[str, dict]) -> str:
    main, second = metric_format.main_metric_of(run), metric_format.second_metric_of(run)
    models = [m for m in cards if m in ("majority", "ensemble") or scores_table.is_main_model(m)]
    metrics = [m for m in (main, second, *metric_format.FURTHER, "log_loss") if m]
    metrics = [m for m in metrics if any(m in cards[model]["metrics"] for model in models)]
    heads = metric_format.target_kinds(run)
    rows = [
        (scores_table.model_name(model, heads), *(_score(m, cards[model]["metrics"].get(m)) for m in metrics))
        for model in models
    ]
    return section(
        "Scores",
        f"On test rows, with {100 * run.recipe.evaluate.confidence:g} % intervals.",
        table(("model", *(METRICS[m].title for m in metrics)), rows),
        "\n".join(f"- {plain(line)}" for line in (*verdict_text.sentences(run), *run_warnings.warnings(run))),
    )


def _slices(card: dict) -> str:
    facts, tables = card.get("missing"), []
    if facts and len(facts["subsets"]) > 2:
        metric = facts["metric"]
        rows = [(metric_format.subset_name(name), _score(metric, score)) for name, score in facts["subsets"].items()]
        tables.append(table(("inputs present", METRICS[metric].title), rows))
    for column, values in (card.get("by") or {}).items():
        main = card["main"]
        rows = [(value, f"{f['rows']:,}", _score(main, f["metrics"].get(main))) for value, f in values.items()]
        tables.append(table((column, "rows", METRICS[main].title), rows))
    return section("On parts of the inputs and rows", *tables)


def _calibration(card: dict) -> str:
    targets = (card.get("temperature") or {}).get("targets") or {}
    if not targets:
        return ""
    rows = [
        (
            name,
            *(
                f"{facts[when][metric]:.4f}"
                for when, metric in (("before", "ece"), ("after", "ece"), ("after", "brier"))
            ),
        )
        for name, facts in targets.items()
    ]
    return section(
        "Calibration",
        "How far stated confidence and share of right answers lie apart (ECE), before and after the temperature.",
        table(("target", "ECE before", "ECE after", "Brier after"), rows),
    )


def _robustness(card: dict) -> str:
    facts = card.get("robustness") or {}
    modalities = facts.get("modalities") or {}
    if not modalities:
        return ""
    metric, held_out = facts["metric"], ""
    rows = [(name, *(value_text(metric, step["mean"]) for step in steps)) for name, steps in modalities.items()]
    severities = (f"severity {step['severity']}" for step in next(iter(modalities.values())))
    if group := facts.get("held_out"):
        test, validation = (value_text(metric, group[split]["mean"]) for split in ("test", "validation"))
        column = plain(group["column"])
        held_out = f"On a group that training never saw ({column}): {test}, on validation {validation}."
    return section(
        "Robustness",
        f"{METRICS[metric].title} on {metric_format.rows_text(facts)}, one modality damaged at a time.",
        table(("damaged", *severities), rows),
        held_out,
    )


def _limits(run: Run, card: dict) -> str:
    times = len(evaluations(run.folder))
    lines = [f"- The test rows were evaluated {'once' if times == 1 else f'{times} times'} in this run."]
    for probe, why in (card.get("not_measured") or {}).items():
        lines.append(f"- Not measured: {probe.replace('_', ' ')} ({plain(str(why))}).")
    lines.append("- Intervals speak of rows like the test rows and of other seeds, not of other data.")
    return section("Limits", "\n".join(lines))


def _training(run: Run) -> str:
    facts, seeds = read_checked(run.path("run.json")) or {}, run.recipe.distill.num_seeds
    losses = ", ".join(f"{plain(name)} ({loss.kind})" for name, loss in run.recipe.distill.losses.items())
    versions = f"suffuse {facts.get('suffuse', '')}, Python {facts.get('python', '')}" if facts else "suffuse"
    students, epochs = f"{seeds} student{'s' if seeds != 1 else ''}", run.recipe.distill.train.epochs
    return section(
        "How it was made",
        f"{students} of {epochs} epochs at the most, with the losses {losses}; the best on\nvalidation rows was "
        f"exported. Made with {versions}, seed {run.recipe.seed}. `recipe.yaml` holds every setting;\n`report.html` "
        "shows all that stands here and more; `scores/` holds the numbers.",
    )


def _score(metric: str, facts: dict | None) -> str:
    """``90.12 % (88.00 to 92.30)``; empty where it wasn't measured."""
    if not facts:
        return ""
    interval = metric_format.interval_text(metric, facts)
    return value_text(metric, facts["mean"]) + (f" ({interval})" if interval else "")
