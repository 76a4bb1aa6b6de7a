"""suffuse: distil heavy multimodal models into small students that keep working when a modality is missing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> its module; nothing is imported before it is asked for
PUBLIC = {
    "fit": "suffuse.fitted_model",
    "FittedModel": "suffuse.fitted_model",
    "Run": "suffuse.run",
    "Recipe": "suffuse.recipe",
    "read_recipe": "suffuse.recipe",
    "Callback": "suffuse.epoch_events",
    "Epoch": "suffuse.epoch_events",
    "run_all": "suffuse.pipeline",
    "run_stage": "suffuse.pipeline",
    "plan": "suffuse.pipeline",
    "scores": "suffuse.report.scores_table",
    "allow_parts": "suffuse.user_parts",
    "Knowledge": "suffuse.knowledge.dataset",
    "save_rows": "suffuse.sources.frame",
    "propose": "suffuse.prepare.recipe_proposal",
    "write_answers": "suffuse.teachers.table",
    "FusionModel": "suffuse.model",
    "Predictor": "suffuse.predictor",
    "Prediction": "suffuse.predictor",
    "SuffuseError": "suffuse.errors",
    "UsageError": "suffuse.errors",
}
__all__ = [
    "__version__",
    "fit",
    "FittedModel",
    "Run",
    "Recipe",
    "read_recipe",
    "Callback",
    "Epoch",
    "run_all",
    "run_stage",
    "plan",
    "scores",
    "allow_parts",
    "Knowledge",
    "save_rows",
    "propose",
    "write_answers",
    "FusionModel",
    "Predictor",
    "Prediction",
    "SuffuseError",
    "UsageError",
]

if TYPE_CHECKING:
    from .epoch_events import Callback, Epoch
    from .errors import SuffuseError, UsageError
    from .fitted_model import FittedModel, fit
    from .knowledge.dataset import Knowledge
    from .model import FusionModel
    from .pipeline import plan, run_all, run_stage
    from .predictor import Prediction, Predictor
    from .prepare.recipe_proposal import propose
    from .recipe import Recipe, read_recipe
    from .report.scores_table import scores
    from .run import Run
    from .sources.frame import save_rows
    from .teachers.table import write_answers
    from .user_parts import allow_parts


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'suffuse' has no attribute '{name}'")
    return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
