"""The page: one HTML file that opens offline. Whatever comes from the run is escaped."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..run import Run
from ..types import CLASSES, LABELS, NUMBER
from . import confusion, facts, scored, trust, words, worth
from .curve import curve
from .each import each, explained
from .examples import examples
from .language import LANGUAGES, gettext, ngettext, place, speaking, spoken, t
from .prepared import Prepared
from .results import results
from .softness import softness
from .training import training

HERE = Path(__file__).parent


def render(run: Run, languages: tuple[str, ...] = tuple(LANGUAGES)) -> str:
    """The report of a finished run, in the first of the languages until the reader chooses another. The same run
    gives the same bytes."""
    prepared, bodies = Prepared.open(run), []
    for language in languages:
        with speaking(language):
            bodies.append({"language": language, "called": LANGUAGES[language], "html": body(run, prepared)})
    with speaking(languages[0]):
        title = t("%(name)s: distillation report", name=run.recipe.name or run.folder.name)
    css = Markup((HERE / "style.css").read_text(encoding="utf-8"))
    return environment().get_template("page.html.jinja").render(css=css, title=title, bodies=bodies)


def body(run: Run, prepared: Prepared) -> Markup:
    """All sections, in the language spoken now."""
    heads = prepared.spec.heads
    there = run.path("scores", "predictions.parquet").exists()
    told = scored.read(run, prepared, "teacher", "student", "baseline", "export") if there else []
    stored = run.path("knowledge", "manifest.json").exists()
    weighed = bool(worth.controls(run) or worth.parts(run) or curve(run))
    values = {
        "language": spoken(),
        "place": place(),
        "sections": sections({head.kind for head in heads}, len(heads), weighed),
        "several": len(heads) > 1,
        "head": facts.headline(run, prepared),
        "results": results(run, heads),
        "each": each(run, prepared),
        "explained": explained(heads),
        "worth": {
            "controls": worth.controls(run),
            "parts": worth.parts(run),
            "curve": curve(run),
            "fusion": worth.fusion(run),
            "leaks": worth.leaks(run),
            "unused": worth.unused(run),
        },
        "training": training(run),
        "reliability": trust.reliability(run, heads),
        "numbers": trust.numbers(told),
        "confusion": confusion.confusion(told),
        "labels": confusion.labels(told),
        "softness": softness(run, prepared) if stored else None,
        "examples": examples(prepared, told) if told else [],
        "data": facts.data(run, prepared),
        "export": facts.export(run),
        "reproduce": facts.reproduce(run),
    }
    return Markup(environment().get_template("body.html.jinja").render(values))


def sections(kinds: set[str], targets: int, weighed: bool) -> dict[str, str]:
    """The page's parts, in order: id -> what the list at its top calls it. Which there are, the targets decide."""
    there = {
        "results": (t("Results"), True),
        "targets": (t("Each target"), targets > 1),
        "worth": (t("Modalities"), weighed),
        "training": (t("Training"), True),
        "reliability": (t("Confidence"), bool(kinds & {CLASSES, LABELS})),
        "numbers": (t("Numbers"), NUMBER in kinds),
        "confusion": (t("Confusion"), CLASSES in kinds),
        "labels": (t("Labels"), LABELS in kinds),
        "softness": (t("Soft labels"), CLASSES in kinds),
        "examples": (t("Examples"), True),
        "data": (t("Data"), True),
        "export": (t("Export"), True),
        "reproduce": (t("Reproduce"), True),
    }
    return {name: title for name, (title, shown) in there.items() if shown}


def environment() -> Environment:
    """Jinja with escaping always on; a name that isn't there is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_callables(gettext, ngettext, newstyle=True)  # pyright: ignore
    made.filters |= {f.__name__: f for f in (words.percent, words.short, words.listed, words.count, words.tiny)}
    return made
