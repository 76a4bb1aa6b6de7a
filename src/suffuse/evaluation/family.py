"""The verdicts of a run about distillation, as one family: adjusted for their number, and checked against baselines
that were trained longer.

    helps         the student beats the baseline of equal length and every longer one, and the comparison is settled;
                  it is ahead of the longest on validation rows too, by more than their interval
    faster        it beats the baseline of equal length, and not every longer one; or the comparison isn't settled
    hurts         the baseline of equal length beats it
    no evidence   otherwise

A baseline is beaten where the p-value, adjusted for all verdicts of the family (Holm 1979), is at most 1 - confidence.
For *helps* the largest p-value over the lengths is the one that counts: the student has to beat all of them
(intersection-union test, Berger 1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .convergence import LONGER, NO_LEAD, OFF, RISING, TRAINED
from .verdict import HELPS, HURTS, NO_EVIDENCE, holm

FASTER = "faster"
DOUBTS = {
    "training score": "of the claimed difference of {claimed:.4f} the training rows have {gap:.4f}",
    "lead": "the lead of {claimed:.4f} is larger than the interval of the validation rows",
    "spread": "over seeds the baseline's standard deviation is {baseline:.4f}, the student's {student:.4f}",
}


def family_verdicts(
    entries: Sequence[dict[str, Any]], confidence: float, convergence: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Entries of ``comparisons.json`` with their verdicts. Each has ``difference`` and ``p``, and in ``longer`` those
    of the longer baselines, in order. ``convergence``: what ``convergence.json`` holds."""
    equal = holm([entry["p"] for entry in entries])
    every = holm([largest([entry, *entry.get("longer", ())]) for entry in entries])
    verdicts: list[dict[str, Any]] = []
    for entry, p, p_every in zip(entries, equal, every, strict=True):
        facts: dict[str, Any] = {"verdict": NO_EVIDENCE, "p_adjusted": p, "family": len(entries)}
        if "longer" in entry:
            facts |= {"p_every_length": p_every, **lengths(entry, convergence or {})}
        if is_evidence(p, confidence):
            facts["verdict"] = HURTS
            if entry["difference"] > 0:
                best = is_evidence(p_every, confidence) and facts.get("settled", True)
                best = best and facts.get("ahead", True)
                facts["verdict"] = HELPS if best else FASTER
        verdicts.append({**entry, **facts})
    return verdicts


def lengths(entry: Mapping[str, Any], convergence: Mapping[str, Any]) -> dict[str, Any]:
    """Of a comparison of student and baseline: whether it is settled, and the epochs of all that is compared."""
    epochs, own = convergence.get("epochs"), convergence.get("baseline_epochs")
    longer = [{**length, "epochs": own and own * length["factor"]} for length in entry["longer"]]
    facts = {"epochs": epochs, "baseline_epochs": own, "longer": longer}
    facts["automatic"] = convergence.get("automatic")
    return facts | settlement(convergence.get("comparisons", {}).get(entry["who"]))


def is_evidence(p: float | None, confidence: float) -> bool:
    """Whether a p-value is small enough."""
    return p is not None and p <= 1 - confidence + 1e-12


def largest(entries: Sequence[Mapping[str, Any]]) -> float | None:
    """The largest p-value of a student against baselines of several lengths: 1 where one of them isn't below the
    student. None where one has no p-value."""
    values = [entry["p"] if entry["difference"] > 0 else 1.0 for entry in entries]
    return None if any(entry["p"] is None for entry in entries) else max(values)


def settlement(facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """``settled``, the ``reason`` in words, its code ``why``, and with longer baselines whether the student is
    ``ahead`` of the longest on validation rows; without a record nothing is settled."""
    if facts is None:
        return {"settled": False, "why": "unknown", "reason": "there is no record of how the baseline converged"}
    why, lengths = facts["why"], facts["lengths"]
    numbers = {"gap": facts["training_gap"], "claimed": facts["claimed"], **facts["deviations"]}
    doubts = " and ".join(DOUBTS[doubt].format(**numbers) for doubt in facts["doubts"])
    reasons = {
        NO_LEAD: "on validation rows the student isn't ahead of the baseline",
        TRAINED: "the baseline has learned its training rows about as well as the student",
        LONGER: f"{doubts}; the baseline stopped rising at {lengths[-1]['epochs'] if lengths else 0} epochs",
        RISING: f"{doubts}; the baseline still rises at {lengths[-1]['epochs'] if lengths else 0} epochs",
        OFF: f"{doubts}; longer baselines are switched off",
    }
    ahead = {"ahead": bool(lengths[-1]["ahead"])} if lengths else {}
    return {"settled": bool(facts["settled"]), "why": why, "reason": reasons[why], **ahead}
