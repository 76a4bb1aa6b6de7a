"""The audit of a run: all items in order, as lines of text and as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from ..errors import SuffuseError
from ..run import Run
from .checks import CHECKS
from .evidence import Absent, Evidence, verify_files
from .items import BROKEN, ITEMS, KEPT, MISSING, TESTED, UNCHECKED, WARNING, Finding, Item

STATES = (KEPT, WARNING, BROKEN, TESTED, MISSING, UNCHECKED)


def audit(run: Run, run_code: bool = False) -> list[Finding]:
    """Every item, in order. Reads the run, and changes nothing. A run may come from somebody else: what needs code that
    its recipe names stays unchecked, unless ``run_code``."""
    evidence = Evidence(run, run_code)
    return [check_item(evidence, item) for item in ITEMS]


def check_item(evidence: Evidence, item: Item) -> Finding:
    """The state of one item."""
    if not item.check:
        return Finding(item, TESTED, f"{len(item.guards)} test{'s' if len(item.guards) > 1 else ''} of the code")
    try:
        return Finding(item, *CHECKS[item.check](evidence))
    except Absent as error:
        return Finding(item, MISSING, f"{error} isn't made yet")
    except SuffuseError as error:
        return Finding(item, BROKEN, error.line())
    except Exception as error:
        # a changed file can raise anything inside of a check; with unchanged files it is a defect of the check
        changed = verify_files(evidence.run.folder)[1]
        if not changed:
            raise
        return Finding(item, BROKEN, f"can't be measured ({type(error).__name__}): {changed[0]}")


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Two lines for each item, under its area; then the number of items in each state."""
    for area, group in groupby(findings, key=lambda finding: finding.item.area):
        yield area
        for finding in group:
            state = finding.state.upper() if finding.state in (WARNING, BROKEN) else finding.state
            yield f"  {finding.item.number:>2}  {state:<9} {finding.item.says}"
            yield f"                 {finding.fact}"
        yield ""
    count = Counter(finding.state for finding in findings)
    yield ", ".join(f"{count[state]} {state}" for state in STATES if count[state])


def to_json(findings: Sequence[Finding]) -> list[dict]:
    """The content of ``audit.json``."""
    return [{**asdict(finding.item), "state": finding.state, "fact": finding.fact} for finding in findings]
