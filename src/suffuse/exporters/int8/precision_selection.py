"""Selects the int8 form of an exported student: which groups of operators, and whether the form is worth shipping.

Each group is quantised alone and measured: bytes, agreement, and time against fp32. It stays where it makes the file
smaller without making the model slow, or makes the model faster. Of those together, the group that agrees least with
fp32 is dropped until the form keeps to the limits. The rest is shipped where the file is smaller or the model faster.
Times are of this machine: a ratio counts only where three quarters of the paired blocks agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from ...data.columns import Columns
from ...errors import SuffuseError
from ...recipe import Export
from ...subsample import evenly_spaced
from ..onnx_session import LatencyCache, LatencyRatio, Session, feed
from ..parity import Subset, entries, evenly
from . import accuracy_check as judging
from .accuracy_check import AccuracyCheck
from .operator_groups import Group, groups, with_node_names
from .quantize import DYNAMIC, STATIC, Feeds, quantize

CALIBRATED, BATCH = 256, 32  # training rows that give activations their ranges
CHOSEN_BY, JUDGED_BY = 512, 4096  # validation rows that groups, and the form, are judged on at the most
HEAVY = 4_000_000  # bytes of a model from which the form is judged on as few rows as the groups
TAKEN = 0.25  # of each modality, taken away from the rows that ranges come from
METHODS = {"auto": (STATIC, DYNAMIC), "static": (STATIC,), "dynamic": (DYNAMIC,), "off": ()}


@dataclass
class Selection:
    """The result: the form, if it ships, and why."""

    content: bytes = b""
    method: str = ""
    why: str = ""
    tried: dict[str, dict] = field(default_factory=dict)
    subsets: dict[str, dict] = field(default_factory=dict)
    drift: dict = field(default_factory=dict)
    rows: int = 0

    def facts(self, requested: str) -> dict:
        """For parity.json."""
        facts = {"asked": requested, "ships": self.method or None, "why": self.why, "tried": self.tried}
        return facts | ({"rows": self.rows, "subsets": self.subsets, "drift": self.drift} if self.content else {})


def select_int8(
    fp32: bytes, columns: Columns, subsets: Sequence[Subset], settings: Export, place: LatencyCache
) -> Selection:
    """Try the methods that the recipe asks for; static before dynamic, for which masking is only approximately exact.

    Raises SuffuseError where a form that was requested by name can't be shipped.
    """
    all_groups, selection = groups(with_node_names(onnx.load_from_string(fp32))), Selection(why="switched off")
    if settings.int8 == "off":
        return selection
    base, feeds = Session(fp32), calibration(columns)
    quick_check, full_check = (
        AccuracyCheck.of(base, columns, rows, subsets, (1000, 0.95)) for rows in _rows(columns, len(fp32))
    )
    for method in METHODS[settings.int8]:
        tried = try_method(method, all_groups, _tools(method, fp32, feeds, quick_check, (settings, place)))
        if tried.ships:
            _verify(tried, full_check, settings, selection)
        selection.tried[method] = tried.facts()
        selection.why = tried.why
        if tried.ships:
            selection.content, selection.method = tried.content, method
            return selection
    if settings.int8 != "auto":
        hint = "`export.int8: auto` goes on without it"
        raise SuffuseError(f"the {settings.int8} int8 form can't be shipped", got=selection.why, hint=hint)
    return selection


def calibration(columns: Columns) -> Feeds:
    """Real training rows in batches, with a quarter of each modality taken away."""
    rows, random = columns.rows("train"), np.random.default_rng(0)
    rows = rows[evenly_spaced(len(rows), columns.fitting(CALIBRATED))]
    batches = []
    for start in range(0, len(rows), BATCH):
        piece = rows[start : start + BATCH]
        present = columns.present[piece] & (random.random((len(piece), len(columns.spec.names))) >= TAKEN)
        batches.append(feed(entries(columns, piece), present))
    return batches


def _tools(method: str, fp32: bytes, feeds: Feeds, judge: AccuracyCheck, export: tuple[Export, LatencyCache]) -> Tools:
    settings, times = export
    limits = judging.Limits(settings.agreement, settings.max_metric_drop)
    return Tools(
        fp32,
        make=lambda kept: quantize(fp32, kept, method, feeds),
        agrees=lambda content: judging.agreement(judge(Session(content))),
        beyond=lambda content: judging.limit_exceeded(judge(Session(content)), limits),
        timed=lambda content, name: times.ratio(content, fp32, name),
    )


def _verify(tried: Candidate, judge: AccuracyCheck, settings: Export, selection: Selection) -> None:
    """Check the form on more rows than it was chosen by, and its drift."""
    session = Session(tried.content)
    selection.subsets, selection.drift, selection.rows = judge(session), judge.drift(session), len(judge.rows)
    reason = judging.limit_exceeded(selection.subsets, judging.Limits(settings.agreement, settings.max_metric_drop))
    if not reason and tried.method == STATIC and not selection.drift["absent_changes_nothing"]:
        reason = "what stands in an absent slot changes an answer"
    if reason:
        tried.ships, tried.why = False, reason


def _rows(columns: Columns, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Validation rows to choose groups by, and to verify the form by."""
    few = evenly(columns, columns.fitting(CHOSEN_BY))
    return few, few if size > HEAVY else evenly(columns, max(len(few), columns.fitting(JUDGED_BY)))


def write_form(shipped: Selection, place: Path) -> dict:
    """Write the form's file and return its entry in the signature's ``forms``."""
    (place / "model.int8.onnx").write_bytes(shipped.content)
    agreement = min(facts["agreement"]["low"] for facts in shipped.subsets.values())
    lost = max(facts["lost"]["high"] for facts in shipped.subsets.values())
    kept = {name for name, facts in shipped.tried[shipped.method]["groups"].items() if facts["kept"]}
    return {
        "file": "model.int8.onnx",
        "bytes": len(shipped.content),
        "how": shipped.method,
        "operators": sorted(kept),
        "why": shipped.why,
        "parity": {"subsets": len(shipped.subsets), "agreement": agreement, "lost": lost, "drift": shipped.drift},
    }


MIN_SAVED_SHARE = 0.01  # of the file's bytes that a group must save
SMALLER, FASTER = 0.95, 0.9  # bytes, or time, of the form / of fp32 from which it is worth shipping
SLOWER = 1.25  # a group that makes the model slower than this must make it smaller still more
Timed = Callable[[bytes, str], LatencyRatio]  # a form, and a name for it -> time / fp32's at one row


@dataclass
class Candidate:
    """One method (static, dynamic): its groups, its file, and why it ships or doesn't."""

    method: str
    groups: dict[str, dict] = field(default_factory=dict)  # name -> bytes saved, agreement, kept, why
    content: bytes = b""
    why: str = ""  # it ships, or it is refused
    ships: bool = False

    def facts(self) -> dict:
        """For parity.json: nothing that changes from one measuring to the next."""
        return {"ships": self.ships, "why": self.why, "bytes": len(self.content), "groups": self.groups}


@dataclass(frozen=True)
class Tools:
    """Functions that quantise, compare and time a form."""

    fp32: bytes
    make: Callable[[list[Group]], bytes]
    agrees: Callable[[bytes], float]
    beyond: Callable[[bytes], str]
    timed: Timed


def try_method(method: str, groups: list[Group], tools: Tools) -> Candidate:
    """Select groups for one method, and decide whether the form ships."""
    tried = Candidate(method)
    kept = [group for group in groups if _is_worthwhile(group, tried, tools)]
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
    time = tools.timed(tried.content, method)
    smaller = len(tried.content) <= SMALLER * len(tools.fp32)
    faster = not smaller and time.high <= FASTER
    tried.ships = smaller or faster
    share = 1 - len(tried.content) / len(tools.fp32)
    tried.why = f"{share:.0%} smaller" if smaller else "faster" if faster else "neither smaller nor faster than fp32"
    return tried


def _is_worthwhile(group: Group, tried: Candidate, tools: Tools) -> bool:
    """Whether a group alone makes the model smaller or faster."""
    try:
        content = tools.make([group])
    except SuffuseError as error:
        tried.groups[group.name] = {"nodes": len(group.nodes), "kept": False, "why": error.line()}
        return False
    saved = len(tools.fp32) - len(content)
    time = tools.timed(content, f"{tried.method}: {group.name}")
    fast, small = time.high <= FASTER, saved >= MIN_SAVED_SHARE * len(tools.fp32)
    keep = fast or (small and time.low <= SLOWER)
    why = "faster" if fast else "smaller" if keep else "slower" if small else "neither smaller nor faster"
    facts = {"nodes": len(group.nodes), "saved": saved, "agreement": tools.agrees(content), "kept": keep, "why": why}
    tried.groups[group.name] = facts
    return keep
