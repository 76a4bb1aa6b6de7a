"""What a verdict rests on, and what would settle it, in words."""

from __future__ import annotations

from ..files import read_json
from ..run import Run

ABOUT = {
    "distillation": ("distillation", "the same student on labels alone"),
    "compute": ("distillation", "labels alone with the whole way's compute"),
}


def against(run: Run, about: str) -> str:
    """With whom a student is compared; of the rival also how long it trained."""
    other = ABOUT[about][1]
    facts = read_json(run.path("rival.json")) if about == "compute" else None
    if not facts:
        return other
    capped = f", capped from {facts['wanted']:,}" if facts["capped"] else ""
    own = ", without the teacher's own training" if facts["counted"] == "seconds" else ""
    return f"{other} ({facts['epochs']:,} epochs{capped}{own})"


def settled(found: dict) -> str:
    """The end of a verdict's sentence: nothing where it is settled, or where older scores don't say."""
    facts = found.get("settles")
    if found["verdict"] != "no evidence" or facts is None:
        return ""
    if facts.get("least"):
        return f"; one seed: the interval covers rows only, at least {facts['seeds']} seeds would tell"
    seeds, rows = (f"{facts[key]:,} {unit}" if key in facts else "" for key, unit in (("seeds", "seeds"),
                   ("rows", "test rows")))  # fmt: skip
    if not seeds and not rows:
        return "; a difference so small can't be settled by more seeds or rows"
    many = f"{seeds} and {rows} together" if facts.get("together") else " or ".join(filter(None, (seeds, rows)))
    return f"; about {many} would settle it if the difference is as large as it looks"


def rests(found: dict) -> str:
    """How many seeds and rows were compared; nothing where older scores don't say."""
    if "rows" not in found:
        return ""
    many = f"{found['seeds']} seed{'s' if found['seeds'] > 1 else ''}, {found['rows']:,} rows"
    return many + (f" in {found['groups']:,} groups" if found["groups"] < found["rows"] else "")


def tuned(run: Run) -> str:
    """How many trials of its settings each side had, where the recipe was tuned: ``tuning.json`` holds the numbers, of
    ``student`` and ``baseline``."""
    trials = read_json(run.path("tuning.json"))
    if not isinstance(trials, dict) or "student" not in trials:
        return ""
    ours, theirs = int(trials["student"]), int(trials.get("baseline", 0))
    return f"tuned with {ours:,} trials, the baseline with {theirs:,}" + (": not the same chance" * (ours > theirs))
