"""The way through the house, as one table. Stages meet in the run folder and never import each other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One verb: what it needs done before it, and which parts of the recipe decide its result."""

    verb: str
    says: str
    reads: tuple[str, ...]  # stages whose artefacts it opens
    recipe: tuple[str, ...]  # recipe keys that decide its result
    format: int = 1  # raised when what it writes changes form
    limits: tuple[str, ...] = ()  # of these keys, those that can stop it and change no result
    training_counts: tuple[str, ...] = ()  # of these keys, those that ask for more or fewer trainings and change none
    judging: tuple[str, ...] = ()  # of these keys, those that only judge its results, which stay


STAGES: dict[str, Stage] = {
    s.verb: s
    for s in (
        Stage(
            "prepare",
            "Read, clean and split the rows; write columns to disk.",
            (),
            ("data", "modalities", "seed", "evaluate.slice_by"),
            format=5,
            limits=("data.max_quarantined",),
        ),
        Stage(
            "teach",
            "Train the teacher, or measure an external one.",
            ("prepare",),
            ("teacher", "seed", "compute.threads", "compute.processes", "modalities.*.augment", "distill.teachers"),
            format=6,
        ),
        Stage(
            "extract",
            "Run the teacher once over training and validation rows; store its outputs.",
            ("prepare", "teach"),
            (
                "extract",
                "compute.threads",
                "modalities.*.augment",
                "distill.losses.*.map",
                "distill.losses.*.teacher",
                "distill.teachers",
            ),
            format=2,
        ),
        Stage(
            "distill",
            "Train the students from the store, and the labels-only baselines.",
            ("prepare", "extract"),
            ("student", "distill", "seed", "compute.processes", "modalities.*.augment", "evaluate.label_curve"),
            format=7,
            training_counts=(
                "distill.num_seeds",
                "distill.label_fractions",
                "distill.baseline.epochs",
                "distill.unimodal_baselines",
                "distill.weak_teacher",
                "evaluate.label_curve",
            ),
        ),
        Stage(
            "export",
            "Write the student as ONNX and verify it on every subset of modalities.",
            ("prepare", "teach", "distill"),
            ("export",),
            format=3,
        ),
        Stage(
            "evaluate",
            "Evaluate every model on the test rows, once.",
            ("prepare", "teach", "distill", "export"),
            ("evaluate", "goal"),
            judging=("goal",),
        ),
        Stage(
            "report",
            "Write the report page and the model card.",
            ("prepare", "teach", "extract", "distill", "export", "evaluate"),
            (),
            format=2,
        ),
    )
}
