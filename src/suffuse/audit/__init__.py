"""The audit of a run: thirty-four things that a distillation tool gets wrong in practice, and how this run stands.

    items          what they are, and the tests that guard each
    evidence       what a run has left behind, read once
    checks         what can be measured again in a run: an item -> how it stands, and the number that says so
    training_rows  the same, of the rows and steps that trainings recorded
    lines          the audit for people

Nothing is changed, and nothing is trained: what is read is what the run's stages wrote.
"""

from __future__ import annotations

from .auditor import audit
from .items import ITEMS, Found, Item

__all__ = ["ITEMS", "Found", "Item", "audit"]
