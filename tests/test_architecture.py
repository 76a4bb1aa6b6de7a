"""docs/architecture.md shows the layers that the contract in pyproject.toml holds the imports to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def draw_layers(load_tool: Callable[[str], ModuleType]) -> ModuleType:
    return load_tool("draw_layers")


def test_the_picture_is_what_the_contract_draws(draw_layers: ModuleType) -> None:
    shown = draw_layers.PICTURE.read_text(encoding="utf-8")
    assert shown == draw_layers.draw(), "docs/layers.svg is out of date: run `make architecture`"


def test_the_picture_shows_every_name_inside_its_borders(draw_layers: ModuleType) -> None:
    names = [name for layer in draw_layers.layers() for name in layer]
    root = ElementTree.fromstring(draw_layers.draw())
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text != "imports"] == names
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(box.get("x", 0)) + float(box.get("width", 0)) <= draw_layers.WIDTH


def test_the_picture_has_every_module_of_the_package(draw_layers: ModuleType) -> None:
    names = {name for layer in draw_layers.layers() for name in layer}
    package = ROOT / "src" / "suffuse"
    modules = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    assert modules - {"__init__", "__main__"} == names
