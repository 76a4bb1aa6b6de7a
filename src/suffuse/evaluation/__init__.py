"""Evaluation: metrics, verdicts and probes of every model of a run, on its test rows.

A probe is one module that follows :class:`ProbePart`; :data:`suffuse.recipe.stage_settings.PROBES` lists the probes in
the order in which they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..recipe.stage_settings import PROBES
from ..registry import load_part

if TYPE_CHECKING:
    from .context import Context


@dataclass(frozen=True)
class ProbeDocs:
    """What docs/evaluate.md says of a probe."""

    models: str  # main: teacher, student, baseline and exports
    cost: str
    fields: str = ""  # as the page calls them, where ``FIELDS`` is less exact


class ProbePart(Protocol):
    """The interface of a probe's module."""

    FIELDS: tuple[str, ...]  # the names of the fields that it adds to a scorecard
    DOCS: ProbeDocs

    def probe(self, context: Context) -> dict[str, dict[str, Any]]:
        """Model -> fields of its scorecard, as JSON holds them."""
        ...


def load_probe(name: str) -> ProbePart:
    """The probe of this name. Raises UsageError where there is none."""
    return load_part(PROBES, name, ProbePart)
