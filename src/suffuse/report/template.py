"""Jinja as every page of the report uses it."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from . import words
from .language import gettext, ngettext
from .measured import subset

HERE = Path(__file__).parent


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
    made.filters |= {
        f.__name__: f
        for f in (words.percent, words.short, words.listed, words.count, words.tiny, words.sentence, subset)
    }
    return made
