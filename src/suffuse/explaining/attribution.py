"""Attribution: how much evidence each segment of an entry contributes, by integrated gradients or by occlusion.

Evidence is a function F of the logits z that doesn't saturate as a probability of 0.999 does:

    classes  z_c - log sum_{j != c} exp z_j      log-odds of the predicted class against all others
    labels   z_c                                 its log-odds
    number   z                                   in standard deviations of the target

Occlusion removes one segment at a time and takes the evidence that is lost. Integrated gradients (Sundararajan, Taly &
Yan 2017), computed by Captum, integrate along the line from the entry without all segments, x', to the entry x:

    a_i = (x_i - x'_i) int_0^1 dF(x' + t (x - x')) / dx_i dt        sum_i a_i = F(x) - F(x')

The sum is exact for the integral. With a finite number of steps a gap remains, which is reported.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..losses.ctc import ctc_rows
from ..types import CLASSES, LABELS, NUMBER, TOKENS, Head, Spec
from .perturbation import ModelRow, NetworkRow
from .segments import Segments

UNIT = {CLASSES: "log-odds", LABELS: "log-odds", NUMBER: "standard deviations", TOKENS: "log-probability"}
STEPS = 128
BATCH = 32  # steps at a time
GRADIENT_KINDS = ("image", "audio", "sequence")  # entries of numbers: a token or a category has no gradient


@dataclass(frozen=True)
class ExplainedOutput:
    """The output that is explained: ``index`` among the ``outputs`` of a target; of a transcript its units."""

    head: Head
    outputs: slice  # of the target, among the model's
    index: int | tuple[int, ...]

    def evidence(self, logits: Tensor) -> Tensor:
        """(K, C) logits of all targets -> (K,)."""
        own = logits[:, self.outputs]
        if isinstance(self.index, tuple):
            return text_evidence(self.head, own, self.index)
        if self.head.kind != CLASSES:
            return own[:, self.index]
        others = torch.arange(own.shape[1], device=own.device) != self.index
        return own[:, self.index] - own[:, others].logsumexp(1)

    def evidence_array(self, logits: np.ndarray) -> np.ndarray:
        """The same for an array, in float64."""
        return self.evidence(torch.from_numpy(logits).double()).numpy()


def text_evidence(head: Head, logits: Tensor, units: tuple[int, ...]) -> Tensor:
    """(K, T V) logits of a transcript -> (K,) log-probability of these units, over all paths."""
    target = torch.tensor([len(units), *units], device=logits.device).expand(len(logits), -1)
    rows = ctc_rows(logits.reshape(len(logits), head.frames, head.frame_outputs), target)
    return -rows * max(len(units), 1)


def target_outputs(spec: Spec, target: int) -> tuple[Head, slice]:
    """A target, and its columns among the outputs."""
    start = sum(head.outputs for head in spec.heads[:target])
    return spec.heads[target], slice(start, start + spec.heads[target].outputs)


def occlusion(row: ModelRow, name: str, segments: Segments, output: ExplainedOutput) -> np.ndarray:
    """(K,) evidence that is lost without each segment."""
    entry, count = row.entries[name], len(segments.labels)
    changed = np.stack([entry, *(segments.without(entry, segment) for segment in range(count))])
    present = np.repeat(row.columns.present[row.row][None], count + 1, 0)
    evidence = output.evidence_array(row.logits(present, {name: changed}))
    return evidence[0] - evidence[1:]


def has_gradients(row: ModelRow, name: str) -> bool:
    """Whether gradients reach a modality's entry: a torch network whose encoder of it isn't frozen."""
    if not isinstance(row, NetworkRow):
        return False
    encoder = row.model.encoder(name)
    return encoder.kind in GRADIENT_KINDS and not encoder.frozen


def integrated_gradients(
    row: NetworkRow, name: str, segments: Segments, output: ExplainedOutput
) -> tuple[np.ndarray, float, float]:
    """(K,) evidence of each segment, the total that they should sum to, and the gap between both."""
    from captum.attr import IntegratedGradients  # pyright: ignore

    device = row.model.log_prior.device
    entry, removed = (torch.from_numpy(x).float().unsqueeze(0) for x in (row.entries[name], segments.removed))
    entry, removed = entry.to(device), removed.to(device)
    present = row.batch.present

    def evidence(x: Tensor) -> Tensor:
        # an encoder subtracts in place
        batch = row.batch_of(present.expand(len(x), -1).clone(), {name: x.clone()})
        return output.evidence(row.model(batch).logits)

    # cuDNN has no gradient of a recurrent layer in eval mode; torch's own kernels have
    with torch.backends.cudnn.flags(enabled=False) if device.type == "cuda" else nullcontext():
        attributions = IntegratedGradients(evidence).attribute(
            entry.clone(), removed.clone(), n_steps=STEPS, internal_batch_size=BATCH, method="gausslegendre"
        )
    row.model.zero_grad(set_to_none=True)
    with torch.no_grad():
        total = float(evidence(entry) - evidence(removed))
    values = segments.sums(attributions[0].detach().cpu().double().numpy())
    return values, total, float(values.sum() - total)
