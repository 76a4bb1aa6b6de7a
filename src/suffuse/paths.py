"""Paths that come from a file: each goes through :func:`inside` before anything is read, written or moved.

A run folder or an export may come from anywhere. A name in its stamps, manifests or lists is a plain relative path
below the folder that holds it, or it is refused.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from .errors import SuffuseError


def inside(folder: Path, name: object, *, plain: bool = False) -> Path:
    """``folder / name``. ``plain``: the name of an entry of the folder itself, which isn't hidden.

    Raises SuffuseError where the name isn't a plain relative path, or a link on the way leads out of the folder.
    """
    why = _refused(name, plain)
    if why:
        raise SuffuseError("a path of this folder can't be used", where=folder, got=f"{name!r}: {why}")
    assert isinstance(name, str)
    place = folder
    for part in PurePosixPath(name).parts:
        place = place / part
        if place.is_symlink() and not leads_inside(place, folder):
            raise SuffuseError("a link leads out of the folder", where=place, got=place.readlink())
    return place


def is_plain(name: object) -> bool:
    """Whether this is the name of a file that isn't hidden, and no path."""
    return not _refused(name, plain=True)


def leads_inside(link: Path, folder: Path) -> bool:
    """Whether what a link points at lies below the folder. A link that leads in a circle doesn't."""
    try:
        resolved = link.resolve()  # of a circle it raises, or from Python 3.13 on stops at one of its links
        return not resolved.is_symlink() and resolved.is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False


def refuse_links(folder: Path) -> None:
    """Raise SuffuseError where a link below the folder leads out of it: what is written there would land elsewhere."""
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            link = Path(where, name)
            if link.is_symlink() and not leads_inside(link, folder):
                hint = "replace it by what it points at, or move the whole run and link to that"
                raise SuffuseError("a link leads out of the folder", where=link, got=link.readlink(), hint=hint)


def _refused(name: object, plain: bool) -> str:
    """Why a name can't be used; nothing where it can."""
    if not isinstance(name, str) or not name:
        return "not a name"
    if "\0" in name or "\\" in name:
        return "it holds a character that no name has"
    if name.startswith("/") or PureWindowsPath(name).drive:
        return "it isn't relative"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "it isn't a plain path"
    if plain and (len(parts) > 1 or name.startswith(".")):
        return "it isn't a plain name"
    return ""
