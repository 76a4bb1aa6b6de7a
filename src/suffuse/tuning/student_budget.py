"""The candidates for the student that its budget allows (``student.budget``): networks over it are made narrower."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..data.columns import Columns
from ..errors import UsageError
from ..model import FusionModel
from ..recipe import Network
from ..run import Run
from .model_cost import Costs
from .network_width import SCALES, narrowed


@dataclass(frozen=True)
class Candidate:
    """A network that may become the student, and its cost."""

    name: str
    network: Network
    parameters: int
    scale: float = 1.0  # of its widths, to fit the budget
    size: int | None = None  # bytes of the exported file; None: not measured
    latency_ms: float | None = None

    @property
    def modalities(self) -> int:
        """Number of modalities that it reads."""
        return len(self.network.encoders)

    def facts(self) -> dict[str, Any]:
        """Name, modalities and cost, as JSON."""
        return {
            "name": self.name, "modalities": list(self.network.encoders), "scale": self.scale,
            "parameters": self.parameters, "size": self.size, "latency_ms": self.latency_ms,
        }  # fmt: skip


def fit_budget(
    run: Run, columns: Columns, folder: Path, smaller_than: int | None
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """The candidates within the budget, narrower where they have to be, and those that don't fit with their cost.

    ``folder``: where measured costs are kept; ``smaller_than``: parameters that no candidate may have, the teacher's.
    Raises UsageError where none fits.
    """
    student = run.source_recipe.student
    costs = Costs(columns, student, folder)
    fitting: list[Candidate] = []
    left_out: list[dict[str, Any]] = []
    for name, network in student.networks().items():
        made = _measured(run, columns, costs, name, network, 1.0)
        for scale in SCALES:
            if _fits(run, made, smaller_than):
                break
            made = _measured(run, columns, costs, name, narrowed(network, columns.spec, scale), scale)
        if not _fits(run, made, smaller_than):
            left_out.append(made.facts())
        elif all(made.network != other.network for other in fitting):
            fitting.append(made)
    if not fitting:
        least = min(left_out, key=lambda facts: facts["parameters"])
        raise UsageError(
            "no candidate fits the student's budget", where="student.budget", got=_cost_text(least),
            expected=_budget_text(run, smaller_than), hint="raise the budget, or name a smaller candidate",
        )  # fmt: skip
    return fitting, left_out


def _measured(run: Run, columns: Columns, costs: Costs, name: str, network: Network, scale: float) -> Candidate:
    budget = run.source_recipe.student.budget
    parameters = FusionModel(network, columns.of(network.encoders).spec).size()
    candidate = Candidate(name, network, parameters, scale)
    if budget.size is None and budget.latency_ms is None:
        return candidate
    cost = costs.of(network)
    return replace(candidate, size=cost["bytes"], latency_ms=cost["latency_ms"])


def _fits(run: Run, candidate: Candidate, smaller_than: int | None) -> bool:
    """Whether a candidate is within the budget, and smaller than the teacher."""
    budget = run.source_recipe.student.budget
    limits = [
        (candidate.parameters, budget.parameters),
        (candidate.size, budget.size),
        (candidate.latency_ms, budget.latency_ms),
    ]
    within = all(limit is None or (cost is not None and cost <= limit) for cost, limit in limits)
    return within and (smaller_than is None or candidate.parameters < smaller_than)


def _cost_text(facts: Mapping[str, Any]) -> str:
    parts = [f"{facts['parameters']:,} parameters"]
    parts += [f"{facts['size']:,} bytes"] if facts["size"] is not None else []
    parts += [f"{facts['latency_ms']:.2f} ms"] if facts["latency_ms"] is not None else []
    return f"{', '.join(parts)} of the narrowest {facts['name']}"


def _budget_text(run: Run, smaller_than: int | None) -> str:
    budget = run.source_recipe.student.budget
    parts = [f"{budget.parameters:,} parameters"] if budget.parameters is not None else []
    parts += [f"{budget.size:,} bytes"] if budget.size is not None else []
    parts += [f"{budget.latency_ms:g} ms"] if budget.latency_ms is not None else []
    parts += [f"fewer than the teacher's {smaller_than:,} parameters"] if smaller_than is not None else []
    return ", ".join(parts) + " at most"
