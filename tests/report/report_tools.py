"""Reading a page as a browser would, as far as the tests need it."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

from suffuse.checked_json import write_checked
from suffuse.files import file_facts
from suffuse.integrity import read_stamp

HEADINGS = ("h1", "h2", "h3")


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if self.found and not self.found[-1][2] and not self.inside:
            self.found[-1][2] = tag
        if tag in HEADINGS:
            self.found.append([tag, "", ""])
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in HEADINGS:
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1][1] += data


def outline(page: str) -> list[tuple[str, str, str]]:
    """(level, text, the element that follows) of every heading."""
    reader = _Outline()
    reader.feed(page)
    return [(level, text, after) for level, text, after in reader.found]


def without_script(page: str) -> str:
    """The page without the one script that it has. Raises AssertionError where the policy forbids it, or where
    there is another one."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = b64encode(sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == page.lower().count("<script") == 1 and f"script-src 'sha256-{digest}';" in page
    return page.replace(f"<script>{scripts[0]}</script>", "")


def restamp(run: Path, verb: str) -> None:
    """Make a stage's stamp fit its files as a test has changed them, as if the stage had written them so."""
    stamp = read_stamp(run, verb)
    assert stamp
    outputs = {name: file_facts(run / name) for name in stamp["outputs"] if (run / name).exists()}
    write_checked(run / "stamps" / f"{verb}.json", {**stamp, "outputs": outputs})
