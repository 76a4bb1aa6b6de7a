"""The exported student answers raw rows: from Python, and in an environment that never had torch."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from e2e_tools import Finished, Result, check_failure, check_success, environment, make_rows, suffuse, write_csv
from PIL import Image
from prediction_files import read_predictions

from suffuse.errors import UsageError
from suffuse.predictor import Predictor

CHECKOUT = Path(__file__).parents[2]
# an environment built beforehand, say with the lowest versions that are allowed; made here where it isn't given
BARE = "SUFFUSE_BARE_PYTHON"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with suffuse and what it needs at the least."""
    if os.environ.get(BARE):
        return Path(os.environ[BARE])
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(CHECKOUT)]
    made = subprocess.run(install, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return python


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that no run has seen: whole rows, lacking ones, one with nothing, and a line that is no row."""
    folder = tmp_path_factory.mktemp("rows")
    made = make_rows(folder, pictures=12, side=24, seed=7)
    made[2]["picture"] = "images/lost.png"
    made[5]["question"] = ""
    made[8]["picture"] = made[8]["question"] = ""
    (folder / "images" / "6.png").write_bytes(b"no picture")
    write_csv(folder / "rows.csv", made)
    lines = (folder / "rows.csv").read_text().splitlines(keepends=True)
    lines.insert(4, "broken,line\r\n")  # line 5
    (folder / "rows.csv").write_text("".join(lines))
    return folder / "rows.csv"


def outside(python: Path, *args: object, cwd: Path, flags: tuple[str, ...] = ("-m", "suffuse")) -> Result:
    """A process of the other environment, away from this checkout's source."""
    kept = {k: v for k, v in environment().items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [str(python), *flags, *map(str, args)]
    ended = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=300)
    return Result(ended.returncode, ended.stdout, ended.stderr)


def read(file: Path) -> list[dict[str, Any]]:
    """Answers in any of the three forms, with numbers as numbers."""
    texts = ("id", "answer", "absent", "used")
    return read_predictions(file, lambda column, text: text if column in texts else float(text))


def check_answers(answers: list[dict[str, Any]]) -> None:
    """What must hold of the answers to the table above."""
    assert [a["line"] for a in answers] == [n for n in range(2, 27) if n != 5]
    lacking = {a["line"]: a["absent"] for a in answers if a["absent"]}
    assert lacking == {  # line 5 is the broken one, so row n stands in line n + 3 from there on
        4: "picture: no such file",
        8: "question: empty text",
        11: "picture: empty cell; question: empty text",
        15: "picture: not a picture in a known format",
        16: "picture: not a picture in a known format",
    }
    for answer in answers:
        p = {k[2:-1]: v for k, v in answer.items() if k.startswith("p(")}
        assert sum(p.values()) == pytest.approx(1, abs=1e-5)
        assert answer["answer"] == max(p, key=lambda label: p[label])
        assert answer["confidence"] == max(p.values())


def test_answers_in_three_forms(finished: Finished, rows: Path, tmp_path: Path) -> None:
    found = {}
    for form in ("csv", "jsonl", "parquet"):
        result = check_success(suffuse("predict", finished.run / "export", rows, "-o", tmp_path / f"x.{form}"))
        assert result.out == ""
        assert "line 5 has no answer: broken row: got 2 cells, expected 5" in result.err
        assert "5 rows lack something" in result.err
        found[form] = read(tmp_path / f"x.{form}")
        check_answers(found[form])
    assert found["csv"] == found["jsonl"] == found["parquet"]


def test_a_row_with_nothing_gets_the_training_prior(finished: Finished, rows: Path, tmp_path: Path) -> None:
    check_success(suffuse("predict", finished.run, rows, "-o", tmp_path / "x.jsonl"))
    schema = json.loads((finished.run / "data" / "schema.json").read_text())
    nothing = next(a for a in read(tmp_path / "x.jsonl") if a["line"] == 11)
    for label, prior in zip(schema["classes"], np.exp(schema["log_prior"]), strict=True):
        assert nothing[f"p({label})"] == pytest.approx(prior, abs=1e-6)


def test_a_table_that_lacks_a_column(finished: Finished, rows: Path, tmp_path: Path) -> None:
    with rows.open(encoding="utf-8", newline="") as file:
        kept = [{"id": r["id"], "picture": r["picture"]} for r in csv.DictReader(file) if r["question"]]
    (rows.parent / "pictures.jsonl").write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")
    result = check_success(suffuse("predict", finished.run, rows.parent / "pictures.jsonl", "-o", tmp_path / "x.csv"))
    assert "no column 'question': question is absent in every row" in result.err
    answers = read(tmp_path / "x.csv")
    assert len(answers) == len(kept)
    assert all("question: empty cell" in a["absent"] for a in answers)


def test_in_training_and_exported_the_same_answers(finished: Finished, tmp_path: Path) -> None:
    """Raw test rows through the export give what evaluate wrote down."""
    run = finished.run
    table = pq.read_table(run / "data" / "rows.parquet").to_pylist()
    seen = {row["line"] for row in table if row["split"] == "test"}
    check_success(suffuse("predict", run, finished.project / "rows.csv", "-o", tmp_path / "x.parquet"))
    answers = [a for a in read(tmp_path / "x.parquet") if a["line"] in seen]
    written = pq.read_table(run / "scores" / "predictions.parquet")["export"].to_pylist()
    got = [[v for k, v in a.items() if k.startswith("p(")] for a in answers]
    np.testing.assert_allclose(np.array(got), np.array(written), atol=1e-6)


def test_from_python(finished: Finished) -> None:
    predictor, folder = Predictor.load(finished.run / "export"), finished.project
    file, question = folder / "images" / "3.png", "what colour is the thing"
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    whole = predictor.predict({"picture": str(file), "question": question}, root=folder)
    assert whole.label in whole.probabilities
    assert whole.absent == {}
    assert predictor.predict({"picture": str(file), "question": question}, allowed_dir="/") == whole
    assert (
        predictor.predict({"picture": str(file)}, root=folder / "elsewhere").absent["picture"]
        == "outside the data root"
    )
    assert sum(whole.probabilities.values()) == pytest.approx(1, abs=1e-5)
    for form in (file.read_bytes(), picture, np.asarray(picture), {"bytes": file.read_bytes(), "path": None}):
        assert predictor.predict({"picture": form, "question": question}) == whole
    assert predictor.predict({"picture": "images/3.png", "question": question}, root=folder) == whole
    alone = predictor.predict({"question": question})
    assert alone.absent == {"picture": "empty cell"}
    both = predictor.predict([{"question": question}, {"picture": str(file), "question": question}], folder)
    assert [b.label for b in both] == [alone.label, whole.label]
    assert [b.confidence for b in both] == pytest.approx([alone.confidence, whole.confidence], abs=1e-6)
    assert predictor.predict({"question": None}).absent.keys() == {"picture", "question"}
    assert predictor.predict([]) == []
    with pytest.raises(UsageError, match="no such input"):
        predictor.predict({"pictrue": str(file)})


@pytest.mark.slow
@pytest.mark.long
def test_without_torch(finished: Finished, rows: Path, bare: Path, tmp_path: Path) -> None:
    """Its own environment, a copy of the export, the same answers."""
    export = shutil.copytree(finished.run / "export", tmp_path / "export")
    probe = "import importlib.util as u; print([n for n in ('torch', 'onnx', 'sklearn', 'pandas') if u.find_spec(n)])"
    assert outside(bare, probe, cwd=tmp_path, flags=("-c",)).out.strip() == "[]"
    where = outside(bare, "import suffuse; print(suffuse.__file__)", cwd=tmp_path, flags=("-c",)).out
    assert str(CHECKOUT) not in where
    for form in ("parquet", "csv", "jsonl"):
        result = outside(bare, "predict", export, rows, "-o", f"there.{form}", cwd=tmp_path)
        assert result.code == 0, result.err
        check_success(suffuse("predict", export, rows, "-o", tmp_path / f"here.{form}"))
        there, here = read(tmp_path / f"there.{form}"), read(tmp_path / f"here.{form}")
        check_answers(there)
        for one, other in zip(there, here, strict=True):
            assert one == pytest.approx(other, abs=1e-6)


def sounds_and_numbers(folder: Path) -> tuple[Path, Path]:
    """An export on a sound and a table's columns, with weights drawn by chance, and its rows; some cells are bad."""
    import soundfile
    import torch

    from suffuse import pipeline
    from suffuse.data.columns import Columns
    from suffuse.exporters import export_folder as exporter
    from suffuse.model import FusionModel
    from suffuse.run import Run

    lines = []
    for n in range(40):
        tone = 0.3 * np.sin(np.arange(1200) * (0.2 if n % 2 else 0.6)) + np.random.default_rng(n).normal(0, 0.01, 1200)
        soundfile.write(folder / f"{n}.wav", tone, 8000 if n % 3 else 6000)
        lines.append([n, f"{n}.wav" if n % 7 else "", f"{n * 1.5}" if n % 5 else "", "xyz"[n % 3], "ab"[n % 2]])
    lines[9][1], lines[8][2] = "none.wav", "dear"
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "sound", "price", "town", "label"], *lines])
    encoders = {"clip": {"kind": "conv1d", "widths": [4]}, "facts": {"kind": "mlp", "widths": [4]}}
    network = {"encoders": encoders, "fusion": {"kind": "gated", "width": 4}}
    made = {
        "data": {"source": str(folder / "rows.csv"), "target": "label", "id": "id"},
        "modalities": {
            "clip": {"kind": "audio", "column": "sound", "rate": 4000, "mels": 8, "seconds": 1},
            "facts": {"kind": "tabular", "column": ["price", "town"], "types": {"price": "number"}},
        },
        "teacher": network,
        "student": network,
    }
    run = Run.of(made, folder / "run")
    pipeline.run_stage(run, "prepare")
    torch.manual_seed(2)
    exporter.write(
        FusionModel(run.recipe.student, Columns.open(run.path("data")).spec).eval(), run.recipe, folder / "x"
    )
    return folder / "x", folder / "rows.csv"


ARRAYS = """
import sys, json, numpy as np, soundfile
from suffuse import Predictor
try:
    import torch
    raise SystemExit("torch is here")
except ModuleNotFoundError:
    pass
predictor = Predictor.load(sys.argv[1])
samples, rate = soundfile.read(sys.argv[2], dtype="float32")
content = open(sys.argv[2], "rb").read()
facts = {"price": 3, "town": "x"}
records = ({"sound": (samples, rate), **facts}, {"sound": content, **facts}, facts, {"sound": None})
said = [predictor.predict(record) for record in records]
print(json.dumps([[p.label, p.confidence, p.used] for p in said]))
print(json.dumps(predictor.contributions({"sound": content, **facts})))
"""


@pytest.mark.slow
@pytest.mark.long
def test_sound_and_numbers_without_torch(bare: Path, tmp_path: Path) -> None:
    """Files, bytes, arrays and a table, with a fusion of two other kinds."""
    export, rows = sounds_and_numbers(tmp_path)
    here = check_success(suffuse("predict", export, rows, "-o", tmp_path / "here.jsonl"))
    away = tmp_path / "away"
    away.mkdir()
    result = outside(bare, "predict", export, rows, "-o", "there.jsonl", "--json", cwd=away)
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    assert (facts["rows"], facts["unreadable"], facts["broken"]) == (40, 2, 0)
    assert (away / "there.problems.csv").read_bytes() == (tmp_path / "here.problems.csv").read_bytes()
    assert "none.wav" not in here.out
    for one, other in zip(read(away / "there.jsonl"), read(tmp_path / "here.jsonl"), strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    asked = outside(bare, ARRAYS, export, rows.parent / "4.wav", cwd=away, flags=("-c",))
    assert asked.code == 0, asked.err
    said, shares = map(json.loads, asked.out.splitlines())
    assert [used for _, _, used in said] == [["clip", "facts"]] * 2 + [["facts"], []]
    assert said[0][1] == pytest.approx(said[1][1], abs=1e-3)  # 16 bits in the file are floats in the array
    assert sum(shares["label"].values()) == pytest.approx(
        said[1][1] - Predictor.load(export).predict({"clip": None}).probabilities[said[1][0]], abs=1e-5
    )


@pytest.mark.slow
@pytest.mark.long
def test_what_trains_says_what_it_lacks(finished: Finished, bare: Path, tmp_path: Path) -> None:
    assert " run " in outside(bare, "--help", cwd=tmp_path).out
    assert outside(bare, "status", finished.run, cwd=tmp_path).code == 0
    failed = outside(bare, "run", finished.recipe, "--out", tmp_path / "run", cwd=tmp_path)
    check_failure(failed, 1, "torch isn't installed", "pip install 'suffuse[train]'")
    proposed = outside(bare, "init", finished.project / "rows.csv", "--target", "answer", cwd=tmp_path)
    assert proposed.code == 0, proposed.err
    assert (tmp_path / "recipe.yaml").exists()
