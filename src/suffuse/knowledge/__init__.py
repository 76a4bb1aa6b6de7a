"""The knowledge store: what the teacher knows of each row, memory-mapped, keyed by row id and contents.

    blocks       how the teacher saw the rows: subset of modalities, view
    encoding     logits as they are stored, and what that costs
    fingerprint  what decides the content; which part of it changed
    manifest     the store's facts, signed, and its arrays
    parts        the atomic parts while it is being made
    making       the work, alone or shared
    compaction   all parts as one store
    row_file     an array of it that rows are put into, in any order
    claims       sharing parts out over processes
    reuse        rows of an older store that are still right
    store        an open store: positions found once, one gather a tap
    reader       what a student's training reads of it: its view, its subset
    answers      its answers as one array
    people       the manifest in lines
    export       a table for people and other programs

``docs/knowledge.md`` is the format, for other programs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import Knowledge

__all__ = ["Knowledge"]


def __getattr__(name: str) -> Any:
    """``Knowledge`` itself needs torch; looking at a manifest doesn't."""
    if name == "Knowledge":
        return import_module("suffuse.knowledge.store").Knowledge
    raise AttributeError(f"module 'suffuse.knowledge' has no attribute '{name}'")
