"""Batch statistics over the entries of several processes (as SyncBatchNorm, which torch has for GPUs alone).

    mean = sum x / n, var = sum (x - mean)^2 / n      over all processes
    dx = w / sigma (dy - mean(dy) - z mean(dy z))     z = (x - mean) / sigma

Inside :func:`synchronised` every call of ``torch.nn.functional.batch_norm`` in training takes its statistics over what
all processes have, whoever calls it: encoders here, or a library's. Squares are summed about the local means and
combined (Chan, Golub & LeVeque 1983), so nothing cancels. A process may have no entry at all. Outside it nothing
changes, and nothing here loads torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Sum = Callable[["Tensor"], "Tensor"]  # over all processes

_over: ContextVar[Sum | None] = ContextVar("over", default=None)


def total(count: int) -> int:
    """The sum of a count over the processes whose statistics are taken together; the count itself outside."""
    over = _over.get()
    if over is None:
        return count
    import torch

    return int(over(torch.tensor([count])).item())


@contextlib.contextmanager
def synchronised(over: Sum | None) -> Iterator[None]:
    """Batch statistics inside are those of all processes; ``over`` None: each process's own."""
    if over is None:
        yield
        return
    before = _over.set(over)
    try:
        with _mode()(over):
            yield
    finally:
        _over.reset(before)


def _mode() -> Any:
    """The class that catches the calls; made when it is needed, as it is torch's."""
    from torch.nn import functional as F
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):
        def __init__(self, over: Sum):
            super().__init__()
            self.over = over

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is F.batch_norm:
                found = _bound(*args, **(kwargs or {}))
                if found["training"]:
                    return batch_norm(self.over, **found)
            return func(*args, **(kwargs or {}))

    return Mode


def _bound(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):  # noqa: PLR0913
    """The arguments of ``batch_norm`` by name."""
    return locals()


def batch_norm(over: Sum, *, input: Tensor, training: bool, momentum: float, eps: float, **own: Any) -> Tensor:
    """As ``torch.nn.functional.batch_norm`` in training, with (U, C, ...) of all processes."""
    import torch

    mean, var, count = _statistics(over, input)
    if own["running_mean"] is not None:
        with torch.no_grad():
            own["running_mean"].lerp_(mean.to(own["running_mean"].dtype), momentum)
            spread = var * (count / max(count - 1, 1))
            own["running_var"].lerp_(spread.to(own["running_var"].dtype), momentum)
    return _function().apply(input, own["weight"], own["bias"], (over, mean, var, count, eps))


def _statistics(over: Sum, x: Tensor) -> tuple[Tensor, Tensor, int]:
    """(C,) mean and variance over all processes, in float32 at least, and how many numbers they are of."""
    import torch

    with torch.no_grad():
        x = x.detach()
        x = (x if x.dtype == torch.float64 else x.float()).transpose(0, 1).flatten(1)
        here = x.shape[1]
        middle = x.mean(1) if here else x.new_zeros(len(x))
        squares = (x - middle.unsqueeze(1)).square().sum(1).double()
        sums = over(torch.cat([middle.double() * here, torch.tensor([float(here)], dtype=torch.float64)]))
        count = max(int(sums[-1].item()), 1)
        mean = sums[:-1] / count
        var = over(squares + here * (middle - mean).square()) / count
        return mean.to(x.dtype), var.to(x.dtype), count


def _function() -> Any:
    """The autograd function of the normalisation, whose gradient has sums over all processes in it."""
    import torch
    from torch.autograd.function import once_differentiable
    from torch.nn import functional as F

    class Normalised(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, facts: tuple) -> Tensor:
            over, mean, var, count, eps = facts
            ctx.facts = (over, count, eps)
            ctx.save_for_backward(x, weight, mean, var)
            return F.batch_norm(x, mean.to(x.dtype), var.to(x.dtype), weight, bias, False, 0.0, eps)

        @staticmethod
        @once_differentiable  # mean and variance, and the sums over processes, are constants to a second derivative
        def backward(ctx: Any, *grads: Tensor) -> tuple:  # pyright: ignore[reportIncompatibleMethodOverride]
            (over, count, eps), (x, weight, mean, var) = ctx.facts, ctx.saved_tensors
            shape = (1, -1, *[1] * (x.dim() - 2))
            others = [d for d in range(x.dim()) if d != 1]
            dy = grads[0].to(mean.dtype)
            z = (x.to(mean.dtype) - mean.reshape(shape)) * (var + eps).rsqrt().reshape(shape)
            by_bias, by_weight = dy.sum(others), (dy * z).sum(others)
            means = over(torch.cat([by_bias, by_weight])) / count
            one, other = (m.reshape(shape) for m in means.split(len(mean)))
            scale = (var + eps).rsqrt() * (1.0 if weight is None else weight.to(mean.dtype))
            dx = (dy - one - z * other) * scale.reshape(shape)
            return (
                dx.to(x.dtype),
                None if weight is None else by_weight.to(weight.dtype),
                None if weight is None else by_bias.to(weight.dtype),
                None,
            )

    return Normalised
