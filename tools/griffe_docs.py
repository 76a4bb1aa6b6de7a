"""A griffe extension for the API reference: fields get their descriptions or comments, and Sphinx roles become code."""

from __future__ import annotations

import ast
import re
import textwrap
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
        """Take the ``description`` of a field, or the comment behind it, as its docstring."""
        if attr.docstring is None and attr.parent and attr.parent.is_class:
            match = COMMENT.search(attr.source)
            text = description(attr.source) or (match[1] if match else "")
            attr.docstring = griffe.Docstring(text, parent=attr) if text else None


def description(source: str) -> str:
    """The literal that a field's definition gives as ``description``, or nothing."""
    for node in ast.walk(ast.parse(textwrap.dedent(source))):
        if isinstance(node, ast.keyword) and node.arg == "description" and isinstance(node.value, ast.Constant):
            return str(node.value.value)
    return ""
