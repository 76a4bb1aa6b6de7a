"""AutoGluon on the tables of ``own_tables.py``: the same rows and splits, the same time.

    python benchmarks/peers.py DATA TABLE ... --python VENV/bin/python [--minutes 10] [--development] [--write]

AutoGluon (Erickson et al. 2020; Tang et al. 2024) needs other versions of libraries, so it lives in an environment of
its own, VENV: ``pip install autogluon.tabular[lightgbm,catboost,xgboost] autogluon.multimodal``. ``autogluon_peer.py``
says how it is used, and where pretrained weights come from. Prints its score on the test rows (with ``--development``
on validation rows), seconds, milliseconds a row and bytes. ``--write`` keeps them in ``results/peers.json``, beside
those of other tables.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from own_tables import TABLES, Rows, development
from result_file import RESULTS, provenance, write_result
from suffuse.files import read_json

SCRIPT = Path(__file__).with_name("autogluon_peer.py")


def run_peer(python: Path, rows: Rows, folder: Path, minutes: float) -> dict[str, Any]:
    """What AutoGluon reaches on these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "rows.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    command = [str(python), str(SCRIPT), str(table), str(folder), str(minutes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{folder.name}: AutoGluon ended with {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Run the tables, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("tables", nargs="+", metavar="TABLE")
    parser.add_argument("--python", type=Path, required=True, help="of the environment that has AutoGluon")
    parser.add_argument("--minutes", type=float, default=10, help="time limit of each table")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"))
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if unknown := set(asked.tables) - set(TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}; there are: {', '.join(TABLES)}")
    if subprocess.run([asked.python, "-c", "import autogluon.common"], capture_output=True, check=False).returncode:
        parser.error(f"{asked.python} has no AutoGluon")
    if asked.write and asked.development:
        parser.error("--write keeps scores on test rows, got --development")
    for name in asked.tables:
        rows = TABLES[name](asked.data.resolve())
        result = run_peer(
            asked.python, development(rows) if asked.development else rows, asked.out / name, asked.minutes
        )
        print(f"{name}: {json.dumps(result)}", flush=True)
        if asked.write:
            earlier = (read_json(RESULTS / "peers.json") or {}).get("tables", {})
            made = {key: value for key, value in provenance().items() if key in ("date", "load")}
            tables = earlier | {name: {**result, "minutes": asked.minutes, "measured": made}}
            write_result("peers", {"tables": {table: tables[table] for table in TABLES if table in tables}})


if __name__ == "__main__":
    main()
