"""The Jinja environment of all pages, and the frame that they share: one body per language."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from jinja2.ext import Extension
from markupsafe import Markup

from ..errors import escape_controls
from . import formatting
from .charts import cache_drawings
from .i18n import FOLDER, LANGUAGES, current_language, gettext, id_prefix, ngettext, use_language
from .metric_format import subset_name

FILTERS = (formatting.percent, formatting.short, formatting.join_names, formatting.count, formatting.scientific,
           formatting.sentence, formatting.typographic, subset_name)  # fmt: skip


class SentenceSpacing(Extension):
    """The space between two sentences of a template: in Chinese there is none after a full-width full stop."""

    between = re.compile(
        r"""((?:endtrans %\}|_\("[^"]*\."[^{}]*\}\})(?:\{% (?:if|else|elif|endif)[^%]*%\})*)\ """  # a sentence ends
        r"""(?=(?:\{% if[^%]*%\})?(?:\{% trans|\{\{ _\())"""  # and another one begins
    )

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Write each such space as a call, which knows the language."""
        return self.between.sub(r"\1{{ sentence_space() }}", source)


class SafeTemplate(Template):
    """A template that writes control characters, which a terminal would obey, as escapes."""

    def render(self, *args: Any, **kwargs: Any) -> str:
        """As Jinja does."""
        return escape_controls(super().render(*args, **kwargs))


@cache
def environment() -> Environment:
    """Jinja with autoescape; an undefined name is an error."""
    jinja = Environment(
        loader=FileSystemLoader(FOLDER),
        extensions=["jinja2.ext.i18n", SentenceSpacing],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.template_class = SafeTemplate
    jinja.policies["ext.i18n.trimmed"] = True
    jinja.install_gettext_callables(gettext, ngettext, newstyle=True)  # pyright: ignore
    jinja.globals |= {"separator": formatting.separator, "sentence_space": formatting.sentence_space}
    jinja.filters |= {function.__name__: function for function in FILTERS}
    return jinja


def render_template(name: str, **values: Any) -> Markup:
    """``NAME.html.jinja`` in the language in use."""
    return Markup(
        environment().get_template(f"{name}.html.jinja").render(values, language=current_language(), place=id_prefix())
    )


def render_page(title: Callable[[], str], body: Callable[[], Markup], languages: tuple[str, ...]) -> str:
    """One HTML file with a body in each language. It opens in the browser's language or, where it has none of them or
    runs no scripts, in the first; the reader may choose another."""
    bodies = []
    with cache_drawings():
        for language in languages:
            with use_language(language):
                bodies.append({"language": language, "name": LANGUAGES[language], "html": body()})
    with use_language(languages[0]):
        script = (FOLDER / "sections.js").read_text(encoding="utf-8")
        digest = b64encode(sha256(script.encode()).digest()).decode()  # the page's policy allows this script alone
        return str(
            render_template("page", css=css(), title=title(), bodies=bodies, script=Markup(script), digest=digest)
        )


def css() -> Markup:
    """The style sheet of all pages."""
    return Markup((FOLDER / "style.css").read_text(encoding="utf-8"))
