"""A griffe extension for the API reference: fields get their comments as descriptions, and Sphinx roles become code."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:mod|class|func|meth|attr|data):`~?([^`]+)`")
COMMENT = re.compile(r"  # (?!noqa|type:|pyright:)(.+)")


class SourceDocs(griffe.Extension):
    """Changes the docstrings of what was read from the source."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Render cross-references such as ``:mod:`suffuse.losses``` as code."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take the comment behind a field as its docstring."""
        if attr.docstring is None and attr.parent and attr.parent.is_class and (match := COMMENT.search(attr.source)):
            attr.docstring = griffe.Docstring(match[1], parent=attr)
