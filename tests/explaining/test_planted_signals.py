"""A planted signal gets the highest share: a coloured corner, a keyword, a beep at second 2, a column."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from e2e_tools import check_failure, check_success, suffuse
from PIL import Image

from suffuse.data.columns import Columns
from suffuse.errors import UsageError
from suffuse.modalities import audio_ops
from suffuse.recipe import make_recipe
from suffuse.report.explanation_view import FAINT, fragment
from suffuse.run import Run
from suffuse.stages.explain import ExplainOptions, explain, outside
from suffuse.teachers.factory import open_external

pytestmark = [pytest.mark.slow, pytest.mark.long]
KINDS, RATE = ("picture", "words", "clip", "facts"), 4000
FILLER = ["the", "thing", "of", "some", "day", "was", "near", "our", "house", "and", "then", "more"]


def clip(random: np.random.Generator, answer: int) -> bytes:
    """Three seconds of noise; a beep from 2.0 to 2.3."""
    samples = 0.02 * random.normal(size=3 * RATE)
    at = np.arange(2 * RATE, int(2.3 * RATE))
    samples[at] += 0.5 * np.sin(2 * np.pi * (400, 1200)[answer] * at / RATE)
    return audio_ops.as_wav(np.clip(samples, -1, 1).astype(np.float32), RATE)


def picture(random: np.random.Generator, answer: int) -> Image.Image:
    pixels = random.integers(90, 160, (16, 16, 3), dtype=np.uint8)
    pixels[:4, :4] = ((230, 20, 20), (20, 20, 230))[answer]
    return Image.fromarray(pixels)


def table(folder: Path, rows: int = 400) -> None:
    """Each row has one modality, which decides the answer; of words and pictures together the words are filler."""
    random, lines = np.random.default_rng(1), []
    for number in range(rows):
        kind, answer = KINDS[number % 4], int(random.integers(2))
        line = {
            "id": f"r{number}",
            "picture": "",
            "words": "",
            "clip": "",
            "size": "",
            "noise": "",
            "answer": "ab"[answer],
        }
        if kind == "picture":
            line["picture"] = f"{number}.png"
            picture(random, answer).save(folder / line["picture"])
        elif kind == "clip":
            line["clip"] = f"{number}.wav"
            (folder / line["clip"]).write_bytes(clip(random, answer))
        elif kind == "facts":
            line["size"], line["noise"] = f"{random.normal() + (4 if answer else -4):.3f}", f"{random.normal():.3f}"
        words = random.choice(FILLER, 5).tolist()
        if kind == "words":
            words.insert(int(random.integers(6)), ("alpha", "beta")[answer])
        if kind == "words" or number % 8 == 0:
            line["words"] = " ".join(words)
        lines.append(line)
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def network(wide: int) -> dict:
    return {
        "encoders": {
            "picture": {"kind": "conv", "widths": [wide]},
            "words": {"kind": "bag", "embedding": wide},
            "clip": {"kind": "conv1d", "widths": [wide, wide]},
            "facts": {"kind": "mlp", "widths": [wide]},
        },
        "fusion": {"kind": "gated", "width": wide},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    table(folder)
    train = {"epochs": 15, "batch": 32, "learning_rate": 0.01}
    recipe = {
        "data": {"source": "rows.csv", "target": "answer", "id": "id", "split": {"validation": 0.2, "test": 0.2}},
        "modalities": {
            "picture": {"kind": "image", "column": "picture", "size": 16},
            "words": {"kind": "text", "column": "words", "tokens": "words", "length": 12},
            "clip": {"kind": "audio", "column": "clip", "rate": RATE, "mels": 16, "window": 64, "hop": 20},
            "facts": {"kind": "tabular", "column": ["size", "noise"]},
        },
        "teacher": {**network(16), "train": train, "unimodal_baselines": False},
        "student": network(8),
        "distill": {"train": train, "num_seeds": 1, "unimodal_baselines": False},
        "evaluate": {"controls": False, "resamples": 100},
        "compute": {"threads": 1},
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    for verb in ("prepare", "teach", "extract", "distill", "export"):
        check_success(suffuse(verb, "recipe.yaml", "--out", "run", cwd=folder))
    return folder / "run"


def explained(run: Path, row: int, how: ExplainOptions) -> dict:
    found = explain(Run.open(run), f"r{row}", how)
    assert found["row"]["id"] == f"r{row}"
    return found


def most(found: dict, who: str, name: str) -> dict:
    one = found["models"][who]
    assert one["answer"] == found["label"], who
    return one["parts"][name]["items"][0]


def drawn(found: dict, name: str) -> int:
    """ExplainOptions many parts of a modality are strong enough to be drawn, of both models."""
    parts = [np.abs(one["parts"][name]["values"]) for one in found["models"].values()]
    return sum(int((np.round(values / values.max(), 2) > FAINT).sum()) for values in parts)


@pytest.mark.parametrize(
    "how", [ExplainOptions(), ExplainOptions(method="occlusion"), ExplainOptions(exported=True)], ids=str
)
def test_what_was_planted_is_found(run, how):
    student = "exported student" if how.exported else "student"
    corner, words, beep, facts = (explained(run, row, how) for row in (0, 1, 2, 3))
    for who in ("teacher", student):
        low, left = map(int, re.findall(r"\d+", most(corner, who, "picture")["name"]))
        assert low <= 2 and left <= 2
        assert most(words, who, "words")["name"] in ("alpha", "beta")
        start, end = map(float, re.findall(r"\d+\.\d+", most(beep, who, "clip")["name"]))
        assert start >= 1.9 and end <= 2.45
        assert most(facts, who, "facts")["name"] == "size"
        assert corner["models"][who]["modalities"][0]["name"] == "picture"  # row 0 has words too
        assert corner["models"][who]["absent"] == ["clip", "facts"]
    part = corner["models"]["teacher"]["parts"]["picture"]
    if how.method == "occlusion":
        assert part["how"] == "occlusion"
    else:
        assert part["how"] == "integrated gradients"
        assert abs(part["gap"]) < 0.02 * abs(part["sum"])


def test_a_teacher_from_outside_tells_the_modality_alone(run):
    """The run's own teacher, asked as if it were another run's: the same shares, and nothing inside."""
    own = Run.open(run)
    raw = {**own.recipe.model_dump(mode="json"), "teacher": {"kind": "run", "folder": str(run)}}
    columns = Columns.open(run / "data")
    teacher = open_external(Run(own.folder, make_recipe(raw)), columns)
    found, wanted = outside(teacher, columns, 0, 0), explained(run, 0, ExplainOptions())["models"]["teacher"]
    assert [m["name"] for m in found["modalities"]] == ["picture", "words"] == [m["name"] for m in wanted["modalities"]]
    for one, other in zip(found["modalities"], wanted["modalities"], strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=1e-4)
    assert found["parts"] == {} and "can't be asked" in found["note"]


def test_the_command_line_says_the_same(run):
    found = json.loads(check_success(suffuse("explain", run, "--row", "r1", "--json")).out)
    assert found == json.loads(json.dumps(explained(run, 1, ExplainOptions())))


def test_people_read_it_and_the_page_stands_alone(run, tmp_path):
    said = check_success(suffuse("explain", run, "--row", "r2", "-o", tmp_path / "page.html"))
    assert "teacher: " in said.out and "student: " in said.out and " s\n" in said.out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    found = explained(run, 2, ExplainOptions())
    assert page.count("data:audio/wav;base64,") == 1 and page.count("<rect") == drawn(found, "clip") > 2
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    found = explained(run, 0, ExplainOptions())
    words = str(fragment(Run.open(run), found))
    assert words.count("<mark") == 10 and words.count("<rect") == drawn(found, "picture") > 2
    assert "data:image/png;base64," in words


def test_what_can_t_be_explained_is_told(run, tmp_path):
    check_failure(suffuse("explain", run, "--row", "r4000"), 2, "no such row", "r4000")
    with pytest.raises(UsageError, match="no such target") as caught:
        explained(run, 1, ExplainOptions(target="answr"))
    assert "did you mean 'answer'?" in caught.value.hint
    check_failure(suffuse("explain", run, "--row", "r1", "--method", "magic"), 2, "auto, gradients or occlusion")
    check_failure(suffuse("explain", run, "--row", "r1", "-o", tmp_path / "a.pdf"), 2, "an .html file")
    check_failure(suffuse("explain", tmp_path, "--row", "r1"), 2)
