"""The data section that both model cards hold."""

from __future__ import annotations

from typing import Any

from suffuse.exporters.export_card import card
from suffuse.prepare.data_section import data_section


def schema(**notes: dict[str, int]) -> dict[str, Any]:
    rows = {"train": 30, "validation": 4, "test": 5}
    return {"rows": rows, "labelled": {**rows, "train": 29}, "notes": notes}


def test_quarantined_rows_are_counted_by_reason_beside_the_splits() -> None:
    text = data_section(
        schema(quarantined={"duplicate row": 10, "id: no id": 1}, absent={"text: empty cell": 7}), "End."
    )
    assert "| train | 30 | 29 |" in text and text.endswith("\n\nEnd.")
    assert "Quarantined, and in no split: 11 of 50 rows (22 %)." in text
    assert "| duplicate row | 10 |\n| id: no id | 1 |" in text and "empty cell" not in text


def test_no_row_is_quarantined() -> None:
    text = data_section(
        schema() | {"duplicates": {"rule": "group", "rows": 6, "contents": 2, "groups": {"train": 20, "test": 4}}}
    )
    assert "Quarantined, and in no split: 0 of 39 rows." in text and "| reason |" not in text
    assert (
        "6 rows have the contents of another row (2 different contents): rows with equal contents are one group; "
        in text
    )
    assert data_section({}) == ""


def test_a_column_s_name_can_not_draw_on_the_card() -> None:
    text = data_section(schema(quarantined={"a|b\n# c: no id": 1}))
    assert "| a\\|b \\# c: no id | 1 |" in text


def test_the_card_of_an_export_has_it_where_the_rows_are_known() -> None:
    signature: dict[str, Any] = {"parameters": 1, "modalities": [], "inputs": {}, "heads": [], "forms": {}}
    assert "of 40 rows (2 %)" in card(signature, {}, schema=schema(quarantined={"id: no id": 1}))
    assert "## Data" not in card(signature, {})
