"""The page to try models on: plain files that need no other server. They ask ``v1/models`` of the one they come from.

Every address in them is relative, so that the page works behind a proxy's prefix too.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing but its own files runs or is loaded; pictures and sounds that were chosen are shown from memory.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def files() -> dict[str, str]:
    """Name -> media type of every file of the page; of them all but ``INDEX`` belong under ``static/``."""
    return {p.name: TYPES[p.suffix] for p in sorted(FOLDER.iterdir()) if p.suffix in TYPES}


def content(name: str) -> bytes | None:
    """A file's bytes; None where the page has no file of that name, however it is written."""
    return (FOLDER / name).read_bytes() if name in files() else None
