"""Losses: how far the student is from the labels or from the teacher.

A loss is one module with ``Settings``, ``needs(settings)`` (what of the teacher it reads),
``layers(settings, student, teacher) -> ModuleDict`` (projectors, if any; both are tap -> width) and
``loss(settings, layers, student, teacher, target) -> scalar``; ``student`` is an ``Output``, ``teacher`` maps
what the loss needs to the teacher's arrays for the same rows.

A loss on answers says in ``HEADS`` which kinds of targets it is valid for, and is given one target at a time: its
logits, the teacher's, its labels, and what it is as ``student.head``; over several targets the mean is taken, weighed
as the recipe weighs them. A loss without ``HEADS`` is one on features.

Every loss is a mean over the rows that are valid for it, in float32, and 0 where no row is. A loss on a
modality's feature leaves out the rows in which the modality is absent: ``student.present[modality]`` says which
have it, and stands there only where some row lacks it.
"""

TABLE = {
    "task": "suffuse.losses.task",
    "kd": "suffuse.losses.kd",
    "multilabel_kd": "suffuse.losses.multilabel_kd",
    "regression_kd": "suffuse.losses.regression_kd",
    "hint": "suffuse.losses.hint",
}
