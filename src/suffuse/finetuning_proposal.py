"""Fine-tuning in the proposed teacher: where networks run on an accelerator, unless the user chose a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .prepare.recipe_proposal import Proposal
from .recipe import Recipe, recipe_of_text


def finetuned_on_accelerator(
    proposal: Proposal, teacher: str | None, read: Callable[[str], Recipe] = recipe_of_text
) -> Proposal:
    """The proposal, whose pretrained encoders are fine-tuned too where networks run on an accelerator and the user
    names no ``teacher``. ``read`` makes the recipe of its text, whose ``compute`` says where networks run."""
    if teacher is not None or not proposal.draft.encoders.any:
        return proposal
    try:
        from .engine.runtime import device_of
    except ImportError:  # what proposes needs no torch
        return proposal
    if device_of(read(proposal.text).compute).type == "cpu":
        return proposal
    return proposal.redrafted(replace(proposal.draft, finetuned=True))
