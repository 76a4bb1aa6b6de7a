"""Numbers, categories and dates: what is learnt from training rows, and how odd cells are told."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from suffuse.modalities import tabular
from suffuse.modalities.cell import Absent, Unreadable
from suffuse.modalities.value_parsing import as_dates, as_number, day_comes_first

COLUMNS = ("price", "colour", "bought")


def chosen(*columns: str, **more) -> tabular.Settings:
    return tabular.Settings(column=columns or COLUMNS, **more)


def load(settings: tabular.Settings, *values: object) -> str:
    return tabular.load(settings, dict(zip(settings.columns, values, strict=True)), Path())[1]


def fitted(settings: tabular.Settings, rows: list[tuple]) -> tuple[dict, list[str]]:
    items = [load(settings, *row) for row in rows]
    return tabular.fit(settings, items), items


def shop(rows: int = 400, seed: int = 0) -> list[tuple]:
    """Prices with a few wild ones, colours with a rare one, dates; each empty now and then."""
    random = np.random.default_rng(seed)
    found = []
    for n in range(rows):
        price = 1e9 if n == 7 else round(float(random.normal(20, 5)), 2)
        day = date.fromordinal(738_000 + int(random.integers(0, 900)))
        colour = "rare" if n == 9 else random.choice(["red", "blue", "green"], p=[0.6, 0.3, 0.1])
        found.append(tuple(v if random.random() > 0.1 or n in (7, 9) else None for v in (price, colour, day)))
    return [f if any(f) else (1.5, "red", None) for f in found]


def by_hand(statistics: dict, cells: tuple[str, ...]) -> list[float]:
    """One row, from what the statistics say alone, as another language would do it."""
    numbers, missing, codes = [], [], []
    for column, cell in zip(statistics["columns"], cells, strict=True):
        if column["type"] == "category":
            codes.append(0 if cell == "" else column["names"].index(cell) + 2 if cell in column["names"] else 1)
            continue
        values = [None] * len(column["mean"])
        if cell and column["type"] == "number":
            values = [float(cell)]
        elif cell:
            day = date.fromisoformat(cell)
            month, week = 2 * np.pi * (day.month - 1) / 12, 2 * np.pi * day.weekday() / 7
            values = [(day - date(1970, 1, 1)).days, np.sin(month), np.cos(month), np.sin(week), np.cos(week)]
        facts = zip(values, *(column[k] for k in ("low", "high", "mean", "std")), strict=True)
        for value, low, high, mean, std in facts:
            numbers.append(0.0 if value is None else (min(max(value, low), high) - mean) / std)
            missing.append(float(value is None))
    return [*numbers, *missing, *codes]


def test_a_row_is_what_the_statistics_say():
    settings = chosen()
    statistics, items = fitted(settings, shop())
    assert json.loads(json.dumps(statistics)) == statistics
    assert [c["type"] for c in statistics["columns"]] == ["number", "category", "date"]
    assert statistics["numbers"] == 6 and statistics["categories"] == [5]
    got = tabular.encode(settings, statistics, items)
    assert got.shape == (400, 13) and got.dtype == np.float32 and np.isfinite(got).all()
    expected = [by_hand(statistics, tuple(item.split("\x1f"))) for item in items]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_numbers_are_standardised_within_their_bounds_on_training_rows():
    statistics, items = fitted(chosen(), shop())
    x = tabular.encode(chosen(), statistics, items)
    here = x[:, 6] == 0
    assert abs(x[here, 0].mean()) < 1e-5 and x[here, 0].std() == pytest.approx(1, abs=1e-4)
    assert x[7, 0] == x[here, 0].max() < 4  # the wild one is pulled in
    wild, _ = fitted(chosen(clip=0), shop())
    assert tabular.encode(chosen(clip=0), wild, items)[7, 0] > 15
    assert (x[~here, 0] == 0).all() and 20 < (~here).sum() < 80


@pytest.mark.parametrize(
    ("start", "step"), [(0.0, 1.0), (1e9, 0.25), (-5e-9, 1e-12), (3.0, 0.0), (0.0, 1e-310), (0.0, 1e305)]
)
def test_quantiles_part_the_training_rows_evenly(start: float, step: float):
    values = [start + step * n for n in range(321)]
    statistics, _ = fitted(chosen("price", types={"price": "number"}, clip=0), [(v,) for v in values])
    column = statistics["columns"][0]
    wanted = [start + step * 10 * n for n in range(33)]
    wanted = (np.array(wanted) - column["mean"][0]) / column["std"][0]
    np.testing.assert_allclose(column["quantiles"][0], wanted, rtol=0, atol=1e-4)
    assert column["quantiles"][0] == sorted(column["quantiles"][0])


def test_rare_categories_and_new_ones_are_unknown_and_empty_ones_missing():
    settings = chosen("colour")
    statistics, _ = fitted(settings, [(row[1],) for row in shop() if row[1]])
    assert statistics["columns"][0]["names"] == ["red", "blue", "green"]  # the commonest first
    items = [load(settings, c) for c in ("red", " red ", "green", "rare", "Red", "zebra")] + [tabular.blank(settings)]
    assert tabular.encode(settings, statistics, items)[:, 0].tolist() == [2, 2, 4, 1, 1, 1, 0]
    few, _ = fitted(chosen("colour", max_categories=2), [(row[1],) for row in shop() if row[1]])
    assert few["columns"][0]["names"] == ["red", "blue"] and few["categories"] == [4]
    all_, _ = fitted(chosen("colour", least=1), [(row[1],) for row in shop() if row[1]])
    assert "rare" in all_["columns"][0]["names"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([str(n % 2) for n in range(50)], "category"),  # codes
        ([str(n % 5) for n in range(50)], "category"),
        ([str(n % 40) for n in range(200)], "number"),
        ([str(n) for n in range(8)], "number"),  # nearly every row has its own
        ([f"{n % 3}.5" for n in range(50)], "number"),
        ([*[str(n) for n in range(199)], "unknown"], "number"),  # 99.5 %
        ([*[str(n) for n in range(90)], *["unknown"] * 10], "category"),
        ([f"{n},5" for n in range(50)], "category"),
        ([f"${n}" for n in range(50)], "category"),
        ([f"2024-01-{n % 28 + 1:02}" for n in range(50)], "date"),
        ([f"{n % 28 + 1}.3.2024" for n in range(50)], "date"),
        ([f"{n % 28 + 1}/3/2024" for n in range(50)], "date"),
        ([f"{n % 12 + 1}/3/2024" for n in range(50)], "category"),  # nobody can say which is the day
        (["007", "008", "012", "013"] * 30, "category"),
        (["", ""], "category"),
    ],
)
def test_training_cells_say_what_a_column_is(cells, kind):
    settings = chosen("c", "other")
    statistics, _ = fitted(settings, [(c, "x") for c in cells])
    assert statistics["columns"][0]["type"] == kind, statistics["columns"][0]["why"]
    again, _ = fitted(chosen("c", "other", types={"c": "category"}), [(c, "x") for c in cells])
    assert again["columns"][0]["type"] == "category"


def test_a_column_that_is_said_to_be_there_must_be():
    with pytest.raises(ValueError, match="types: got 'prize', expected one of the columns price, colour, bought"):
        chosen(types={"prize": "number"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-1.5", -1.5), ("+2", 2), (".5", 0.5), ("1.", 1), ("1e3", 1000), ("007", 7), ("1,5", None),
        ("1_000", None), ("$3", None), ("nan", None), ("inf", None), ("-Infinity", None), ("1e999", None), ("", None),
        ("٣", None), ("0x1", None), ("1 2", None), ("9" * 5000, None), ("1e-999", 0), ("--1", None), (".", None),
    ],
)  # fmt: skip
def test_what_a_number_is(text, value):
    got = as_number(text)
    assert np.isnan(got) if value is None else got == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-05", datetime(2024, 3, 5)),
        ("2024/3/5", datetime(2024, 3, 5)),
        ("2024-03-05 06:00", datetime(2024, 3, 5, 6)),
        ("2024-03-05T06:30:15.5Z", datetime(2024, 3, 5, 6, 30, 15, 500_000)),
        ("2024-03-05T01:00+02:00", datetime(2024, 3, 4, 23)),
        ("2024-03-05 01:00 -0130", datetime(2024, 3, 5, 2, 30)),
        ("5.3.2024", datetime(2024, 3, 5)),
        ("5 March 2024", datetime(2024, 3, 5)),
        ("05-Mar-2024", datetime(2024, 3, 5)),
        ("Sept. 5, 2024", datetime(2024, 9, 5)),
        ("1900-02-28", datetime(1900, 2, 28)),
    ],
)
def test_what_a_date_is(text, expected):
    days, *cycles = as_dates([text], None)[0]
    assert days == pytest.approx(
        (expected.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() / 86400
    )
    month, week = 2 * np.pi * (expected.month - 1) / 12, 2 * np.pi * expected.weekday() / 7
    assert cycles == pytest.approx([np.sin(month), np.cos(month), np.sin(week), np.cos(week)])


@pytest.mark.parametrize(
    "text",
    ["2024-13-01", "2023-02-29", "0000-01-01", "2024-1", "2024", "5.3.24", "3/4/2024", "32 March 2024", "5 Mai 2024",
     "2024-03-05 25:00", "20240305", "yesterday", "2024-03/05", "٢٠٢٤-٠٣-٠٥", ""],
)  # fmt: skip
def test_what_no_date_is(text):
    assert np.isnan(as_dates([text], None)).all()


def test_which_of_two_numbers_is_the_day_is_never_guessed():
    assert day_comes_first(["3/4/2024", "13/4/2024"]) is True
    assert day_comes_first(["3/4/2024", "4/13/2024"]) is False
    assert day_comes_first(["3/4/2024"]) is None and day_comes_first(["13/4/2024", "4/13/2024"]) is None
    april, march = as_dates(["3/4/2024"], True)[0, 0], as_dates(["3/4/2024"], False)[0, 0]
    assert (april, march) == (as_dates(["2024-04-03"], None)[0, 0], as_dates(["2024-03-04"], None)[0, 0])
    settings = chosen("day", types={"day": "date"}, day_first=True)
    statistics, items = fitted(settings, [("3/4/2024",), ("13/4/2024",)])
    assert statistics["columns"][0]["day_first"] is True
    assert tabular.problems(settings, statistics, items) == []


def test_cells_that_can_t_be_read_are_missing_and_told_and_the_others_kept():
    settings = chosen()
    statistics, _ = fitted(settings, shop())
    rows = [
        ("12.5", "red", "2024-01-01"),
        ("1,5", "red", "2024-01-01"),
        ("inf", "blue", "in May"),
        (None, b"\xff", "2024-01-01"),
        ("3", ["red"], None),
        ("4", "x" * 2000, None),
    ]
    items = [load(settings, *row) for row in rows]
    assert tabular.problems(settings, statistics, items) == [
        (1, "price", "not a number: '1,5'"),
        (2, "bought", "not a date: 'in May'"),
        (2, "price", "not a number: 'inf'"),
        (3, "colour", "not UTF-8: invalid start byte at byte 0"),
        (4, "colour", "expected one value, got list"),
        (5, "colour", "longer than 1,000 characters"),
    ]
    x = tabular.encode(settings, statistics, items)
    assert x[:, 6].tolist() == [0, 1, 1, 1, 0, 0]
    assert x[:, 12].tolist() == [2, 2, 3, 0, 0, 0]
    assert (x[0] == tabular.encode(settings, statistics, items[:1])[0]).all()


def test_a_row_of_empty_cells_is_absent_and_one_of_broken_cells_unreadable():
    for empty in ((None, "", float("nan")), ("  ", "\x1f", None)):
        with pytest.raises(Absent):
            load(chosen(), *empty)
    with pytest.raises(Unreadable, match="price: expected one value, got dict; colour: not UTF-8"):
        load(chosen(), {"a": 1}, b"\xff", None)
    with pytest.raises(Unreadable, match="expected a cell for each of price, colour, bought, got str"):
        tabular.load(chosen(), "red", Path())
    assert load(chosen(), None, "red", None) == "\x1fred\x1f"


@pytest.mark.parametrize(
    ("value", "same_as"),
    [(1.0, "1"), ("1.0", "1"), ("-3.00", -3), (True, "True"), (np.int64(7), 7), (np.float32(2.5), "2.5"),
     (b"red", "red"),
     (date(2024, 1, 2), "2024-01-02"), (datetime(2024, 1, 2, 3, 4), "2024-01-02 03:04:00"), ("e\u0301", "é"),
     ("a\x1fb\x1ec", "a b c")],
)  # fmt: skip
def test_values_of_other_types_read_as_their_texts(value, same_as):
    one, other = (tabular.load(chosen("c"), {"c": v}, Path()) for v in (value, same_as))
    assert one == other


anything = st.one_of(
    st.text(max_size=12), st.floats(), st.integers(), st.none(), st.booleans(), st.binary(max_size=6), st.dates(),
    st.lists(st.integers(), max_size=2), st.text(st.characters(exclude_categories=()), max_size=6),
)  # fmt: skip
STATISTICS = tabular.fit(chosen(), [load(chosen(), *row) for row in shop()])


@budget(deadline=None, max_examples=300)
@given(st.tuples(anything, anything, anything))
def test_whatever_stands_in_a_row_it_is_encoded_absent_or_unreadable(row):
    """And a neighbour's bits stay as they are."""
    neighbour = load(chosen(), 20.5, "red", "2022-05-05")
    alone = tabular.encode(chosen(), STATISTICS, [neighbour])[0]
    try:
        item = load(chosen(), *row)
    except (Absent, Unreadable):
        return
    item.encode("utf-8")
    x = tabular.encode(chosen(), STATISTICS, [neighbour, item, neighbour])
    assert np.isfinite(x).all() and np.abs(x[:, :6]).max() < 50
    assert (x[0] == alone).all() and (x[2] == alone).all()
    for position, name, reason in tabular.problems(chosen(), STATISTICS, [neighbour, item, neighbour]):
        assert position == 1 and name in COLUMNS and reason
    missing = {n for _, n, _ in tabular.problems(chosen(), STATISTICS, [item])}
    for name, value, at in zip(COLUMNS, item.split("\x1f"), (6, 12, 7), strict=True):
        assert (x[1, at] == (0 if name == "colour" else 1)) == (value == "" or name in missing)


@budget(deadline=None, max_examples=60)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12))
@example([1.797693049485451e308, 1.7976930530808368e308])  # they differ by rounding, and by 3e299
def test_numbers_of_any_size_are_standardised_without_overflow(values):
    settings = chosen("n", types={"n": "number"}, clip=0)
    statistics, items = fitted(settings, [(v,) for v in values])
    x = tabular.encode(settings, statistics, items)[:, 0]
    assert np.isfinite(x).all() and np.abs(x).max() <= len(values)
    order = np.argsort(values, kind="stable")
    assert (np.diff(x[order]) >= -1e-5).all()


def test_a_column_of_one_value_or_of_none():
    settings = chosen("same", "none", types={"same": "number", "none": "number"})
    statistics, items = fitted(settings, [(7, None)] * 9)
    assert (tabular.encode(settings, statistics, items) == [[0, 0, 0, 1]]).all()
    assert tabular.encode(settings, statistics, []).shape == (0, 4)
    rare = chosen("flag", types={"flag": "number"})  # a 1 in a thousand zeros is no outlier
    statistics, items = fitted(rare, [(int(n == 5),) for n in range(1000)])
    assert tabular.encode(rare, statistics, items)[5, 0] > 10


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_damage_keeps_the_form_and_grows(severity):
    settings = chosen()
    statistics, items = fitted(settings, shop(600))
    x = tabular.encode(settings, statistics, items)
    before = x.copy()
    made = tabular.corrupt(settings, statistics, x, severity, 3)
    assert (x == before).all() and made.shape == x.shape and made.dtype == x.dtype
    assert (made == tabular.corrupt(settings, statistics, x, severity, 3)).all()
    assert (made != tabular.corrupt(settings, statistics, x, severity, 4)).any()
    assert set(np.unique(made[:, 6:12])) <= {0, 1} and set(np.unique(made[:, 12])) <= set(range(5))
    assert (made[:, :6][made[:, 6:12] == 1] == 0).all()  # what is missing is 0
    assert (made[:, 6:12] >= x[:, 6:12]).all() and (made[:, 12][x[:, 12] == 0] == 0).all()  # nothing comes back
    assert (made[:, 7:12].max(1) == made[:, 7:12].min(1)).all()  # a date is lost whole
    share = (0.04, 0.08, 0.14, 0.22, 0.32)[severity - 1]
    here = x[:, 6] == 0
    assert made[here, 6].mean() == pytest.approx(share, abs=0.05)
    kept = here & (made[:, 6] == 0)
    noise = (0.1, 0.25, 0.5, 0.8, 1.2)[severity - 1]
    assert (made[kept, 0] - x[kept, 0]).std() == pytest.approx(noise, rel=0.15)


def test_an_encoded_row_is_described_as_the_model_reads_it():
    settings = chosen()
    statistics, items = fitted(settings, shop())
    x = tabular.encode(settings, statistics, [*items[:50], load(settings, "20", "zebra", None)])
    for row, item in zip(x[:50], items[:50], strict=True):
        price, colour, bought = item.split("\x1f")
        found = dict(part.split(": ") for part in tabular.describe(statistics, row).split(", "))
        assert found["colour"] == ("unknown" if colour == "rare" else colour or "missing")
        if bought:
            bounds = [str(np.datetime64(int(statistics["columns"][2][key][0]), "D")) for key in ("low", "high")]
            assert found["bought"] == min(max(bought, bounds[0]), bounds[1])
        else:
            assert found["bought"] == "missing"
        if price and float(price) < 100:
            low, high = statistics["columns"][0]["low"][0], statistics["columns"][0]["high"][0]
            assert float(found["price"]) == pytest.approx(min(max(float(price), low), high), rel=1e-4)
    assert tabular.describe(statistics, x[50]) == "price: 20, colour: unknown, bought: missing"


def test_people_are_told_what_is_done():
    said = " ".join(tabular.explain(chosen(), fitted(chosen(), shop())[0]))
    assert "price is a number" in said and "colour is a category" in said and "bought is a date" in said
