"""The page: one HTML file that opens offline. Whatever comes from the run is escaped."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..run import Run
from . import facts, words
from .examples import examples
from .matrices import confusion
from .prepared import Prepared
from .softness import softness
from .training import training

HERE = Path(__file__).parent


def render(run: Run) -> str:
    """The report of a finished run. The same run gives the same bytes."""
    prepared = Prepared.open(run)
    scored = run.path("scores", "predictions.parquet").exists()
    stored = run.path("knowledge", "logits.npy").exists()
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            css=Markup((HERE / "style.css").read_text(encoding="utf-8")),
            head=facts.headline(run, prepared),
            results=facts.results(run),
            training=training(run),
            reliability=facts.reliability(run),
            confusion=confusion(run, prepared) if scored else None,
            softness=softness(run, prepared) if stored else None,
            examples=examples(run, prepared) if scored else [],
            data=facts.data(run, prepared),
            export=facts.export(run),
            reproduce=facts.reproduce(run),
        )
    )


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
