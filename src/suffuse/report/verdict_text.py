"""What a verdict rests on, and what would settle it, in words."""

from __future__ import annotations

from ..checked_json import read_checked
from ..files import read_json
from ..run import Run
from .formatting import count
from .i18n import t

ABOUT = {
    "distillation": "the same network trained on labels only",
    "compute": "the compute-matched baseline",
}


def against(run: Run, about: str) -> str:
    """With whom a student is compared; of the rival also how long it trained."""
    other = t(ABOUT[about])
    facts = read_json(run.path("rival.json")) if about == "compute" else None
    if not facts:
        return other
    capped = t(", capped from %(wanted)s", wanted=f"{facts['wanted']:,}") if facts["capped"] else ""
    own = t(", without the teacher's own training") if facts["counted"] == "seconds" else ""
    return t("%(other)s (%(epochs)s epochs%(more)s)", other=other, epochs=f"{facts['epochs']:,}", more=capped + own)


def settled(found: dict) -> str:
    """The end of a verdict's sentence: nothing where it is settled, or where older scores don't say."""
    facts = found.get("settles")
    if found["verdict"] != "no evidence" or facts is None:
        return ""
    if facts.get("least"):
        said = t("one seed: the interval covers rows only, at least %(seeds)s seeds would tell", seeds=facts["seeds"])
    elif "seeds" not in facts and "rows" not in facts:
        said = t("a difference so small can't be settled by more seeds or rows")
    else:
        many = [count(facts["seeds"], "seed")] if "seeds" in facts else []
        many += [count(facts["rows"], "test row")] if "rows" in facts else []
        both = t("%(seeds)s and %(rows)s together", seeds=many[0], rows=many[-1]) if facts.get("together") else ""
        said = t("about %(many)s would settle it if the difference is as large as it looks",
                 many=both or t(" or ").join(many))  # fmt: skip
    return t("; ") + said


def rests(found: dict) -> str:
    """How many seeds and rows were compared; nothing where older scores don't say."""
    if "rows" not in found:
        return ""
    many = [count(found["seeds"], "seed"), count(found["rows"], "row")]
    if found["groups"] < found["rows"]:
        many[1] = t("%(rows)s in %(groups)s", rows=many[1], groups=count(found["groups"], "group"))
    return t(", ").join(many)


def tuned(run: Run) -> str:
    """How many trials of its settings each side had, where the recipe was tuned: ``tuning.json`` holds the numbers, of
    ``student`` and ``baseline``."""
    trials = read_checked(run.path("tuning.json"))
    if not isinstance(trials, dict) or "student" not in trials:
        return ""
    ours, theirs = int(trials["student"]), int(trials.get("baseline", 0))
    said = t("tuned with %(ours)s trials, the baseline with %(theirs)s", ours=f"{ours:,}", theirs=f"{theirs:,}")
    return said + (t(": not the same chance") if ours > theirs else "")
