"""What a check reports of cells that are used in part, where only the statistics of the column show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suffuse.prepare.check import content_check
from suffuse.prepare.check.findings import Check
from suffuse.prepare.check.table_check import check
from suffuse.recipe import make_recipe
from suffuse.run import Run


def tabular(tmp_path: Path, cells: list[str], kinds: dict[str, str], column: Any = None) -> Check:
    """A check of a table whose only modality is tabular, of columns with these cells."""
    names = [*kinds]
    rows = [f"{','.join([cell] * len(names))},{'yes' if n % 2 else 'no'}" for n, cell in enumerate(cells)]
    (tmp_path / "rows.csv").write_text("\n".join([",".join([*names, "answer"]), *rows]) + "\n")
    types = {name: kind for name, kind in kinds.items() if name in (column or names)}
    network = {"encoders": {"facts": {"kind": "mlp"}}, "fusion": {"kind": "concat", "width": 8}}
    made = {
        "data": {"source": str(tmp_path / "rows.csv"), "target": "answer"},
        "modalities": {"facts": {"kind": "tabular", "column": column or names, "types": types}},
        "teacher": network,
        "student": {**network, "hidden": 4},
    }
    return check(Run(tmp_path / "run", make_recipe(made)))


@pytest.mark.parametrize("column", ["age", ["age"], ["age", "same"]])
def test_cells_of_a_number_that_are_none_are_counted_with_the_first_line(column: Any, tmp_path: Path) -> None:
    cells = ["unknown" if n % 16 == 5 else str(n % 70) for n in range(160)]
    found = tabular(tmp_path, cells, {"age": "number", "same": "category"}, column)
    says = [f.says for f in found.findings if f.code == "used_in_part"]
    told = "10 rows are used in part: age: not a number, of 160 that were read (e.g. line 7: 'unknown')"
    assert says == [told]


def test_reasons_beyond_the_commonest_have_no_example(tmp_path: Path) -> None:
    cells = ["unknown" if n % 16 == 5 else str(n % 70) for n in range(160)]
    found = tabular(tmp_path, cells, {f"c{n}": "number" for n in range(content_check.REASONS + 3)})
    says = [f.says for f in found.findings if f.code == "used_in_part"]
    assert len(says) == content_check.REASONS + 1 and content_check.REMAINING_REASONS in says[-1]
