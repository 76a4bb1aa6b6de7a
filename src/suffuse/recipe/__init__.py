"""The recipe: everything that decides a run. Equals its YAML; an unknown key is an error with a suggestion.

part_kinds      the kinds of parts that it may name
data_settings   rows, targets, splits
networks        teacher and student, and how they are trained
student         the student: its candidates, and what it may cost
goal            what a student must reach to be ready
stage_settings  the knowledge store, distillation, export, evaluation, the machine's share
recipe          all sections, and what they must agree on
loading         from YAML and overrides, and back
yaml_io         YAML with limits on size and depth
"""

from __future__ import annotations

from .data_settings import Data, Split, Task
from .goal import Goal
from .loading import is_run, make_recipe, read_recipe, recipe_of_text, to_yaml, with_parts
from .networks import AnyTeacher, Network, OwnTraining, Teacher, Training
from .part_kinds import PARTS, RESERVED
from .recipe import Recipe, default_losses
from .stage_settings import Baseline, Compute, Distill, Evaluate, Export, Extract, Limits, Schedule
from .student import PROPOSED, Student, StudentBudget

__all__ = [
    "PARTS", "PROPOSED", "RESERVED", "AnyTeacher", "Baseline", "Compute", "Data", "Distill", "Evaluate", "Export",
    "Extract", "Goal", "Limits", "Network", "OwnTraining", "Recipe", "Schedule", "Split", "Student", "StudentBudget",
    "Task", "Teacher", "Training", "default_losses", "is_run", "make_recipe", "read_recipe", "recipe_of_text",
    "to_yaml", "with_parts",
]  # fmt: skip
