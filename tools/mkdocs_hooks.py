"""What mkdocs calls while it builds the site: a link that leaves docs/ has no page there and becomes text."""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath
from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace ``[text](path)``, where the path leaves docs/, by the text and the path in the repository."""
    folder = dirname(page.file.src_uri)

    def as_text(match: re.Match) -> str:
        target = normpath(join(folder, match[2]))
        return (
            f"{match[1]} (`{target.removeprefix('../')}` in the repository)" if target.startswith("../") else match[0]
        )

    return re.sub(r"\[([^]]*)\]\((\.\./[^)]+)\)", as_text, markdown)
