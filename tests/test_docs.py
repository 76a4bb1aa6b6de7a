"""Documentation is true: commands, links and keys exist, both READMEs agree, numbers are those of the results."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from suffuse import derive, encoders, fusions, losses, modalities, recipe, teachers
from suffuse.cli import app
from suffuse.recipe import make_recipe
from suffuse.registry import load
from suffuse.stages import STAGES

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PARTS = [
    module for package in (derive, encoders, fusions, losses, modalities, teachers) for module in package.TABLE.values()
]


def blocks(page: Path, language: str) -> list[str]:
    fenced = re.findall(r"^```(.*?)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    return [text for info, text in fenced if info == language]


def code_lines(block: str) -> list[str]:
    return [line.split("#")[0].rstrip() for line in block.splitlines() if line.split("#")[0].strip()]


def test_readmes_have_the_same_headings_and_commands() -> None:
    levels = [re.findall(r"^(#+) ", page.read_text(encoding="utf-8"), re.M) for page in READMES]
    assert levels[0] == levels[1]
    assert len(levels[0]) >= 6
    for language in ("bash", "python"):
        ours, theirs = (["\n".join(code_lines(b)) for b in blocks(page, language)] for page in READMES)
        assert ours == theirs
        assert ours


def test_readmes_show_the_same_numbers() -> None:
    tables = [re.findall(r"\d+\.\d+ %|\d[\d,.]* kB|\d+\.\d+ ms", p.read_text(encoding="utf-8")) for p in READMES]
    assert tables[0] == tables[1]
    assert len(tables[0]) > 10


def test_the_readme_keeps_its_promise_of_five_and_ten_lines() -> None:
    own = next(b for b in blocks(READMES[0], "bash") if "suffuse init" in b)
    assert len(code_lines(own)) <= 5
    assert len(code_lines(blocks(READMES[0], "python")[0])) <= 10


@pytest.mark.parametrize("page", READMES, ids=lambda p: p.name)
def test_a_readme_is_short_and_quotes_the_demo_page(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 120
    whole = max(blocks(ROOT / "docs" / "demo.md", ""), key=len).splitlines()
    quoted = next(b for b in blocks(page, "") if "accuracy" in b).splitlines()
    assert set(quoted) <= set(whole)
    assert len(whole) > 40
    assert sum(bool(re.search(r"\d+\.\d+ (%|kB|ms)", line)) for line in whole) > 20


@pytest.mark.parametrize("page", READMES, ids=lambda p: p.name)
def test_a_readme_counts_the_parts(page: Path) -> None:
    line = next(
        ln for ln in page.read_text(encoding="utf-8").splitlines() if ln.startswith(("- **Parts**", "- **组件**"))
    )
    assert [int(n) for n in re.findall(r"\d+", line)] == [len(p.TABLE) for p in (modalities, encoders, fusions, losses)]


@pytest.mark.long  # `make check` runs the same program
def test_what_is_generated_is_current() -> None:
    tool = ROOT / "tools" / "generate_docs.py"
    said = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


PAGES = [*READMES, ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_verb_and_link_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {c.name for c in app.registered_commands}
    for line in re.findall(r"`suffuse ([^`]+)`|^suffuse (.+)$", text, re.M):
        verb = shlex.split(line[0] or line[1])[0]
        assert verb in known or verb.startswith("-"), verb
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    for name, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in anchors(page.parent / name if name else page), f"{name}#{anchor}"


def test_the_guide_names_every_stage() -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    assert all(f"| `{verb}` |" in guide for verb in STAGES)


def test_the_recipe_page_names_every_key() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    sections = (
        "Recipe",
        "Data",
        "Task",
        "Split",
        "Teacher",
        "Network",
        "Training",
        "Extract",
        "Distill",
        "Baseline",
        "OwnTraining",
        "Export",
        "Limits",
        "Evaluate",
        "Compute",
    )
    settings = [getattr(recipe, name) for name in sections]
    settings += [importlib.import_module(module).Settings for module in PARTS]
    missing = {key for s in settings for key in s.model_fields if f"| `{key}` |" not in page}
    assert not missing


@pytest.mark.parametrize("kind", fusions.TABLE)
def test_the_recipe_page_says_of_each_fusion_what_its_module_says(kind: str) -> None:
    page, part = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8"), load(fusions.TABLE, kind)
    fewest, most = part.TAKES
    reads, takes = "tokens" if getattr(part, "TOKENS", False) else "vectors", f"{fewest} to {most}"
    assert f"| `{kind}` | {reads} | {fewest if fewest == most else takes} |" in page
    ours = page.partition("\n## fusion\n")[2]  # an encoder may have the same kind
    section = " ".join(ours.partition(f"### `kind: {kind}`")[2].partition("###")[0].split())
    formula = re.search(r"Parameters: (.*?) with", " ".join((part.__doc__ or "").split()))
    assert formula and formula[1] in section.partition("Parameters")[2]


@pytest.mark.parametrize("kind", encoders.TABLE)
def test_the_recipe_page_says_what_each_encoder_reads(kind: str) -> None:
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    section = page.partition("\n## encoders.NAME\n")[2].partition("\n## ")[0]
    head, _, *rows = [[c.strip() for c in line.strip("|").split("|")] for line in re.findall(r"^\|.*", section, re.M)]
    row = next(row for row in rows if f"`{kind}`" in row[0])
    reads = {name for name, cell in zip(head, row, strict=True) if cell == "yes"} - {"pretrained"}
    assert reads == set(load(encoders.TABLE, kind).MODALITIES)
    assert f"`kind: {kind}`" in section


@pytest.mark.parametrize("file", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_recipe_is_valid(file: Path) -> None:
    make_recipe(yaml.safe_load(file.read_text(encoding="utf-8")), str(file))


def test_the_makefile_has_the_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\ndemo:" in makefile
    assert "\ntest:" in makefile
