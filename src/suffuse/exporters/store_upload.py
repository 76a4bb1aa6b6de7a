"""Uploads an export to a folder of objects. ``signature.json``, which states size and hash of every other file, is
written last: what is there without it, or with another one's, is no export."""

from __future__ import annotations

from pathlib import Path

from .. import export_integrity
from ..object_store import checked
from ..object_upload import check_writable, publish
from ..progress import say


def push_to_store(folder: Path, url: str) -> str:
    """Write the files of an export folder, or of the export of a run, and no others, below a URL; returns it.

    Raises SuffuseError where the folder is no whole export, or the store doesn't take it; UsageError where the URL
    can't be used.
    """
    url = checked(url)
    place, files, signature = export_integrity.checked_files(folder)
    if rows := signature.get("examples", 0):
        say(f"WARNING: {rows} rows of the table are uploaded too, in examples.json (export.examples)")
    check_writable(f"{url}/{export_integrity.SIGNATURE}")
    for name in (*files, export_integrity.SIGNATURE):
        publish(place / name, f"{url}/{name}")
    return url
