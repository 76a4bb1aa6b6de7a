"""A real browser: what it complains of, and what stands out of the window."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WIDTHS = (1280, 390)
WRAPPER = """<!doctype html><meta charset="utf-8"><pre id="found"></pre>
%s
<script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const name = frame.getAttribute("src").replace(".html", "");
    const page = frame.contentDocument, width = frame.clientWidth;
    const scrolls = e => e && (getComputedStyle(e).overflowX === "auto" || scrolls(e.parentElement));
    const out = [...page.body.querySelectorAll("*")]
      .filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e)).map(e => e.outerHTML.slice(0, 120));
    const broken = [...page.images].filter(i => !i.naturalWidth).length;
    const shown = [...page.querySelectorAll("main")].filter(e => e.offsetParent).map(e => e.lang);
    const wide = page.documentElement.scrollWidth, high = page.body.scrollHeight;
    return {page: name, shown, width, wide, high, out, broken, pictures: page.images.length};
  });
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>
"""
ACT = """<!doctype html><meta charset="utf-8"><pre id="found"></pre>
<iframe src="page.html" style="width:1280px;height:900px;border:0"></iframe>
<script>
addEventListener("load", async () => {
  const frame = document.querySelector("iframe");
  const turn = () => new Promise(done => setTimeout(done, 50));
  const reloaded = () => new Promise(done => { frame.onload = done; frame.contentWindow.location.reload(); });
  const shown = () => [...frame.contentDocument.querySelectorAll("main")].filter(e => e.offsetParent).map(e => e.lang);
  const result = await (async () => { SCRIPT })();
  document.getElementById("found").textContent = JSON.stringify(result);
});
</script>
"""


def look(
    program: str, pages: Mapping[str, str], folder: Path, language: str = "en-US"
) -> tuple[list[dict[str, Any]], list[str]]:
    """Every page at every width of ``WIDTHS``: what stands out, broken and whole pictures; and the console's lines."""
    frames = ""
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
        for width in WIDTHS:
            frames += f'<iframe src="{name}.html" style="width:{width}px;height:900px;border:0"></iframe>'
    (folder / "look.html").write_text(WRAPPER % frames, encoding="utf-8")
    seen, console = browse(program, folder / "look.html", folder / "profile", language)
    found = re.search(r'<pre id="found">(.*?)</pre>', seen, re.DOTALL)
    assert found
    return json.loads(html.unescape(found[1])), console


def act(program: str, page: str, folder: Path, script: str) -> dict[str, Any]:
    """What a script in a document beside the page returns: the body of an asynchronous function of ``frame``,
    a frame of 1280 by 900 pixels that has loaded the page; it returns plain data."""
    folder.mkdir(exist_ok=True)
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "act.html").write_text(ACT.replace("SCRIPT", script), encoding="utf-8")
    seen, console = browse(program, folder / "act.html", folder / "profile")
    found = re.search(r'<pre id="found">(.*?)</pre>', seen, re.DOTALL)
    assert found and found[1] and console == [], (seen[:500], console)
    return json.loads(html.unescape(found[1]))


def browse(program: str, file: Path, profile: Path, language: str = "en-US") -> tuple[str, list[str]]:
    """The document after its scripts ran, and what went to the console."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
    quiet = (
        f"--accept-lang={language}",
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={profile}",
    )
    seen = ("--allow-file-access-from-files", "--virtual-time-budget=5000", "--enable-logging=stderr", "--v=0")
    command = [program, *flags, *quiet, *seen, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
