"""The audit of a run: thirty-four promises that distillation breaks in practice, and their state in this run.

    items          the promises, and the tests that guard each
    evidence       the artefacts of a run, read once, and their checksums
    checks         what can be measured again in a run: evidence -> state and fact
    training_rows  the same for rows and steps that trainings recorded
    auditor        all items of a run, as text and as JSON

Nothing is changed, and nothing is trained: only what the run's stages wrote is read.
"""

from __future__ import annotations

from .auditor import audit
from .items import ITEMS, Finding, Item

__all__ = ["ITEMS", "Finding", "Item", "audit"]
