"""The student of a recipe: a network, other networks to choose from, and what it may cost."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from .. import fusions
from ..registry import Settings
from .goal import byte_size
from .networks import Network

PROPOSED = "proposed"  # the name of the student's own network among its candidates
SELECTION_SHARE = 0.25  # of the epochs, in the selection's first round
SELECTION_SEEDS = 2  # of the student's, with which finalists are trained


class StudentBudget(Settings):
    """What the student may cost. A network that costs more is made narrower until it fits, or isn't trained."""

    parameters: int | None = Field(default=None, ge=1)
    size: Annotated[int | None, BeforeValidator(byte_size)] = None  # of the exported file
    latency_ms: float | None = Field(default=None, gt=0)  # of one row on one thread of this machine, exported

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return any(limit is not None for limit in (self.parameters, self.size, self.latency_ms))


class Student(Network):
    """The small model. Where there are candidates, the best one on validation is the student."""

    candidates: dict[str, Network] = Field(default_factory=dict)  # name -> settings in which it differs
    budget: StudentBudget = StudentBudget()
    finalists: int = Field(default=3, ge=2, le=20)  # networks that are trained in full; before that all, for a quarter

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, raw: Any) -> Any:
        """Fill each candidate with the student's own settings."""
        if not isinstance(raw, dict) or not isinstance(candidates := raw.get("candidates"), dict):
            return raw
        own = {key: value for key, value in raw.items() if key in Network.model_fields}
        return {**raw, "candidates": {name: _merged(own, changes) for name, changes in candidates.items()}}

    @field_validator("candidates")
    @classmethod
    def _named(cls, candidates: dict[str, Network]) -> dict[str, Network]:
        for name in candidates:
            if name == PROPOSED or not name.isidentifier():
                raise ValueError(f"got the name '{name}', expected a plain word other than {PROPOSED}")
        return candidates

    @property
    def is_selected(self) -> bool:
        """Whether the network is chosen, or fitted to a budget, before it is trained."""
        return bool(self.candidates) or bool(self.budget)

    def networks(self) -> dict[str, Network]:
        """Name -> network: the student's own first, then its candidates."""
        return {PROPOSED: self.bare(), **{name: network.bare() for name, network in self.candidates.items()}}


def _merged(own: dict[str, Any], changes: Any) -> Any:
    """A candidate's settings: the student's with these changes. Of an encoder of the same kind the keys that are named
    change. A fusion that doesn't take so few modalities is replaced by concatenation."""
    if not isinstance(changes, dict):
        return changes
    merged, encoders = {**own, **changes}, changes.get("encoders", {})
    own_encoders = own.get("encoders")
    if isinstance(encoders, dict) and isinstance(own_encoders, dict):
        merged["encoders"] = {
            **own_encoders,
            **{name: _changed_part(own_encoders.get(name), encoder) for name, encoder in encoders.items()},
        }
    if "fusion" in changes:
        merged["fusion"] = _changed_part(own.get("fusion"), changes["fusion"])
    elif "modalities" in changes and "fusion" in own:
        merged["fusion"] = _fewer(own.get("fusion"), len(changes["modalities"]))
    return merged


def _changed_part(own: Any, changes: Any) -> Any:
    """A part's settings with changes; those of another kind as they are."""
    own = own.model_dump() if isinstance(own, Settings) else own
    if (
        not isinstance(own, dict)
        or not isinstance(changes, dict)
        or changes.get("kind", own.get("kind")) != own["kind"]
    ):
        return changes
    return {**own, **changes}


def _fewer(fusion: Any, count: int) -> Any:
    """The fusion where it takes so many modalities, else concatenation of the same width."""
    raw = fusion.model_dump() if isinstance(fusion, Settings) else fusion
    try:
        low, high = fusions.load_fusion(raw["kind"]).TAKES
    except (KeyError, TypeError, ValidationError):  # what is wrong with it is said elsewhere
        return fusion
    if low <= count <= high:
        return fusion
    return {"kind": "concat", **({"width": raw["width"]} if "width" in raw else {})}
