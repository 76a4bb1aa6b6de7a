"""Draws docs/layers.svg from the layers contract in pyproject.toml: a row per layer, the highest on top.

`make architecture` runs it; tests/test_architecture.py fails where the picture is older than the contract.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "layers.svg"
WIDTH, MARGIN, GAP = 900, 48, 8  # px: the picture, the space at the left for the arrow, between boxes
HEIGHT, LETTER, PADDING = 30, 8.4, 12  # px: a box, a character of 14 px, beside a box's text
STYLE = "font: 14px ui-monospace, Menlo, Consolas, monospace"


def layers() -> list[list[str]]:
    """The names in each layer, without the package's, highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    return [[name.strip().removeprefix("suffuse.") for name in line.split("|")] for line in contract["layers"]]


def lines(names: list[str]) -> list[list[str]]:
    """The names of one layer in lines that fit the picture's width."""
    filled: list[list[str]] = [[]]
    for name in names:
        if filled[-1] and MARGIN + sum(box_width(n) + GAP for n in [*filled[-1], name]) > WIDTH:
            filled.append([])
        filled[-1].append(name)
    return filled


def box_width(name: str) -> float:
    """Width in px of the box around a name."""
    return LETTER * len(name) + 2 * PADDING


def draw() -> str:
    """The picture as SVG."""
    shapes, y = [], GAP
    for names in layers():
        band = lines(names)
        height = len(band) * (HEIGHT + GAP) + GAP
        shapes.append(f'<rect x="{MARGIN - GAP}" y="{y}" width="{WIDTH - MARGIN}" height="{height}" fill="#eef2f7"/>')
        for number, line in enumerate(band):
            x, top = float(MARGIN), y + GAP + number * (HEIGHT + GAP)
            for name in line:
                shapes.append(_box(name, x, top))
                x += box_width(name) + GAP
        y += height + GAP
    arrow = f'<path d="M20 {2 * GAP} V{y - 3 * GAP} m-5 -8 l5 8 l5 -8" fill="none" stroke="#3949ab" stroke-width="2"/>'
    label = f'<text transform="translate(14 {y // 2}) rotate(-90)" text-anchor="middle" fill="#3949ab">imports</text>'
    title = "<title>Layers of the package: each imports only from layers below it</title>"
    paper = f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img" style="{STYLE}">'
    return "\n".join([head, title, paper, arrow, label, *shapes, "</svg>"]) + "\n"


def _box(name: str, x: float, y: int) -> str:
    width = box_width(name)
    box = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" rx="4" fill="#ffffff" stroke="#9fa8da"/>'
    return box + f'<text x="{x + width / 2:.1f}" y="{y + 20}" text-anchor="middle" fill="#1a237e">{name}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
