"""Numbers as people write them: a column as a whole decides what its signs mean, and nothing else is guessed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suffuse.errors import SuffuseError
from suffuse.modalities import tabular
from suffuse.modalities.number_format import PLAIN, NumberFormat
from suffuse.modalities.number_inference import best_format, infer

GERMAN = NumberFormat(decimal=",", thousands=".", unit="€")


@pytest.mark.parametrize(
    ("cells", "form", "values"),
    [
        (["1.234,50 €", "12,00 €", "€ 999"], {"decimal": ",", "thousands": ".", "unit": "€"}, [1234.5, 12, 999]),
        (["$1,234.50", "-$5.00", "($2.00)"], {"thousands": ",", "unit": "$"}, [1234.5, -5, -2]),
        (["12,5 %", "3%"], {"decimal": ",", "thousands": ".", "unit": "%"}, [12.5, 3]),
        (["1,234", "999", "5"], {"thousands": ","}, [1234, 999, 5]),
        (["1.234", "2.345", "987"], {"decimal": ",", "thousands": "."}, [1234, 2345, 987]),
        (["1.234.567", "12"], {"decimal": ",", "thousands": "."}, [1234567, 12]),
        (["0.500", "1.250"], {}, [0.5, 1.25]),
        (["0,123", "5,001"], {"decimal": ",", "thousands": "."}, [0.123, 5.001]),
        (["1\u202f234,5", "12\u00a0000"], {"decimal": ",", "thousands": " "}, [1234.5, 12000]),
        (["1'234.50", "1’000.00"], {"thousands": "'"}, [1234.5, 1000]),
        (["12,34,567", "12"], {"thousands": ","}, [1234567, 12]),
        (["12 kg", "1,5 kg"], {"decimal": ",", "thousands": ".", "unit": "kg"}, [12, 1.5]),
        (["￥1,200", "￥30"], {"thousands": ",", "unit": "￥"}, [1200, 30]),
        (["1,200 元", "30 元"], {"thousands": ",", "unit": "元"}, [1200, 30]),
        (["1234,50-", "−5,5"], {"decimal": ",", "thousands": "."}, [-1234.5, -5.5]),
        (["R$ 1.200,00", "R$ 3,50"], {"decimal": ",", "thousands": ".", "unit": "R$"}, [1200, 3.5]),
        (["1e5", "2.5"], {}, [100000, 2.5]),
    ],
)
def test_a_column_says_how_its_numbers_are_written(cells: list[str], form: dict, values: list[float]) -> None:
    inferred = infer(cells)
    assert inferred is not None and inferred.format.short() == form and not inferred.note
    assert inferred.format.parse(cells).tolist() == values
    assert NumberFormat(**form).parse(cells).tolist() == values


@pytest.mark.parametrize(
    "cells",
    [
        ["12A", "13B"],
        ["3 USD", "4 EUR"],
        ["1,5", "2.5"],
        ["12.03.2024", "13.04.2024"],
        ["030 1234567", "040 7654321"],
        ["Q1", "Q2"],
        ["12:30", "1:15"],
        ["1.2.3", "1.2.4"],
        ["5-6", "7-8"],
    ],
)
def test_what_is_no_column_of_numbers(cells: list[str]) -> None:
    assert infer(cells) is None


def test_what_no_cell_decides_is_stated() -> None:
    assert best_format(["1,234", "2,345"]).note == "'1,234' is read as 1234: no cell decides"
    assert best_format(["1.234", "2.345"]).note == "'1.234' is read as 1.234: no cell decides"
    assert best_format(["1,234", "2,345"]).format.thousands == "," and best_format(["1.234", "2.345"]).format == PLAIN


def test_a_few_cells_that_are_none_change_nothing() -> None:
    inferred = infer([*(f"{n},5" for n in range(97)), "unknown", "?", "x"])
    assert inferred is not None and inferred.share == pytest.approx(0.97) and inferred.format.decimal == ","
    assert infer([*(f"{n},5" for n in range(90)), *["unknown"] * 10]) is None


@pytest.mark.parametrize(
    "text", ["1,2.3 €", "1.23 €", "1.2345,0 €", "0.123 €", "5 $", "€", "-(5,0) €", "--5", "5,0 €€", ""]
)
def test_a_cell_of_another_format_is_no_number(text: str) -> None:
    assert math.isnan(GERMAN.parse([text])[0])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_as_the_column_reads_it(value: float) -> None:
    for form in (GERMAN, PLAIN, NumberFormat(thousands=",")):
        assert form.parse([form.write(value)])[0] == value


def test_two_signs_that_are_one() -> None:
    with pytest.raises(ValueError, match="expected two signs"):
        NumberFormat(decimal=".", thousands=".")


def chosen(**keys) -> tabular.Settings:
    return tabular.Settings.model_validate({"column": ["price", "n"], **keys})


def items(settings: tabular.Settings, *cells: object) -> list[str]:
    return [tabular.load(settings, {"price": cell, "n": "1"}, Path())[1] for cell in cells]


def test_texts_and_numbers_of_a_column_are_the_same_entries() -> None:
    settings = chosen(types={"price": "number", "n": "category"}, numbers={"price": GERMAN.model_dump()}, clip=0)
    texts = items(settings, *(f"{n}.{n}00,25 €" for n in range(1, 9)), "1.000 €", "0,5 €")
    values = items(settings, *(n * 1000 + n * 100 + 0.25 for n in range(1, 9)), 1000, np.float32(0.5))
    statistics = tabular.fit(settings, texts)
    assert statistics["columns"][0]["format"] == GERMAN.model_dump()
    tabular.Statistics.model_validate(statistics).check(settings)
    np.testing.assert_array_equal(
        tabular.encode(settings, statistics, texts), tabular.encode(settings, statistics, values)
    )
    assert "unit '€'" in tabular.explain(settings, statistics)[0]
    found = tabular.problems(settings, statistics, items(settings, "12 $", "5,0", None))
    assert [(row, column, reason) for row, column, reason in found] == [(0, "price", "not a number: '12 $'")]


def test_a_number_column_that_is_none_is_an_error() -> None:
    cells = [f"{n}.{n}00,25 €" for n in range(1, 9)]
    settings = chosen(types={"price": "number", "n": "category"})
    with pytest.raises(SuffuseError) as caught:
        tabular.fit(settings, items(settings, *cells))
    text = caught.value.text()
    assert "column 'price'" in text and "0 of 8 training cells" in text and "'1.100,25 €'" in text
    assert "numbers: {price: {decimal: ',', thousands: '.', unit: '€'}} reads 100 %" in text
    with pytest.raises(SuffuseError, match="no numbers"):
        tabular.fit(settings, items(settings, *["red", "blue"] * 5, "5"))
    assert tabular.fit(settings, items(settings, "1", "2", "red"))["columns"][0]["type"] == "number"


def test_keys_that_conflict() -> None:
    with pytest.raises(ValueError, match="numbers: got 'prize'"):
        chosen(numbers={"prize": {}})
    with pytest.raises(ValueError, match="which types calls a category"):
        chosen(numbers={"price": {}}, types={"price": "category"})
