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
# names that no modality can have: of prepared and stored arrays, of what networks return, and of an attribute of
# torch's ModuleDict, which keeps the encoders by modality
RESERVED = frozenset(
    [
        "content",
        "drawn",
        "entry",
        "error",
        "fused",
        "gates",
        "group",
        "key",
        "label",
        "logits",
        "present",
        "same",
        "split",
        "target",
        "add_module",
        "apply",
        "bfloat16",
        "buffers",
        "call_super_init",
        "children",
        "clear",
        "compile",
        "cpu",
        "cuda",
        "double",
        "dump_patches",
        "eval",
        "extra_repr",
        "float",
        "forward",
        "get_buffer",
        "get_extra_state",
        "get_parameter",
        "get_submodule",
        "half",
        "ipu",
        "items",
        "keys",
        "load_state_dict",
        "modules",
        "mtia",
        "named_buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "parameters",
        "pop",
        "register_backward_hook",
        "register_buffer",
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
        "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook",
        "register_module",
        "register_parameter",
        "register_state_dict_post_hook",
        "register_state_dict_pre_hook",
        "requires_grad_",
        "set_extra_state",
        "set_submodule",
        "share_memory",
        "smart_apply",  # which transformers adds
        "state_dict",
        "to",
        "to_empty",
        "train",
        "training",
        "type",
        "update",
        "values",
        "xpu",
        "zero_grad",
        "T_destination",
    ]
)

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
