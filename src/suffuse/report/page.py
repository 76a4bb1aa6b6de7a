"""The report: one HTML file that opens offline. Values of the run are escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from ..run import Run
from ..types import CLASSES, LABELS, NUMBER
from . import (
    confusion,
    modality_ablation,
    reliability,
    results_section,
    robustness_section,
    run_facts,
    run_warnings,
    stored_predictions,
)
from .agreement_section import agreement
from .contribution_section import contribution
from .cost_section import cost
from .dataset_view import DatasetView
from .examples import examples
from .explanation_view import explained_rows
from .i18n import LANGUAGES, t
from .pool_members import members_table
from .readiness_text import readiness
from .soft_labels import soft_labels
from .student_candidates import candidates_table, selection_facts, selection_sentence
from .templates import render_page, render_template
from .training_curves import training

MAX_BYTES = 3_000_000  # of a page


def render(run: Run, languages: tuple[str, ...] = tuple(LANGUAGES), audit: Sequence[dict] | None = None) -> str:
    """The report of a finished run; the first language is shown until the reader chooses another. The same run gives
    the same bytes. ``audit``: its items, where the run doesn't hold them yet."""
    dataset = DatasetView.open(run)
    silent = replace(dataset, audio=None)
    html = ""
    # a page that is too large leaves out recordings, then explained rows, which `suffuse explain` shows
    for view, explained in ((dataset, True), (silent, True), (silent, False)):
        html = _render(run, view, languages, audit, explained)
        if len(html.encode()) <= MAX_BYTES:
            break
    return html


def _render(
    run: Run, dataset: DatasetView, languages: tuple[str, ...], audit: Sequence[dict] | None, explained: bool
) -> str:
    return render_page(
        lambda: t("%(name)s: distillation report", name=run.recipe.name or run.folder.name),
        lambda: body(run, dataset, audit, explained),
        languages,
    )


def body(run: Run, dataset: DatasetView, audit: Sequence[dict] | None = None, explained: bool = True) -> Markup:
    """All sections in the language in use."""
    heads = dataset.columns.spec.heads
    scored = run.path("scores", "predictions.parquet").exists()
    models = ("teacher", "student", "baseline", "export")
    predictions = stored_predictions.read(run, dataset, *models) if scored else []
    stored = run.path("knowledge", "manifest.json").exists()
    values = {
        **probe_sections(run),
        "head": run_facts.headline(run, dataset),
        "results": results_section.results(run, heads),
        "targets": results_section.target_tables(run, dataset),
        "target_terms": results_section.target_terms(heads),
        "ready": readiness(run),
        "warnings": run_warnings.warnings(run),
        "training": training(run),
        "reliability": reliability.reliability(run, heads),
        "numbers": reliability.numbers(predictions),
        "confusion": confusion.confusion(predictions),
        "labels": confusion.labels(predictions),
        "soft_labels": soft_labels(run, dataset) if stored else None,
        "explained": explained_rows(run, dataset, predictions) if explained else None,
        "examples": examples(dataset, predictions) if predictions else [],
        "data": run_facts.data(run, dataset),
        "export": run_facts.export(run),
        "audit": run_facts.trust_audit(run, audit),
        "reproduce": run_facts.reproduce(run),
    }
    shown = sections({head.kind for head in heads}, len(heads), values)
    return render_template("body", **values, sections=shown, several=len(heads) > 1)


def probe_sections(run: Run) -> dict[str, Any]:
    """Data of the sections on probes by name; None or empty where a probe was switched off."""
    return {
        "cost": cost(run),
        "subsets": robustness_section.subsets(run),
        "contribution": contribution(run),
        "pooled": members_table(run),
        "candidates": candidates_table(run),
        "selection": selection_sentence(facts) if (facts := selection_facts(run)) else None,
        "agreement": agreement(run),
        "temperatures": reliability.temperatures(run),
        "robustness": robustness_section.robustness(run),
        "ablation": {
            "controls": modality_ablation.controls(run, intervals=True),
            "slices": modality_ablation.slices(run),
            "curve": modality_ablation.label_curve(run),
            "equivalences": modality_ablation.equivalences(run),
            "chart": modality_ablation.label_curve_chart(run),
            "unused": run_warnings.unused_modalities(run),
        },
        "details": {
            "metrics": results_section.all_metrics(run),
            "terms": results_section.further_terms(run),
            "classes": results_section.per_class(run),
        },
    }


def sections(kinds: set[str], targets: int, values: Mapping[str, Any]) -> dict[str, str]:
    """The sections of a page in order: id -> title in the list at the top. ``kinds``: of its targets."""
    ablation = values["ablation"]
    table = (
        ("results", t("Results"), True),
        ("targets", t("Each target"), targets > 1),
        ("cost", t("Cost"), values["cost"]),
        ("subsets", t("Missing inputs"), values["subsets"]),
        ("contribution", t("Contributions"), values["contribution"]),
        ("pooled", t("Weights"), values["pooled"]),
        ("candidates", t("Selection"), values["candidates"]),
        ("slices", t("Slices"), ablation["slices"]),
        ("curve", t("Label efficiency"), ablation["curve"]),
        ("worth", t("Modalities"), ablation["controls"]),
        ("agreement", t("Agreement"), values["agreement"]),
        ("training", t("Training"), True),
        ("reliability", t("Confidence"), kinds & {CLASSES, LABELS}),
        ("numbers", t("Numbers"), NUMBER in kinds),
        ("robustness", t("Damage"), values["robustness"]),
        ("confusion", t("Confusion"), CLASSES in kinds),
        ("labels", t("Labels"), LABELS in kinds),
        ("softness", t("Soft labels"), CLASSES in kinds),
        ("explained", t("Explained"), values["explained"]),
        ("examples", t("Examples"), True),
        ("data", t("Data"), True),
        ("export", t("Export"), True),
        ("audit", t("Audit"), values["audit"]),
        ("reproduce", t("Reproduce"), True),
    )
    return {name: title for name, title, shown in table if shown}
