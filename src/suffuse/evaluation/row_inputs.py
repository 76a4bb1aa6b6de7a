"""Inputs: what a row has, in however many forms models read it.

A teacher may read a photo at 224 pixels for its pretrained encoder, and its student the same photo at 64: two
modalities of one column. Who lacks the photo lacks both. So subsets, missing rates, contributions and controls are of
inputs: the modalities of the same columns together, under the name of the student's one (where it reads none, of the
first). Only so can a student be held against its teacher.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..recipe import Recipe


def called(recipe: Recipe) -> dict[str, str]:
    """Modality -> its input's name."""
    first: dict[frozenset[str], str] = {}
    for name in (*recipe.student.encoders, *recipe.modalities):
        first.setdefault(frozenset(recipe.modalities[name].columns), name)
    return {name: first[frozenset(one.columns)] for name, one in recipe.modalities.items()}


def grouped(recipe: Recipe, names: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Of M modalities the names of their I inputs, in the recipe's order whoever reads them, and (I, M) bool: which
    modalities each is read in."""
    known = called(recipe)
    found = {known[name] for name in names}
    inputs = tuple(name for name in recipe.modalities if name in found)
    forms = [[known[name] == one for name in names] for one in inputs]
    return inputs, np.array(forms, dtype=bool).reshape(len(inputs), len(names))


def there(present: np.ndarray, forms: np.ndarray) -> np.ndarray:
    """(N, M) what of the modalities a row has, and (I, M) -> (N, I): the inputs of which it has some form."""
    return np.asarray((present[:, None, :] & forms).any(2))
