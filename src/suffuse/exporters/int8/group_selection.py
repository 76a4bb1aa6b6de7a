"""Which groups of operators stay in int8, and whether the form is worth shipping.

Each group is put into int8 alone and measured: bytes, agreement, and time against fp32. It stays where it makes the
file smaller without making the model slow, or makes the model faster. Of those together the group that agrees least
with fp32 is given up until the form keeps to the limits. What is left is shipped where the file is smaller or the model
faster. Times are of this machine: a ratio counts only where three quarters of the paired blocks agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import SuffuseError
from ..onnx_session import Ratio
from .operator_groups import Group

LEAST = 0.01  # of the file's bytes that a group must save
SMALLER, FASTER = 0.95, 0.9  # bytes, or time, of the form / of fp32 from which it is worth shipping
SLOWER = 1.25  # a group that makes the model slower than this must make it smaller still more
Timed = Callable[[bytes, str], Ratio]  # a form, and a name for it -> time / fp32's at one row


@dataclass
class Tried:
    """One way (static, dynamic): what was made, what it is like, and why it ships or doesn't."""

    how: str
    groups: dict[str, dict] = field(default_factory=dict)  # name -> bytes saved, agreement, kept, why
    content: bytes = b""
    why: str = ""  # it ships, or it is refused
    ships: bool = False

    def facts(self) -> dict:
        """For parity.json: nothing that changes from one measuring to the next."""
        return {"ships": self.ships, "why": self.why, "bytes": len(self.content), "groups": self.groups}


@dataclass(frozen=True)
class Tools:
    """What choosing needs: how to make a form, how well it agrees, what is wrong with it, how long it takes."""

    fp32: bytes
    make: Callable[[list[Group]], bytes]
    agrees: Callable[[bytes], float]
    beyond: Callable[[bytes], str]
    timed: Timed


def choose(how: str, groups: list[Group], tools: Tools) -> Tried:
    """Try one way."""
    tried = Tried(how)
    kept = [group for group in groups if _worth(group, tried, tools)]
    while kept:
        tried.content = tools.make(kept)
        reason = tools.beyond(tried.content)
        if not reason:
            break
        worst = min(kept, key=lambda g: tried.groups[g.name]["agreement"])
        kept = [group for group in kept if group is not worst]
        tried.groups[worst.name] |= {"kept": False, "why": "given up: the form was beyond the limits with it"}
        tried.why = reason
    if not kept:
        tried.content = b""
        tried.why = tried.why or "no operator is smaller or faster in int8"
        return tried
    time = tools.timed(tried.content, how)
    smaller = len(tried.content) <= SMALLER * len(tools.fp32)
    faster = not smaller and time.high <= FASTER
    tried.ships = smaller or faster
    share = 1 - len(tried.content) / len(tools.fp32)
    tried.why = f"{share:.0%} smaller" if smaller else "faster" if faster else "neither smaller nor faster than fp32"
    return tried


def _worth(group: Group, tried: Tried, tools: Tools) -> bool:
    """Whether a group alone is worth it."""
    try:
        content = tools.make([group])
    except SuffuseError as error:
        tried.groups[group.name] = {"nodes": len(group.nodes), "kept": False, "why": error.line()}
        return False
    saved = len(tools.fp32) - len(content)
    time = tools.timed(content, f"{tried.how}: {group.name}")
    fast, small = time.high <= FASTER, saved >= LEAST * len(tools.fp32)
    keep = fast or (small and time.low <= SLOWER)
    why = "faster" if fast else "smaller" if keep else "slower" if small else "neither smaller nor faster"
    facts = {"nodes": len(group.nodes), "saved": saved, "agreement": tools.agrees(content), "kept": keep, "why": why}
    tried.groups[group.name] = facts
    return keep
