"""The knowledge store: what the teacher knows of each row, memory-mapped, keyed by row id and contents.

    chunks          blocks (subset of modalities, view) and the atomic parts of a store that is being built
    builder         the plan of a build, and the work of one or several processes on it
    leases          how processes share parts
    row_reuse       rows of a previous store that are still valid
    compaction      all parts as one array for each tap
    logit_encoding  logits as they are stored, and the error of that
    fingerprint     what decides the content; which part of it changed
    manifest        the facts of a store, signed, its arrays, and ``suffuse knowledge show``
    store           an open store, and the reader of a student's training
    teacher_logits  the logits of a store as one array
    parquet_export  a store as one table

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
