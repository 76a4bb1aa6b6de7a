"""Moves batches to a network's device. A tensor that is there already, or stays in main memory, is the same one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..types import Batch


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. To CUDA it goes through pinned memory, and the processor doesn't wait for it: what is
    computed next on the device comes after the copy."""
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def move_batch(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    if device.type == "cpu":
        return batch
    masks = (batch.full_present, batch.complementary_masks)
    full_present, complementary = (None if m is None else to_device(m, device) for m in masks)
    return replace(
        batch,
        inputs={name: to_device(x, device) for name, x in batch.inputs.items()},
        index={name: to_device(x, device) for name, x in batch.index.items()},
        present=to_device(batch.present, device),
        target=to_device(batch.target, device),
        rows=to_device(batch.rows, device),
        full_present=full_present,
        complementary_masks=complementary,
    )


def to_array(tensor: Tensor) -> np.ndarray:
    """float32 numbers in main memory; waits for the device."""
    return tensor.float().cpu().numpy()
