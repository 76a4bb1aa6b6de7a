"""The kinds of parts that a recipe may name, and how their settings are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny

from .. import derive, encoders, fusions, losses, modalities, teachers
from ..registry import DeriveSettings, ModalitySettings, PartSettings, settings

PARTS = {
    "derive": derive.TABLE,
    "modalities": modalities.TABLE,
    "encoders": encoders.TABLE,
    "fusion": fusions.TABLE,
    "losses": losses.TABLE,
    "members": teachers.TABLE,
}
RESERVED = (
    "fused",
    "present",
    "logits",
    "gates",
    "key",
    "label",
    "content",
    "drawn",
    "error",
    "same",
)  # names of other arrays

if TYPE_CHECKING:
    Modality = ModalitySettings
    Derive = DeriveSettings
    Encoder = Fusion = Loss = PartSettings
else:  # the settings of a part, read by the part that its ``kind`` names

    def _part(table: dict[str, str]) -> Any:
        return Annotated[SerializeAsAny[PartSettings], BeforeValidator(lambda value: settings(table, value))]

    Modality, Encoder, Derive = _part(modalities.TABLE), _part(encoders.TABLE), _part(derive.TABLE)
    Fusion, Loss = _part(fusions.TABLE), _part(losses.TABLE)


Share = Annotated[float, Field(ge=0, le=1)]


def listed(value: Any) -> Any:
    """One name, or several."""
    return (value,) if isinstance(value, str) else value


def texts(value: Any) -> Any:
    """One cell's content, or several; what YAML reads as numbers or truths, as the table has them."""
    values = value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(item, (dict, list, tuple)) or item is None for item in values):
        return value
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)
