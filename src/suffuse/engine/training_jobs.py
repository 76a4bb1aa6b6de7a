"""Which trainings a recipe asks for."""

from __future__ import annotations

from ..run import Run
from .student_training import Job


def jobs(run: Run) -> list[Job]:
    """Student and baseline, with all labels and with each smaller share; then each modality alone."""
    found = []
    for number in range(run.recipe.distill.seeds):
        one = run.recipe.seed + number + 1
        for fraction in (1.0, *run.recipe.fractions):
            suffix = "" if fraction == 1 else f"-{fraction:g}"
            found.append(Job(f"student{suffix}", one, True, fraction, None))
            found.append(Job(f"baseline{suffix}", one, False, fraction, None))
        if run.recipe.distill.floors and len(run.recipe.student.encoders) > 1:
            found.extend(Job(f"only-{name}", one, False, 1.0, name) for name in run.recipe.student.encoders)
        if run.recipe.distill.rival:
            found.append(Job("rival", one, False, 1.0, None))
    return found
