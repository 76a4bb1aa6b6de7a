"""Losses: how far the student is from the labels or from the teacher.

A loss is one module with ``Settings``, ``needs(settings)`` (what of the teacher it reads),
``layers(settings, student, teacher) -> ModuleDict`` (projectors, if any; both are tap -> width) and
``loss(settings, layers, student, teacher, target) -> scalar``; ``student`` is an ``Output``, ``teacher`` maps
what the loss needs to the teacher's arrays for the same rows.

Every loss is a mean over the rows that are valid for it, in float32, and 0 where no row is. A loss on a
modality's feature leaves out the rows in which the modality is absent: ``student.present[modality]`` says which
have it, and stands there only where some row lacks it.
"""

TABLE = {
    "task": "suffuse.losses.task",
    "kd": "suffuse.losses.kd",
    "hint": "suffuse.losses.hint",
}
