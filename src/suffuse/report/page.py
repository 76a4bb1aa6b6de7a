"""The page: one HTML file that opens offline. Whatever comes from the run is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from ..run import Run
from ..types import CLASSES, LABELS, NUMBER
from . import confusion, modality_ablation, reliability, run_facts, test_predictions
from .agreement_section import agreement
from .all_metrics import all_metrics, meanings, per_class
from .audit_section import audited
from .charts import drawn_once
from .contribution_section import contribution
from .cost_section import cost
from .dataset_view import Prepared
from .examples import examples
from .explanations import reasons
from .i18n import LANGUAGES, place, speaking, spoken, t
from .label_curve_section import curve, drawn
from .per_target import each, explained
from .results_table import results
from .robustness_section import robustness
from .soft_labels import softness
from .subsets_section import subsets
from .temperature_section import scaled
from .templates import HERE, environment
from .training_curves import training

LARGEST = 3_000_000  # bytes of a page


def render(run: Run, languages: tuple[str, ...] = tuple(LANGUAGES), found: Sequence[dict] | None = None) -> str:
    """The report of a finished run, in the first of the languages until the reader chooses another. The same run
    gives the same bytes. ``found``: the audit's items, where the run doesn't hold them yet."""
    prepared = Prepared.open(run)
    page = written(run, prepared, (languages, found))
    if len(page.encode()) > LARGEST:  # sounds can be left out without loss of what was found
        page = written(run, replace(prepared, originals=None), (languages, found))
    if len(page.encode()) > LARGEST:  # and `suffuse explain` shows what the page then lacks
        page = written(run, replace(prepared, originals=None), (languages, found), shown=False)
    return page


def written(
    run: Run, prepared: Prepared, how: tuple[tuple[str, ...], Sequence[dict] | None], shown: bool = True
) -> str:
    """The page as it is with these rows to show. ``how``: the languages, and the audit's items; ``shown``: with the
    explained answers."""
    languages, found = how
    bodies = []
    with drawn_once():
        for language in languages:
            with speaking(language):
                bodies.append(
                    {"language": language, "called": LANGUAGES[language], "html": body(run, prepared, found, shown)}
                )
    with speaking(languages[0]):
        title = t("%(name)s: distillation report", name=run.recipe.name or run.folder.name)
    css = Markup((HERE / "style.css").read_text(encoding="utf-8"))
    return environment().get_template("page.html.jinja").render(css=css, title=title, bodies=bodies)


def body(run: Run, prepared: Prepared, found: Sequence[dict] | None = None, shown: bool = True) -> Markup:
    """All sections, in the language spoken now."""
    heads = prepared.spec.heads
    there = run.path("scores", "predictions.parquet").exists()
    told = test_predictions.read(run, prepared, "teacher", "student", "baseline", "export") if there else []
    stored = run.path("knowledge", "manifest.json").exists()
    weighed = bool(modality_ablation.controls(run) or modality_ablation.parts(run) or curve(run))
    pieces = evidence(run, found)
    pieces["reasons"] = reasons(run, prepared, told) if shown else None
    values = {
        **pieces,
        "language": spoken(),
        "place": place(),
        "sections": sections({head.kind for head in heads}, len(heads), weighed, pieces),
        "several": len(heads) > 1,
        "head": run_facts.headline(run, prepared),
        "results": results(run, heads),
        "each": each(run, prepared),
        "explained": explained(heads),
        "worth": {
            "controls": modality_ablation.controls(run, intervals=True),
            "parts": modality_ablation.parts(run),
            "curve": curve(run),
            "drawn": drawn(run),
            "fusion": modality_ablation.fusion(run),
            "leaks": modality_ablation.leaks(run),
            "teacher": modality_ablation.teacher(run),
            "unused": modality_ablation.unused(run),
        },
        "training": training(run),
        "reliability": reliability.reliability(run, heads),
        "numbers": reliability.numbers(told),
        "confusion": confusion.confusion(told),
        "labels": confusion.labels(told),
        "softness": softness(run, prepared) if stored else None,
        "examples": examples(prepared, told) if told else [],
        "data": run_facts.data(run, prepared),
        "export": run_facts.export(run),
        "reproduce": run_facts.reproduce(run),
    }
    return Markup(environment().get_template("body.html.jinja").render(values))


def evidence(run: Run, found: Sequence[dict] | None) -> dict[str, Any]:
    """What the probes found, each under the name of its section; nothing where they were switched off."""
    return {
        "cost": cost(run),
        "subsets": subsets(run),
        "contribution": contribution(run),
        "agreement": agreement(run),
        "scaled": scaled(run),
        "robustness": robustness(run),
        "detailed": {"metrics": all_metrics(run), "meanings": meanings(run), "classes": per_class(run)},
        "audit": audited(run, found),
    }


def sections(kinds: set[str], targets: int, weighed: bool, pieces: Mapping[str, Any]) -> dict[str, str]:
    """The page's parts, in order: id -> what the list at its top calls it. Which there are, the targets decide."""
    there = {
        "results": (t("Results"), True),
        "targets": (t("Each target"), targets > 1),
        "cost": (t("Cost"), bool(pieces["cost"])),
        "subsets": (t("Missing inputs"), bool(pieces["subsets"])),
        "contribution": (t("Contributions"), bool(pieces["contribution"])),
        "worth": (t("Modalities"), weighed),
        "agreement": (t("Agreement"), bool(pieces["agreement"])),
        "training": (t("Training"), True),
        "reliability": (t("Confidence"), bool(kinds & {CLASSES, LABELS})),
        "numbers": (t("Numbers"), NUMBER in kinds),
        "robustness": (t("Damage"), bool(pieces["robustness"])),
        "confusion": (t("Confusion"), CLASSES in kinds),
        "labels": (t("Labels"), LABELS in kinds),
        "softness": (t("Soft labels"), CLASSES in kinds),
        "explained": (t("Explained"), bool(pieces["reasons"])),
        "examples": (t("Examples"), True),
        "data": (t("Data"), True),
        "export": (t("Export"), True),
        "audit": (t("Audit"), bool(pieces["audit"])),
        "reproduce": (t("Reproduce"), True),
    }
    return {name: title for name, (title, shown) in there.items() if shown}
