"""What an answer is worth in one number that doesn't saturate: a probability of 0.999 hides what made it.

classes  z_c - log sum_{j != c} exp z_j      log-odds of the answer against all others
labels   z_c                                 its log-odds
number   z                                   in standard deviations of the target
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..types import CLASSES, NUMBER, Head

UNIT = {CLASSES: "log-odds", "labels": "log-odds", NUMBER: "standard deviations"}


def evidence(head: Head, logits: Tensor, answer: int) -> Tensor:
    """(K, C) logits of one head -> (K,)."""
    if head.kind != CLASSES:
        return logits[:, answer]
    others = torch.arange(logits.shape[1]) != answer
    return logits[:, answer] - logits[:, others].logsumexp(1)


def of_array(head: Head, logits: np.ndarray, answer: int) -> np.ndarray:
    """The same of an array."""
    return evidence(head, torch.from_numpy(logits).double(), answer).numpy()
