"""`make test-wheel`: builds the wheel, installs it in an environment outside the checkout, trains and predicts there.

    python tools/try_wheel.py [REQUIREMENT ...]

The environment is made by the Python that runs this, from the wheel with the extra ``train`` and what else is named
(say ``torch==2.14.0``). It is removed in the end. Ends with an error where a command fails.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS = {"red": 1.0, "blue": 2.0, "green": 3.0}  # class -> the mean of its numbers
ROWS = 240
EPOCHS = ("--set", "teacher.train.epochs=2", "--set", "distill.train.epochs=2")


def run(*command: str | Path, cwd: Path) -> str:
    """Stdout of a command that must succeed, without the caller's PYTHONPATH."""
    print("+", *command, flush=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def write_rows(path: Path) -> None:
    """A table of a text, a number and a class for each row."""
    draw = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "price", "answer"])
        for number in range(ROWS):
            word, mean = draw.choice(list(WORDS.items()))
            writer.writerow([f"r{number}", f"a {word} thing, no. {number % 7}", round(draw.gauss(mean, 1), 3), word])


def main(requirements: list[str]) -> None:
    """Build, install, train, predict."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
        (wheel,) = folder.glob("*.whl")
        venv.create(folder / "venv", with_pip=True)
        python, suffuse = folder / "venv/bin/python", folder / "venv/bin/suffuse"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, f"{wheel}[train]", *requirements, cwd=folder)
        package = run(python, "-c", "import suffuse; print(suffuse.__file__)", cwd=folder).strip()
        if not Path(package).is_relative_to(folder):
            raise SystemExit(f"the package is not the wheel's: {package}")
        write_rows(folder / "rows.csv")
        run(suffuse, "init", "rows.csv", "--target", "answer", "-o", "recipe.yaml", cwd=folder)
        run(suffuse, "run", "recipe.yaml", "--out", "run", *EPOCHS, cwd=folder)
        run(suffuse, "predict", "run", "rows.csv", "-o", "predictions.csv", cwd=folder)
        with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
            predicted = list(csv.DictReader(file))
        if len(predicted) != ROWS or {row["answer"] for row in predicted} - set(WORDS):
            raise SystemExit(f"expected a class for each of {ROWS} rows, got {predicted[:3]}")
        print(f"{wheel.name}: installed, trained, {len(predicted)} rows predicted")


if __name__ == "__main__":
    main(sys.argv[1:])
