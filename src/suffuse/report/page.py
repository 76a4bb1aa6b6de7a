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
from .prepared import Prepared
from .results import results
from .softness import softness
from .training import training

HERE = Path(__file__).parent


def render(run: Run) -> str:
    """The report of a finished run. The same run gives the same bytes."""
    prepared = Prepared.open(run)
    heads = prepared.spec.heads
    there = run.path("scores", "predictions.parquet").exists()
    told = scored.read(run, prepared, "teacher", "student", "baseline", "export") if there else []
    stored = run.path("knowledge", "manifest.json").exists()
    weighed = bool(worth.controls(run) or worth.parts(run) or curve(run))
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            css=Markup((HERE / "style.css").read_text(encoding="utf-8")),
            sections=sections({head.kind for head in heads}, len(heads), weighed),
            several=len(heads) > 1,
            head=facts.headline(run, prepared),
            results=results(run, heads),
            each=each(run, prepared),
            explained=explained(heads),
            worth={
                "controls": worth.controls(run),
                "parts": worth.parts(run),
                "curve": curve(run),
                "fusion": worth.fusion(run),
                "leaks": worth.leaks(run),
                "unused": worth.unused(run),
            },
            training=training(run),
            reliability=trust.reliability(run, heads),
            numbers=trust.numbers(told),
            confusion=confusion.confusion(told),
            labels=confusion.labels(told),
            softness=softness(run, prepared) if stored else None,
            examples=examples(prepared, told) if told else [],
            data=facts.data(run, prepared),
            export=facts.export(run),
            reproduce=facts.reproduce(run),
        )
    )


def sections(kinds: set[str], targets: int, weighed: bool) -> dict[str, str]:
    """The page's parts, in order: id -> what the list at its top calls it. Which there are, the targets decide."""
    there = {
        "results": ("Results", True),
        "targets": ("Each target", targets > 1),
        "worth": ("Modalities", weighed),
        "training": ("Training", True),
        "reliability": ("Confidence", bool(kinds & {CLASSES, LABELS})),
        "numbers": ("Numbers", NUMBER in kinds),
        "confusion": ("Confusion", CLASSES in kinds),
        "labels": ("Labels", LABELS in kinds),
        "softness": ("Soft labels", CLASSES in kinds),
        "examples": ("Examples", True),
        "data": ("Data", True),
        "export": ("Export", True),
        "reproduce": ("Reproduce", True),
    }
    return {name: title for name, (title, shown) in there.items() if shown}


def environment() -> Environment:
    """Jinja with escaping always on; a name that isn't there is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {f.__name__: f for f in (words.percent, words.short, words.listed, words.count, words.tiny)}
    return made
