"""How deep each parameter of a network lies, counted from its input: what layer-wise learning rates and gradual
unfreezing go by (Howard & Ruder 2018; Clark et al. 2020).

    depth 0        embeddings, and whatever stands before the blocks
    depth 1 to N   the blocks
    depth N        also what stands behind them

A network without blocks is one block of depth 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# names of the projections to queries and values, as libraries call them; one matrix for all three comes last
PROJECTIONS = (
    ("query", "value"), ("q_proj", "v_proj"), ("q_lin", "v_lin"), ("query_proj", "value_proj"), ("q", "v"), ("qkv",),
    ("query_key_value",),
)  # fmt: skip


def depths_by_blocks(network: nn.Module, count: int | None = None) -> dict[str, int]:
    """The depth of each parameter, by its name, from the order in which modules are registered. ``count``: how many
    blocks the network says it has."""
    from torch import nn

    blocks = blocks_of(network, count)
    if blocks is None:
        return {name: 0 for name, _ in network.named_parameters()}
    prefix, number = blocks
    tables = {f"{name}." for name, module in network.named_modules() if isinstance(module, nn.Embedding)}
    depths: dict[str, int] = {}
    before = True
    for name, _ in network.named_parameters():
        if name.startswith(f"{prefix}."):
            before = False
            depths[name] = int(name.removeprefix(f"{prefix}.").partition(".")[0]) + 1
        else:
            is_table = any(name.startswith(table) for table in tables)
            depths[name] = 0 if before or is_table else number
    return depths


def blocks_of(network: nn.Module, count: int | None = None) -> tuple[str, int] | None:
    """The name and length of the list of blocks: of the outermost lists of modules of one type, that which has
    ``count`` of them; of several, or where none has, the longest, then the one with most parameters. None where there
    is no such list."""
    lists = dict(_lists(network, ""))
    fitting = [name for name, blocks in lists.items() if len(blocks) == count] or list(lists)
    if not fitting:
        return None
    name = max(fitting, key=lambda name: (len(lists[name]), sum(p.numel() for p in lists[name].parameters())))
    return name, len(lists[name])


def _lists(network: nn.Module, name: str) -> Iterator[tuple[str, Any]]:
    """The outermost ModuleLists of blocks of one type, with their names."""
    from torch import nn

    for child, module in network.named_children():
        path = f"{name}.{child}" if name else child
        if isinstance(module, nn.ModuleList) and len(module) and len({type(block) for block in module}) == 1:
            yield path, module
        else:
            yield from _lists(module, path)


def attention_projections(network: nn.Module) -> tuple[str, ...]:
    """The last parts of the names of the layers that make queries and values; none where no name is known."""
    names = {name.rpartition(".")[2] for name, module in network.named_modules() if _is_linear(module)}
    return next((wanted for wanted in PROJECTIONS if names.issuperset(wanted)), ())


def _is_linear(module: nn.Module) -> bool:
    from torch import nn

    return isinstance(module, nn.Linear)
