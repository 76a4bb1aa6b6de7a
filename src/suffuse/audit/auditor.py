"""All items of a run."""

from __future__ import annotations

from ..errors import SuffuseError
from ..run import Run
from .checks import CHECKS
from .evidence import Absent, Evidence
from .items import BROKEN, ITEMS, MISSING, TESTED, Found, Item
from .verification import verified


def audit(run: Run, run_code: bool = False) -> list[Found]:
    """Every item, in order. Reads the run, and changes nothing. A run may be somebody else's: what can be measured only
    by running the code that its recipe names is left unchecked, unless ``run_code``."""
    evidence = Evidence(run, run_code)
    return [look(evidence, item) for item in ITEMS]


def look(evidence: Evidence, item: Item) -> Found:
    """How one item stands."""
    if not item.check:
        return Found(item, TESTED, f"{len(item.guards)} test{'s' if len(item.guards) > 1 else ''} of the code")
    try:
        return Found(item, *CHECKS[item.check](evidence))
    except Absent as error:
        return Found(item, MISSING, f"{error} isn't made yet")
    except SuffuseError as error:
        return Found(item, BROKEN, error.line())
    except Exception as error:
        # what a changed file makes of a check can be anything; of a run whose files are whole it is a defect
        wrong = verified(evidence.run.folder)[1]
        if not wrong:
            raise
        return Found(item, BROKEN, f"can't be measured ({type(error).__name__}): {wrong[0]}")
