"""What the demo must reach, read from a finished run; ends with 1 where something falls short.

python benchmarks/targets.py runs/easy-vqa
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(run: Path) -> int:
    """Print each target, what was got, and whether it was reached."""
    scores = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in (run / "scores").glob("*.json")}
    stages = [json.loads(p.read_text(encoding="utf-8")) for p in (run / "stamps").glob("*.json") if p.stem != "source"]

    def accuracy(who: str) -> float:
        return scores[who]["metrics"]["accuracy"]["mean"]

    size = scores["export"]["bytes"] / scores["teacher"]["bytes"]
    latency = scores["export"]["latency_ms"]["p50"] / scores["teacher"]["latency_ms"]["p50"]
    seeds = len(scores["student"]["seeds"])
    checks = [
        ("teacher's accuracy on test", accuracy("teacher"), ">=", 0.995),
        (f"student's accuracy on test, mean of {seeds} seeds", accuracy("student"), ">=", 0.99),
        ("student's parameters", scores["student"]["parameters"], "<=", 25_000),
        ("distilled student with 5 % of the labels", accuracy("student-0.05"), ">=", 0.985),
        ("exported student's file / teacher's fp32 weights", size, "<=", 1 / 20),
        ("exported student's latency / exported teacher's", latency, "<=", 1 / 5),
        ("seconds of all stages", sum(s["seconds"] for s in stages), "<=", 600),
    ]
    missed = 0
    for what, got, sign, wanted in checks:
        good = got >= wanted if sign == ">=" else got <= wanted
        missed += not good
        print(f"{'reached' if good else 'MISSED '}  {what}: {got:,.4g} (wanted {sign} {wanted:,.4g})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
