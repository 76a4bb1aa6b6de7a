"""Jinja as every page of the report uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from ..errors import escape_controls
from . import formatting
from .i18n import gettext, ngettext
from .score_format import subset

HERE = Path(__file__).parent


class SafeTemplate(Template):
    """A template whose text holds no control characters, which a terminal would obey: they stand as escapes."""

    def render(self, *args: Any, **kwargs: Any) -> str:
        """As Jinja does."""
        return escape_controls(super().render(*args, **kwargs))


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
    made.template_class = SafeTemplate
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_callables(gettext, ngettext, newstyle=True)  # pyright: ignore
    made.filters |= {
        f.__name__: f
        for f in (
            formatting.percent,
            formatting.short,
            formatting.listed,
            formatting.count,
            formatting.tiny,
            formatting.sentence,
            subset,
        )
    }
    return made
