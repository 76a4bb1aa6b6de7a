"""The contracts of parts, for parts of your own: ``suffuse.testing.check_loss(MyLoss)`` in a test of your project.

Each function takes a class, a module or an object that follows the Protocol of its kind, or the kind of a part of
suffuse's, and raises AssertionError with what is wrong. suffuse's own tests call the same checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import encoders, fusions, losses, modalities, teachers, user_parts
from ..registry import load_part, settings
from ..types import CLASSES

if TYPE_CHECKING:
    from ..evaluation.context import Context
    from ..run import Run

__all__ = ["check_encoder", "check_fusion", "check_loss", "check_modality", "check_probe", "check_teacher"]

Settings = Mapping[str, Any]


def check_loss(part: Any, examples: Sequence[Settings] | None = None) -> None:
    """Check a loss with every one of its ``EXAMPLES``, or with the settings in ``examples``: a mean over rows,
    gradients of the student alone, no tap but those that it names, extreme logits, bfloat16, 0 at the teacher."""
    from . import loss_checks

    kind = _kind(part, "losses")
    loaded = load_part(losses.TABLE, kind, losses.LossPart)
    for choice in examples or loaded.EXAMPLES:
        for target in loaded.HEADS or (CLASSES,):
            for check in loss_checks.CHECKS:
                check(loss_checks.Built({"kind": kind, **choice}), target)


def check_encoder(
    part: Any, examples: Sequence[tuple[str, Settings]] | None = None, modality: Any = None, export: bool = True
) -> None:
    """Check an encoder with every one of its ``EXAMPLES``, by default its defaults on each kind that it reads, or with
    ``examples``: (kind of modality, settings). ``modality``: a modality of your own that it reads. ``export``: whether
    it is also exported and compared."""
    from . import encoder_checks, export_checks

    kind = _kind(part, "encoders")
    loaded = load_part(encoders.TABLE, kind, encoders.EncoderPart)
    kinds = loaded.MODALITIES
    if modality is not None:
        kinds = (_kind(modality, "modalities"),)
        encoder_checks.add_field(kinds[0])
    for field, choice in examples or loaded.EXAMPLES or [(name, {}) for name in kinds]:
        asked = {"kind": kind, **choice}
        for check in encoder_checks.CHECKS:
            check(lambda seed, asked=asked, field=field: encoder_checks.Built(asked, field, seed))
        if export:
            fusion = {"kind": "concat", "width": 6}
            export_checks.check_export(asked, encoder_checks.FIELDS[field], export_checks.stored(field), fusion)


def check_fusion(part: Any, examples: Sequence[Settings] | None = None, export: bool = True) -> None:
    """Check a fusion of two and of three modalities, as far as it takes so many, with every one of its ``EXAMPLES``, or
    with ``examples``: absent slots change no bit and get no gradient, rows are independent, gates, width."""
    from . import encoder_checks, export_checks, fusion_checks

    kind = _kind(part, "fusions")
    loaded = load_part(fusions.TABLE, kind, fusions.FusionPart)
    low, high = loaded.TAKES
    for choice in examples or loaded.EXAMPLES:
        for count in (count for count in (2, 3) if low <= count <= high):
            for check in fusion_checks.CHECKS:
                check(fusion_checks.build(kind, count, dict(choice)), count)
        if export and low <= 2 <= high:
            settings = fusion_checks.fusion_settings(kind, 2, dict(choice)).model_dump(mode="json")
            words, picture = {"kind": "conv", "widths": [4]}, encoder_checks.FIELDS["image"]
            export_checks.check_export(words, picture, export_checks.stored("image"), settings)


def check_modality(part: Any, examples: Sequence[Settings] | None = None) -> None:
    """Check a modality with every one of its ``EXAMPLES``, or with ``examples``, on the cells that its function
    ``examples`` gives: digests, entries independent of others, statistics, absent and unreadable cells."""
    from . import modality_checks

    kind = _kind(part, "modalities")
    for choice in examples or load_part(modalities.TABLE, kind, modalities.ModalityPart).EXAMPLES:
        asked = {"column": "c", **choice, "kind": kind}
        for check in modality_checks.CHECKS:
            check(lambda fitted_on, asked=asked: modality_checks.Built(asked, fitted_on))


def check_probe(part: Any, context: Context) -> None:
    """Check a probe on a context (:func:`suffuse.stages.evaluate.looked` makes one of a finished run): its fields are
    those that it names, plain JSON, and the same the second time."""
    from . import probe_checks

    probe_checks.check_result(_kind(part, "probes"), context)


def check_teacher(part: Any, run: Run, chosen: Settings | None = None) -> None:
    """Check an external teacher, with these settings, on the rows of a prepared run."""
    import dataclasses

    import numpy as np

    from ..data.columns import Columns
    from ..teachers.factory import open_external
    from . import teacher_checks

    teacher = settings(teachers.TABLE, {"kind": _kind(part, "teachers"), **(chosen or {})})
    asked = dataclasses.replace(run, recipe=run.recipe.model_copy(update={"teacher": teacher}))
    columns = Columns.open(run.path("data"))
    for check in teacher_checks.CHECKS:
        check(lambda: open_external(asked, columns), np.arange(len(columns.split)), columns.spec.outputs)


def _kind(part: Any, group: str) -> str:
    """The kind of a part: a name stays, anything else is registered for this process."""
    return part if isinstance(part, str) else user_parts.register(part, group)
