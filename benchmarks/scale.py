"""Preparing at scale: a table of 250,000, 500,000 and 1,000,000 rows, each in a process of its own.

    python benchmarks/scale.py [ROWS ...]

Prints peak memory and processor time per row, and writes benchmarks/results/scale.json. Fails where the largest
takes more than 1.5 GB, or a row of it more than 1.3 times as long as one of the smallest. Time is the processor's,
user and system, of all threads: what else runs on the machine hardly changes it.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
from itertools import accumulate
from pathlib import Path

from result_file import write_result

SIZES = (250_000, 500_000, 1_000_000)
MOST_MEMORY = 1.5e9  # bytes
SLOWER = 1.3
WORDS = 5000
CHILD = """
import json, sys, time
from suffuse import pipeline
from suffuse.run import Run
start = time.perf_counter(), time.process_time()
pipeline.run_stage(Run.open(sys.argv[1], folder=sys.argv[2]), "prepare")
# not getrusage: what it says of a process starts from its parent's memory at the fork
status = open("/proc/self/status", encoding="utf-8").read()
peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
took = time.perf_counter() - start[0], time.process_time() - start[1]
print(json.dumps({"wall": took[0], "seconds": took[1], "peak": peak}))
"""


def write_table(file: Path, rows: int) -> None:
    """Text of 4 to 12 words, three numbers (some empty), a category and a label that hangs together with them."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (n + 1) for n in range(WORDS)))
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("id", "text", "price", "weight", "age", "colour", "label"))
        for row in range(rows):
            text = " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(4, 12)))
            numbers = (f"{chance.gauss(20, 5):.2f}", f"{chance.expovariate(1):.4f}", str(chance.randrange(90)))
            numbers = tuple(n if chance.random() > 0.05 else "" for n in numbers)
            colour = chance.choice(("red", "green", "blue", "black", ""))
            writer.writerow((f"r{row}", text, *numbers, colour, f"class {chance.randrange(20)}"))


def recipe(source: Path) -> dict:
    """Text and numbers; what comes after preparing is not run."""
    encoders = {"text": {"kind": "gru"}, "facts": {"kind": "mlp"}}
    return {
        "data": {"source": str(source), "target": "label", "id": "id"},
        "modalities": {
            "text": {"kind": "text", "column": "text", "tokens": "words", "length": 32},
            "facts": {"kind": "tabular", "column": ["price", "weight", "age", "colour"]},
        },
        "teacher": {"encoders": encoders},
        "student": {"encoders": encoders},
    }


def measure(rows: int, folder: Path) -> dict:
    """Prepare a table of so many rows in a process of its own: seconds and peak bytes."""
    table, place = folder / "rows.csv", folder / "recipe.json"
    write_table(table, rows)
    place.write_text(json.dumps(recipe(table)), encoding="utf-8")  # JSON is YAML
    run = [sys.executable, "-c", CHILD, str(place), str(folder / "run")]
    done = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True)
    found = {**json.loads(done.stdout), "rows": rows}
    schema = json.loads((folder / "run" / "data" / "schema.json").read_text(encoding="utf-8"))
    assert sum(schema["rows"].values()) + sum(schema["notes"].get("quarantined", {}).values()) == rows, schema["notes"]
    return found


def main(sizes: tuple[int, ...]) -> None:
    """Print a line per size; exit with what is too much."""
    found = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(rows, Path(folder)))
        one = found[-1]
        each = 1e6 * one["seconds"] / rows
        took = f"{one['seconds']:.1f} s of processor time ({one['wall']:.0f} s by the clock), {each:.1f} us a row"
        print(f"{rows:>9,} rows: {took}, {one['peak'] / 1e6:.0f} MB at the most", flush=True)
    if sizes == SIZES:
        write_result("scale", {"sizes": found})
    slower = found[-1]["seconds"] / sizes[-1] / (found[0]["seconds"] / sizes[0])
    print(f"a row of the largest takes {slower:.2f} times as long as one of the smallest")
    assert max(f["peak"] for f in found) < MOST_MEMORY, "more memory than 1.5 GB"
    assert slower <= SLOWER, "time isn't linear in rows"


if __name__ == "__main__":
    main(tuple(int(a.replace(",", "")) for a in sys.argv[1:]) or SIZES)
