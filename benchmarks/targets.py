"""What the demo must reach, read from a finished run; ends with 1 where something falls short.

python benchmarks/targets.py runs/easy-vqa
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

WORDS = 8  # tokens of a row whose length is free
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def main(run: Path) -> int:
    """Print each target, what was got, and whether it was reached."""
    scores = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in (run / "scores").glob("*.json")}
    stages = [json.loads(p.read_text(encoding="utf-8")) for p in (run / "stamps").glob("*.json") if p.stem != "source"]

    def accuracy(who: str) -> float:
        return scores[who]["metrics"]["accuracy"]["mean"]

    size = scores["export"]["bytes"] / scores["teacher"]["bytes"]
    student, teacher = run / "export" / "model.onnx", run / "export-teacher" / "model.onnx"
    if teacher.exists():
        latency = latency_ratio(student, teacher)
    else:  # a recipe may leave its export out
        latency = scores["export"]["latency_ms"]["p50"] / scores["teacher"]["latency_ms"]["p50"]
    seeds = len(scores["student"]["seeds"])
    checks = [
        ("teacher's accuracy on test", accuracy("teacher"), ">=", 0.995),
        (f"student's accuracy on test, mean of {seeds} seeds", accuracy("student"), ">=", 0.99),
        ("student's parameters", scores["student"]["parameters"], "<=", 25_000),
        ("taught student with 5 % of the labels", accuracy("student-0.05"), ">=", 0.985),
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


def latency_ratio(student: Path, teacher: Path, turns: int = 60, calls: int = 30) -> float:
    """Time of one row through the student's graph over that through the teacher's, in alternating turns on one thread.
    Of each the fastest turn counts: another process can only make a turn slower."""
    fastest = {}
    networks = {file: _network(file) for file in (student, teacher)}
    for _ in range(turns):
        for file, (session, row) in networks.items():
            start = time.perf_counter()
            for _ in range(calls):
                session.run(None, row)
            seconds = time.perf_counter() - start
            fastest[file] = min(seconds, fastest.get(file, seconds))
    return fastest[student] / fastest[teacher]


def _network(file: Path) -> tuple[ort.InferenceSession, dict[str, np.ndarray]]:
    """A session on one thread, and one whole row of ones."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    row = {}
    for one in session.get_inputs():
        shape = [size if isinstance(size, int) else (1 if at == 0 else WORDS) for at, size in enumerate(one.shape)]
        row[one.name] = np.ones(shape, DTYPES[one.type])
    return session, row


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
