"""`suffuse init --teacher`: which pretrained encoders a proposed teacher has, and what else would help."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml
from e2e_tools import check_failure, check_success, suffuse
from PIL import Image

from suffuse.engine import runtime
from suffuse.errors import UsageError
from suffuse.finetuning_proposal import finetuned_on_accelerator
from suffuse.prepare import installed_encoders
from suffuse.prepare.installed_encoders import FINETUNED, GAINS, PRETRAINED, SMALL, suggestions
from suffuse.prepare.recipe_proposal import Choices, Proposal, propose
from suffuse.recipe import make_recipe, recipe_of_text
from suffuse.recipe.networks import Teacher
from suffuse.time_budget import candidates, without_extras

ROWS = 60
WORDS = ["the", "a", "small", "large", "old", "quick", "lazy", "dog", "bird", "horse", "fish", "tree", "river"]


@pytest.fixture(params=[True, False], ids=["installed", "missing"])
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(installed_encoders, "are_installed", lambda packages: request.param)
    return request.param


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_encoders, "are_installed", lambda packages: True)


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Pictures, texts and a number, of two classes."""
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "text", "price", "label"])
        for row in range(ROWS):
            Image.new("RGB", (36, 28), (row, 0, 0)).save(tmp_path / f"{row}.png")
            text = " ".join(random.Random(row).choices(WORDS, k=6))
            writer.writerow([f"{row}.png", text, row * 1.25, ("good", "bad")[row % 2]])
    return str(tmp_path / "rows.csv")


@pytest.fixture
def numbers(tmp_path: Path) -> str:
    lines = [f"{row * 1.25},{random.Random(row).random()},{('good', 'bad')[row % 2]}" for row in range(ROWS)]
    (tmp_path / "numbers.csv").write_text("\n".join(["price,size,label", *lines]))
    return str(tmp_path / "numbers.csv")


def proposed(table: str, teacher: str | None = None, preset: str = "good") -> Proposal:
    return propose(table, "label", place=Path(table).parent, preset=preset, choices=Choices(teacher=teacher))


def teacher_of(proposal: Proposal) -> Teacher:
    recipe = make_recipe(yaml.safe_load(proposal.text))
    assert recipe.trained and set(recipe.student.encoders) == {"photo", "text", "facts"}
    return recipe.trained


def kinds(teacher: Teacher) -> set[str]:
    return {encoder.kind for encoder in teacher.encoders.values()}


def test_a_small_teacher_has_no_pretrained_encoder_and_suggests_none(table: str, installed: bool) -> None:
    proposal = proposed(table, SMALL)
    assert kinds(teacher_of(proposal)) == {"hog", "ngrams", "mlp"} and "pip install" not in proposal.text


@pytest.mark.parametrize("teacher", [PRETRAINED, FINETUNED])
def test_a_pretrained_teacher_needs_an_encoder(table: str, installed: bool, teacher: str) -> None:
    if installed:
        assert {"efficientnet_lite", "huggingface"} < kinds(teacher_of(proposed(table, teacher)))
        return
    with pytest.raises(UsageError) as error:
        proposed(table, teacher)
    assert error.value.hint == "pip install 'suffuse[efficientnet,minilm]'" and error.value.where == "--teacher"


@pytest.mark.parametrize("teacher", [PRETRAINED, FINETUNED])
def test_no_encoder_reads_a_table_of_numbers(numbers: str, installed: bool, teacher: str) -> None:
    with pytest.raises(UsageError, match="no pretrained encoder reads this table"):
        proposed(numbers, teacher)
    assert "pip install" not in proposed(numbers).text


def test_one_encoder_is_enough_and_the_other_is_suggested(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_encoders, "are_installed", lambda names: names == installed_encoders.EFFICIENTNET)
    proposal = proposed(table, PRETRAINED)
    assert "efficientnet_lite" in kinds(teacher_of(proposal)) and proposal.draft.encoders.missing == ("minilm",)
    assert "# pip install 'suffuse[minilm]', then init again" in proposal.text


@pytest.mark.usefixtures("all_installed")
def test_who_asks_for_it_gets_it_whatever_it_costs(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "huggingface" not in kinds(teacher_of(proposed(table, preset="fast")))
    assert "huggingface" in kinds(teacher_of(proposed(table, PRETRAINED, "fast")))
    monkeypatch.setattr(installed_encoders, "MAX_SENTENCE_TOKENS", 10)
    monkeypatch.setattr(installed_encoders, "MAX_PRETRAINED", 10)
    assert kinds(teacher_of(proposed(table))) == {"hog", "ngrams", "mlp"}
    assert {"efficientnet_lite", "huggingface"} < kinds(teacher_of(proposed(table, PRETRAINED)))


@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize("preset", ["fast", "good", "best"])
def test_a_finetuned_teacher_is_tried_both_ways(table: str, preset: str) -> None:
    frozen, finetuned = (teacher_of(proposed(table, teacher, preset)) for teacher in (PRETRAINED, FINETUNED))
    assert not frozen.frozen_first and int(finetuned.frozen_first) >= 3
    for name, encoder in finetuned.encoders.items():
        is_pretrained = encoder.kind in ("efficientnet_lite", "huggingface")
        assert (encoder.get("finetune") is not None) is is_pretrained
        assert bool(frozen.encoders[name].get("frozen")) is is_pretrained


@pytest.mark.usefixtures("all_installed")
def test_finetuning_is_proposed_unasked_on_an_accelerator_alone(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = proposed(table)
    assert (
        finetuned_on_accelerator(proposal, None, lambda text: recipe_of_text(text, ("compute.device=cpu",))) is proposal
    )
    monkeypatch.setattr(runtime, "device_of", lambda compute: torch.device("cuda", 0))
    assert teacher_of(finetuned_on_accelerator(proposal, None)).frozen_first
    for teacher in (SMALL, PRETRAINED):
        asked = proposed(table, teacher)
        assert finetuned_on_accelerator(asked, teacher) is asked


@pytest.mark.usefixtures("all_installed")
def test_a_time_budget_leaves_finetuning_out_first(table: str) -> None:
    draft = proposed(table, FINETUNED).draft
    _, shorter, *rest = candidates(draft, teacher=True)
    assert not shorter.finetuned and shorter.shortened == ("no fine-tuning",)
    assert all(not later.finetuned and "no fine-tuning" in later.shortened for later in rest)
    assert all(later.finetuned for later in candidates(draft, teacher=False))  # the teacher is trained already
    proposal = proposed(table, FINETUNED)
    for shorter in without_extras(replace(draft, encoders=replace(draft.encoders, pictures=False))):
        teacher = teacher_of(proposal.redrafted(shorter))
        assert bool(teacher.frozen_first) == ("huggingface" in kinds(teacher))


def test_the_gains_are_those_of_the_result_file() -> None:
    file = Path(__file__).parents[2] / "benchmarks" / "results" / "teacher-gains.json"
    tables = json.loads(file.read_text())["tables"]
    for extra, name in {"efficientnet": "photos", "minilm": "reviews"}.items():
        measured = {teacher: tables[name][teacher]["accuracy"] for teacher in ("small", "pretrained")}
        assert (GAINS[extra].small, GAINS[extra].pretrained) == pytest.approx(tuple(measured.values()), abs=5e-4)


def test_the_command_prints_what_to_install(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    folder = Path(table).parent
    options = ("init", table, "--target", "label", "-o", folder / "recipe.yaml")
    refused = suffuse(*options, "--teacher", "pretrained")
    check_failure(refused, 2, "pip install 'suffuse[efficientnet,minilm]'")
    assert not (folder / "recipe.yaml").exists()
    check_failure(suffuse(*options, "--teacher", "large"), 2, "small or pretrained or finetuned")
    printed = check_success(suffuse(*options)).err
    assert all(line in printed for line in suggestions(("efficientnet", "minilm")))
    check_failure(suffuse("run", folder / "recipe.yaml", "--teacher", "small"), 2, "this goes with a table")
