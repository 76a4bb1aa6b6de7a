"""The parts of a check: cells of any modality, what stands in two splits, give-aways, costs, harmless output."""

from __future__ import annotations

import hashlib
import sys
import time
import types
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest

from suffuse import modalities, sources
from suffuse.modalities.cell import Absent, Root, Unreadable
from suffuse.prepare import splits
from suffuse.prepare.check import content_check, cost_estimate, leak_check, target_check
from suffuse.prepare.check.check_text import lines
from suffuse.prepare.check.column_check import column_facts, count_distinct, coverage, inspect_columns, sample_rows
from suffuse.prepare.check.findings import Check
from suffuse.prepare.column_types import inspect
from suffuse.prepare.quarantine import Quarantine
from suffuse.prepare.row_state import Draft
from suffuse.prepare.targets import Cells
from suffuse.recipe import Data, Extract, Task, make_recipe
from suffuse.registry import ModalitySettings


def draft(
    entry: list[list[int]], split: str, label: list[Any], group: list[int] | None = None, task: Task | None = None
) -> Draft:
    """Rows with these entries (one list a modality), splits (t, v, s of test) and labels."""
    count = len(split)
    columns = {f"m{n}": content_check.unread_contents(np.array(e), max(e) + 1) for n, e in enumerate(entry)}
    cells = Cells("answer", task or Task(), label, {})
    texts = [cells.text(row) for row in range(count)]
    ids: list[str | None] = [str(n) for n in range(count)]
    codes = np.array(["tvs".index(c) for c in split], dtype=np.int8)
    groups = np.array(group or range(count))
    keep = np.ones(count, dtype=bool)
    return Draft(ids, list(range(2, count + 2)), texts, groups, codes, columns, keep, Quarantine(), [cells])


def told(check: Check) -> dict[str, tuple[str, str]]:
    return {f.code: (f.weight, f.says) for f in check.findings}


def blank() -> Check:
    return Check("rows.csv", 10, 0, [])


# cells


class Settings(ModalitySettings):
    kind: Literal["made_up"] = "made_up"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A modality that no one has written: of several columns, with all ways to fail; it notes what it was given."""
    made: Any = types.ModuleType("made_up_modality")
    made.Settings, made.seen, made.wait = Settings, [], 0.0

    def load(settings: Settings, value: Any, root: Path) -> tuple[str, str]:
        made.seen.append(value)
        time.sleep(made.wait)
        text = "".join(str(v or "") for v in value.values()) if isinstance(value, dict) else value
        if not text:
            raise Absent("empty cell")
        if text.startswith("bad"):
            raise Unreadable(f"broken: {text}")
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), text

    made.load, made.stored = load, lambda settings: None
    made.Statistics = made.blank = made.corrupt = made.axes = made.examples = None
    made.DOCS, made.EXAMPLES, made.LAYOUT = None, (), None
    made.fit = lambda settings, items: {"longest": max(map(len, items))}
    made.encode = lambda settings, statistics, items: np.zeros((len(items), statistics["longest"]), dtype=np.int32)
    made.explain = lambda settings, statistics: [f"cut to {statistics['longest']}"]
    monkeypatch.setitem(sys.modules, "made_up_modality", made)
    monkeypatch.setitem(modalities.TABLE, "made_up", "made_up_modality")
    return made


def table(**columns: list) -> sources.Rows:
    made = pa.table(columns)
    return sources.Rows(made, list(range(2, made.num_rows + 2)), Path())


def look(rows: sources.Rows, column: Any, full: bool = False) -> content_check.Contents:
    return content_check.read_contents("m", Settings(column=column), rows, Path(), full, lambda share: None)


def test_every_cell_is_read_once_where_that_is_quick(part) -> None:
    cells = ["a", "a", "", "bad one", "bad two", "b", "bad one", None, "a"]
    found = look(table(x=cells), "x")
    assert found.facts.whole and found.facts.read == found.facts.cells == 6
    assert found.facts.absent == {"empty cell": 2} and found.facts.unreadable == {"broken": 3}
    assert found.facts.first == {"empty cell": "line 4", "broken": "line 5: bad one"}
    assert found.facts.done == ["cut to 1"] and found.facts.bytes == 4
    entry = found.cleaned.entry
    assert entry[0] == entry[1] == entry[8] >= 0 and (entry < 0).tolist() == [
        c in ("", None) or c[:3] == "bad" for c in cells
    ]


def test_a_cell_of_several_columns(part) -> None:
    found = look(table(x=["a", "", "bad"], y=[1, None, 2]), ("x", "y"))
    assert found.facts.columns == ("x", "y")
    assert sorted(v["x"] for v in part.seen[:3]) == ["", "a", "bad"]
    assert found.facts.absent == {"empty cell": 1} and found.facts.unreadable == {"broken": 1}


def test_a_sample_where_reading_is_slow(part, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted is then of the cells that were read, and equal cells are equal contents."""
    part.wait = 0.004
    monkeypatch.setattr(content_check, "FULL_READ_SECONDS", 0.5)
    cells = [f"text {n % 1500}" if n % 3 else ("bad" if n % 2 else "") for n in range(3000)]
    found = look(table(x=cells), "x")
    assert not found.facts.whole and found.facts.read == len(part.seen) == content_check.SAMPLE < found.facts.cells
    entry = found.cleaned.entry
    assert (entry < 0).tolist() == [c == "" for c in cells]  # nothing but empty cells is known to be absent
    codes: dict[str, int] = {}
    assert all(codes.setdefault(c, e) == e for c, e in zip(cells, entry.tolist(), strict=True) if c)
    assert len(set(codes.values())) == len(codes)
    part.wait = 0.0
    assert look(table(x=cells), "x", full=True).facts.whole


def test_a_sample_ends_after_some_seconds(part, monkeypatch: pytest.MonkeyPatch) -> None:
    part.wait = 0.05
    monkeypatch.setattr(content_check, "SECONDS", 0.2)
    monkeypatch.setattr(content_check, "FULL_READ_SECONDS", 1.0)
    found = look(table(x=[f"t{n}" for n in range(500)]), "x")
    assert 1 <= found.facts.read <= 10


def test_many_reasons_are_told_together(part) -> None:
    def load(settings: Settings, value: str, root: Path) -> tuple[str, str]:
        raise Unreadable(f"reason {value}")

    part.load = load
    found = look(table(x=[str(n) for n in range(50)]), "x")
    assert len(found.facts.unreadable) == content_check.REASONS + 1
    assert found.facts.unreadable[content_check.REMAINING_REASONS] == 50 - content_check.REASONS
    assert found.field is None and found.facts.bytes == 0


def test_a_slow_derivation_is_tried_and_what_follows_from_it_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A made-up transcription of which nothing is written, and words masked in what it gives."""
    from suffuse import derive as kinds
    from suffuse.prepare.check import column_check
    from suffuse.registry import DeriveSettings

    class Slow(DeriveSettings):
        kind: Literal["slow"] = "slow"

    made: Any = types.ModuleType("made_up_derivation")
    made.Settings, made.ready, made.fit = Slow, lambda settings: None, lambda settings, labels: {}
    made.content, made.Facts = lambda settings, value, root: b"", None
    made.make = lambda settings, facts, value, root: f"heard {value}"
    monkeypatch.setitem(sys.modules, "made_up_derivation", made)
    monkeypatch.setitem(kinds.TABLE, "slow", "made_up_derivation")
    monkeypatch.chdir(tmp_path)
    asked = {"heard": {"kind": "slow", "column": "x"}, "masked": {"kind": "mask_words", "column": "heard"}}
    data = Data.model_validate({"source": "x", "target": "answer", "derive": asked})
    rows = table(x=[None if n % 4 == 0 else f"red thing {n}" for n in range(100)])
    found = column_check.derive_columns(data, rows, ["red"], Root.of(tmp_path), lambda share, words: None)
    columns = {name: found.derived.rows.table[name].to_pylist() for name in ("heard", "masked")}
    some = found.partial_rows["heard"]
    assert len(some) == column_check.FEW and all(n % 4 for n in some)
    assert [n for n, text in enumerate(columns["heard"]) if text] == some.tolist()
    assert all("heard thing" in columns["masked"][n] for n in found.partial_rows["masked"])
    assert [t["name"] for t in found.derivations] == ["heard", "masked"]
    assert not list(tmp_path.iterdir())


# columns


def test_coverage_and_different_values_are_those_of_all_rows() -> None:
    cells = pa.chunked_array([pa.array(["a", " ", None]), pa.array(["b", "a ", ""])])
    assert coverage(cells) == pytest.approx(0.5) and count_distinct(cells) == 2
    numbers = pa.chunked_array([pa.array([1.0, float("nan"), None, 2.0])])
    assert coverage(numbers) == pytest.approx(0.5)
    assert count_distinct(pa.chunked_array([pa.array([[1], [2]])])) is None
    assert count_distinct(pa.chunked_array([pa.array([b"x", b"y"])])) is None
    assert count_distinct(pa.chunked_array([pa.nulls(3)])) == 0
    opaque = pa.ExtensionArray.from_storage(pa.opaque(pa.int8(), "kind", "vendor"), pa.array([1, 2], pa.int8()))
    assert count_distinct(pa.chunked_array([opaque])) is None


def test_examples_of_cells_can_not_command_a_terminal() -> None:
    rows = table(**{"na\x1bme": ["\x1b[31mred\x07 \u202etxt", "b\x9b2J", "c"]})
    (column,) = inspect(rows, Root.of(Path()))
    shown = column_facts(column, rows.table.column(0), ())
    for text in (shown.name, shown.looks, *shown.examples):
        assert text.isprintable(), text
    assert shown.examples[0] == r"\x1b[31mred\x07 \u202etxt"


def test_columns_are_judged_by_a_sample_that_is_the_same_every_time() -> None:
    assert sample_rows(10, 20).tolist() == list(range(10))
    some = sample_rows(1000, 50)
    assert len(some) == 50 and (np.diff(some) > 0).all() and (some == sample_rows(1000, 50)).all()
    (column,) = inspect_columns(table(x=[str(n) for n in range(1000)]), ["x"], some, Root.of(Path()))
    assert len(column.cells) == 50


# what stands in two splits


def test_across() -> None:
    code, split = np.array([0, 1, 1, 2, -1, -1, 2, 2]), np.array([0, 0, 2, 1, 0, 2, 2, -1])
    assert leak_check.across(code, split) == {("test", "train"): 1, ("test", "validation"): 1}


def test_whole_rows_are_equal_where_contents_and_label_are() -> None:
    made = draft([[0, 0, 1, 0, -1], [3, 3, 3, 3, -1]], "ttttt", ["a", "a", "a", "b", "a"])
    contents_, rows = leak_check.content_codes(made, False), leak_check.content_codes(made, True)
    assert contents_[0] == contents_[1] == contents_[3] != contents_[2] and contents_[4] == -1
    assert rows[0] == rows[1] != rows[3] and rows[4] == -1


def test_groups_and_copies_of_a_given_split() -> None:
    made, check = draft([[0, 0, 1, 2]], "tstv", ["a", "a", "b", "b"], [5, 6, 7, 7]), blank()
    leak_check.check_table_split(check, made, "who")
    found = told(check)
    assert found["groups_in_two_splits"] == (
        "warning",
        "groups stand in two splits: 1 validation rows with train rows (e.g. lines 4 and 5)",
    )
    assert "1 test rows with train rows" in found["copies_in_two_splits"][1]
    check = blank()
    leak_check.check_table_split(check, draft([[0, 1]], "ts", ["a", "a"]), "who")
    assert not check.findings


def test_contents_of_one_modality_weigh_by_their_size() -> None:
    made, check = draft([[0, 0, 1], [0, 1, 0]], "tst", ["a", "b", "a"]), blank()
    leak_check.check_shared_contents(check, made, {"m0": 10_000.0, "m1": 40.0})
    assert [(f.where, f.weight) for f in check.findings] == [("m0", "warning")]
    assert "1 of 1 test rows (100 %)" in check.findings[0].says and "data.group" in check.findings[0].says
    made.keep[0] = False
    check = blank()
    leak_check.check_shared_contents(check, made, {"m0": 10_000.0, "m1": 40.0})
    assert not check.findings


def test_labels_that_contradict_each_other() -> None:
    check = blank()
    leak_check.check_contradictions(check, draft([[0, 0, 1, 2]], "tttt", ["a", "b", "a", None]))
    assert (
        "2 rows (66.7 %)" in told(check)["contradicting_labels"][1] or "67 %" in told(check)["contradicting_labels"][1]
    )
    check = blank()
    leak_check.check_contradictions(check, draft([[0, 0, 1]], "ttt", ["a", "a", "b"]))
    assert not check.findings


# give-aways


def away(cells: list, values: list, task: Task | None = None, name: str = "x") -> list[str]:
    check, target = blank(), Cells("answer", task or Task(), values, {})
    (column,) = inspect(table(**{name: cells}), Root.of(Path()))
    leak_check.check_give_aways(check, [column], {name: "m"}, [target])
    return [f.says for f in check.findings]


def test_a_column_that_gives_the_target_away() -> None:
    labels = ["red", "green", "blue"] * 40
    texts = [f"a thing that is {label}, number {n}" for n, label in enumerate(labels)]
    assert "its label's words stand in 100 %" in away(texts, labels)[0]
    assert "nearly every one of its 3 values has one label" in away([f"k{x[0]}" for x in labels], labels)[0]
    assert away([f"thing number {n} in a row" for n in range(120)], labels) == []
    assert away(labels, labels, name="answer") == ["column 'answer' is the target itself"]
    several = [(label, "shiny") for label in labels]
    assert "stand in 100 %" in away(texts, several, Task(kind="labels"))[0]


def test_numbers_that_follow_a_number() -> None:
    values = [float(n % 17) for n in range(100)]
    assert "correlation 1.0000" in away([str(3 * v + 1) for v in values], values, Task(kind="number"))[0]
    noise = np.random.default_rng(0).normal(0, 20, 100)
    assert away([str(v + e) for v, e in zip(values, noise, strict=True)], values, Task(kind="number")) == []
    assert away(["5"] * 100, values, Task(kind="number")) == []
    thirds = [("low", "middle", "high")[int(v // 6)] for v in values]
    assert "its values are ranges of it" in away(thirds, values, Task(kind="number"))[0].replace("'answer'", "it")
    assert away([("red", "blue")[n % 2] for n in range(100)], values, Task(kind="number")) == []


# targets


def test_imbalance_and_rare_classes() -> None:
    check, labels = blank(), ["common"] * 90 + ["rare"] * 2 + ["held"] * 8
    target_check.check_targets(check, draft([list(range(100))], "t" * 90 + "tt" + "vvvvssss", labels))
    found = told(check)
    assert found["imbalance"][0] == "warning" and "data.tasks.answer.balance" in found["imbalance"][1]
    assert "1 of 2 classes have fewer than 5 training rows, e.g. 'rare'" in found["rare_classes"][1]
    assert "4 validation rows, 4 test rows" in found["labels_never_seen"][1]
    check = blank()
    target_check.check_targets(
        check, draft([list(range(100))], "t" * 90 + "tt" + "vvvvssss", labels, task=Task(balance=True))
    )
    assert "imbalance" not in told(check)


def test_a_split_without_labels_would_stop_a_run() -> None:
    check = blank()
    heads = target_check.check_targets(check, draft([list(range(6))], "ttttvs", ["a", "b", "a", "b", "a", None]))
    assert told(check)["no_labelled_row"][0] == "stops" and not check.runs
    assert [head.classes for head in heads] == [("a", "b")]
    assert check.targets[0]["labelled"] == {"train": 4, "validation": 1, "test": 0}


def test_listed_classes_need_no_labelled_training_row() -> None:
    check, rows = blank(), [list(range(6))]
    made = draft(rows, "ttttvs", [None, None, None, None, "a", "b"], task=Task(classes=("a", "b")))
    heads = target_check.check_targets(check, made, ("validation", "test"))
    assert told(check) == {} and check.runs
    assert [head.classes for head in heads] == [("a", "b")]
    target_check.check_targets(check, made)
    assert told(check)["no_labelled_row"][0] == "stops"


# costs and output


def recipe(**more: Any):
    network = {"encoders": {"m": {"kind": "gru", "width": 8}, "n": {"kind": "gru", "width": 4}}}
    return make_recipe(
        {
            "data": {"source": "x", "target": "answer"},
            "modalities": {"m": {"kind": "text", "column": "x"}, "n": {"kind": "text", "column": "y"}},
            "teacher": {**network, "fusion": {"kind": "concat", "width": 16}, "train": {"epochs": 3, "batch": 10}},
            "student": network,
            **more,
        }
    )


@pytest.mark.parametrize(("labelled", "epochs", "warned"), [(100, 3, True), (100, 30, False), (600, 3, False)])
def test_a_teacher_is_trained_on_labelled_rows_and_may_hardly_be(labelled: int, epochs: int, warned: bool) -> None:
    check, counts = blank(), {"train": 1000, "validation": 20, "test": 30}
    check.targets.append({"labelled": {"train": labelled, "validation": 20, "test": 30}})
    made = recipe()
    assert made.trained
    training = made.trained.train.model_copy(update={"epochs": epochs})
    made = made.model_copy(update={"teacher": made.trained.model_copy(update={"train": training})})
    found = cost_estimate.time(check, made, 1.0, counts)["trainings"]
    assert found[0]["who"] == "teacher" and found[0]["steps"] == epochs * labelled // 10
    assert ("few_steps" in told(check)) == warned


def test_the_store_is_counted_from_the_widths() -> None:
    check = blank()
    found = cost_estimate.disk(
        check, recipe(), {"train": 100, "validation": 20, "test": 30}, Path("/nowhere/at/all"), 5
    )
    assert found["knowledge"] == 120 * (cost_estimate.STORED + 2 * (5 + 16 + 8 + 4 + 2))
    assert found["data"] == 150 * cost_estimate.ROW and found["free"] > 0 and not check.findings


def test_every_subset_and_view_is_counted() -> None:
    def stored(**extract: Any) -> int:
        made = recipe().model_copy(update={"extract": Extract.model_validate(extract)})
        rows = {"train": 100, "validation": 20, "test": 30}
        return cost_estimate.disk(blank(), made, rows, Path("/nowhere/at/all"), 5)["knowledge"]

    one = stored() // 120
    assert stored(subsets="each") == stored(subsets="all") == stored(subsets=[["m"], ["n"]]) == 360 * one
    assert stored(views=3) == 420 * one and stored(subsets="each", views=3) == 1260 * one
    assert stored(dtype="float32") == 2 * stored() - 120 * cost_estimate.STORED


def test_a_disk_that_is_too_small_would_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_estimate.shutil, "disk_usage", lambda place: types.SimpleNamespace(free=1000))
    check = blank()
    cost_estimate.disk(check, recipe(), {"train": 100, "validation": 20, "test": 30}, Path("/nowhere/at/all"), 5)
    assert told(check)["disk"][0] == "stops" and "1 kB are free" in told(check)["disk"][1]


def test_trainings_are_those_that_the_stages_do() -> None:
    from suffuse.run import Run
    from suffuse.stages import distill, teach

    for more in (
        {},
        {"distill": {"num_seeds": 2, "label_fractions": [0.1, 0.5], "unimodal_baselines": False}},
        {"distill": {"num_seeds": 1}},
    ):
        made = recipe(**more)
        run = Run(Path("x"), made)
        counted = cost_estimate.list_trainings(made, 95, 95)
        assert [c["trainings"] for c in counted] == [len(teach.jobs(run)), len(distill.jobs(run))]
        assert counted[0]["steps"] == 3 * 10
    several = recipe()
    several = several.model_copy(
        update={"teacher": several.teacher.model_copy(update={"num_seeds": 3, "unimodal_baselines": True})}
    )
    assert (
        cost_estimate.list_trainings(several, 95, 95)[0]["trainings"] == len(teach.jobs(Run(Path("x"), several))) == 9
    )


def test_lines_hold_no_control_characters_and_are_not_too_long() -> None:
    check = blank()
    check.add("warning", "x", "\x1bplace", "says \x1b[2J " + "long " * 100)
    check.splits = {"rows": {"train": 1}, "made": [], "groups": None, "left_out": 0}
    check.costs = {
        "disk": {"data": 1, "features": 0, "knowledge": 2, "free": 3, "how": "so"},
        "memory": {"prepare": 1, "machine": 2, "how": "so"},
        "time": {"prepare": 1.0, "trainings": [], "how": "so"},
    }
    found = list(lines(check))
    assert all(line.isprintable() and len(line) <= 110 for line in found)
    assert found[-1] == "it can run, 1 warning"


def test_a_made_split_has_no_group_on_both_sides() -> None:
    """As prepare makes it: the check goes through the same lines."""
    from suffuse.prepare import table_rows

    made = draft([list(range(60))], "t" * 60, ["a", "b"] * 30, [n // 3 for n in range(60)])
    table_rows.leave_out(made, Data(source="x", target="answer"))
    table_rows.make_splits(made, Data(source="x", target="answer"), 0)
    assert leak_check.across(made.group, made.split) == {}
    assert set(made.split.tolist()) == {splits.TRAIN, splits.VALIDATION, splits.TEST}
