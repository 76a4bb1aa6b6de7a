"""Rows with equal contents: which are kept, which are one group, and when too many rows are left out."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import numpy as np
import pytest

from suffuse.prepare import duplicates, split_leaks, table_rows
from suffuse.prepare.cell_cleaning import Cleaned
from suffuse.prepare.duplicates import DROP, GROUP, KEEP
from suffuse.prepare.quarantine import Quarantine
from suffuse.prepare.row_state import Draft, drop_bad_ids
from suffuse.prepare.splits import TEST, TRAIN, VALIDATION
from suffuse.prepare.targets import Cells
from suffuse.recipe import Data, Task

ABSENT = None


def column(contents: list[str | None]) -> Cleaned:
    """A modality; None where it is absent."""
    distinct = list(dict.fromkeys(c for c in contents if c is not None))
    entry = np.array([-1 if c is None else distinct.index(c) for c in contents])
    reasons = {row: "empty cell" for row, c in enumerate(contents) if c is None}
    digests = np.frombuffer(b"".join(md5(c.encode()).digest() for c in distinct), np.uint8).reshape(-1, 16)
    return Cleaned(entry, reasons, digests, list(distinct))


def table(*modalities: list[str | None], **more: Any) -> Draft:
    """Rows with different ids and these contents; all of one label and of training, unless ``more`` says else."""
    count = len(modalities[0])
    label = more.get("label", ["x"] * count)
    return Draft(
        ids=more.get("ids", [f"r{n}" for n in range(count)]),
        lines=list(range(2, count + 2)),
        label=label,
        group=np.asarray(more.get("group", np.arange(count)), dtype=np.int64),
        split=np.asarray(more.get("split", [TRAIN] * count), dtype=np.int8),
        columns={f"m{n}": column(contents) for n, contents in enumerate(modalities)},
        keep=np.ones(count, dtype=bool),
        notes=Quarantine(),
        targets=[Cells("answer", Task(), label, {})],
    )


def kept(draft: Draft, rule: str) -> list[bool]:
    duplicates.drop_duplicates(draft, rule)
    return draft.keep.tolist()


def groups(draft: Draft, rule: str = GROUP) -> list[int]:
    duplicates.group_duplicates(draft, rule)
    return draft.group.tolist()


# which rows are kept


@pytest.mark.parametrize("rule", [GROUP, KEEP])
def test_rows_with_different_ids_are_different_rows(rule: str) -> None:
    assert kept(table(list("aabaa")), rule) == [True] * 5


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ([TRAIN, TRAIN, TRAIN], [True, True, True]),
        ([TRAIN, TEST, TRAIN], [False, True, False]),
        ([VALIDATION, TRAIN, TEST], [False, False, True]),  # nothing is chosen on what is tested
        ([VALIDATION, TRAIN, VALIDATION], [True, False, True]),
        ([TEST, TEST, TRAIN], [True, True, False]),  # what is held out stays as it was given
    ],
)
def test_a_training_row_that_copies_a_held_out_row_is_a_leak(split: list[int], expected: list[bool]) -> None:
    draft = table(["same"] * 3, split=split)
    assert kept(draft, GROUP) == expected
    assert kept(table(["same"] * 3, split=split), KEEP) == [True] * 3
    reasons = {line: reason for line, _, _, _, reason in draft.notes.notes}
    if split == [TRAIN, TEST, TRAIN]:
        said = "duplicate row: same contents and label as line 3, a test row"
        assert reasons == {2: said, 4: said}


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ([TRAIN, TRAIN, TRAIN], [True, False, False]),
        ([TRAIN, TEST, TRAIN], [False, True, False]),
        ([VALIDATION, TRAIN, TEST], [False, False, True]),
        ([VALIDATION, TRAIN, VALIDATION], [True, False, True]),
        ([TEST, TEST, TRAIN], [True, True, False]),
    ],
)
def test_drop_keeps_one_of_equal_rows_the_held_out_one(split: list[int], expected: list[bool]) -> None:
    assert kept(table(["same"] * 3, split=split), DROP) == expected


@pytest.mark.parametrize("rule", [GROUP, KEEP, DROP])
def test_rows_with_another_label_or_content_are_no_copies(rule: str) -> None:
    draft = table(["a", "a", "b"], label=["x", "y", "x"], split=[TEST, TRAIN, TRAIN])
    assert kept(draft, rule) == [True] * 3


@pytest.mark.parametrize("rule", [GROUP, KEEP, DROP])
def test_a_missing_clip_beside_an_equal_transcript_is_no_duplicate(rule: str) -> None:
    """Whether one of the two rows lacks the clip, or both do."""
    clips, words = ["c", ABSENT, ABSENT, "c", ABSENT], ["hello"] * 5
    draft = table(clips, words, split=[TRAIN, TRAIN, TRAIN, TRAIN, TEST])
    assert kept(draft, rule) == [True, True, True, rule != DROP, True]
    assert groups(draft, rule) == [0, 1, 2, 0 if rule == GROUP else 3, 4]
    assert split_leaks.kept_leaks(draft).get("contents") is None and split_leaks.copies_across(draft) == {}


def test_a_row_that_is_left_out_is_nobody_s_duplicate() -> None:
    draft = table(["a", "a"], ids=[None, "r"])
    drop_bad_ids(draft)
    assert kept(draft, DROP) == [False, True] and groups(draft) == [0, 1]


def test_equal_contents_have_different_keys_where_ids_differ() -> None:
    draft = table(["a", "a", "a"])
    assert len(set(draft.keys(np.arange(3)).tolist())) == 3


# which rows are one group


def test_equal_contents_are_one_group_whatever_the_label() -> None:
    draft = table(list("abacb"), label=["x", "x", "y", "x", None])
    assert groups(draft) == [0, 1, 0, 3, 1]
    assert groups(table(list("abacb")), KEEP) == groups(table(list("abacb")), DROP) == [0, 1, 2, 3, 4]


def test_groups_of_the_table_and_of_contents_are_joined() -> None:
    """Rows 0 and 3 have nothing in common: group 5 has row 1, whose content row 2 has, whose group row 3 has."""
    assert groups(table(["p", "q", "q", "r", "s"], group=[5, 5, 7, 7, 9])) == [5, 5, 5, 5, 9]


def test_joined_groups_are_connected_components() -> None:
    """Against a search through the graph, on random tables."""
    random = np.random.default_rng(0)
    for _ in range(30):
        group, content = random.integers(0, 12, 40), random.integers(-1, 15, 40)
        found = duplicates.join_groups(group, content)
        reached = np.arange(40)
        for _ in range(40):  # the least row that a row can be reached from
            for code in (group, content):
                for value in np.unique(code[code >= 0]):
                    reached[code == value] = reached[code == value].min()
        assert len(np.unique(np.stack([found, reached], 1), axis=0)) == len(np.unique(found)) == len(np.unique(reached))
        assert all(value in group[found == value] for value in np.unique(found))


def test_a_given_split_is_not_torn_by_contents_with_different_labels() -> None:
    """They stay, so they must not become a group of two splits; within a split they are one."""
    draft = table(list("aaaa"), label=["x", "y", "y", "x"], split=[TRAIN, TRAIN, TEST, TEST])
    data = Data(source="s", target="answer")
    duplicates.group_duplicates(draft, data.duplicates)
    assert draft.group.tolist() == [0, 0, 2, 2]


def test_a_group_in_two_splits_takes_no_row_of_equal_contents_with_it() -> None:
    """Row 0 is in no group of a held-out row; row 1, whose content it has, is."""
    draft = table(list("aab"), group=[0, 1, 1], split=[TRAIN, TRAIN, TEST])
    table_rows.leave_out(draft, Data(source="s", target="answer"))
    assert draft.keep.tolist() == [True, False, True]


def low_cardinality(rows: int = 891) -> Draft:
    """Unique ids, three columns of few values, two classes."""
    random = np.random.default_rng(7)
    facts = [f"{a}{b}{c}" for a, b, c in random.integers(0, (3, 2, 3), (rows, 3))]
    return table(facts, label=random.choice(["no", "yes"], rows).tolist())


@pytest.mark.parametrize(("rule", "separated"), [(GROUP, False), (KEEP, True)])
def test_a_made_split_keeps_equal_contents_together(rule: str, separated: bool) -> None:
    draft, data = low_cardinality(), Data(source="s", target="answer", duplicates=rule)  # pyright: ignore
    table_rows.leave_out(draft, data)
    assert draft.keep.all() and table_rows.too_few(draft, data) is None
    table_rows.make_splits(draft, data, 0)
    assert set(draft.split.tolist()) == {TRAIN, VALIDATION, TEST}
    assert bool(split_leaks.across(split_leaks.content_codes(draft, False), draft.split)) is separated
    assert bool(split_leaks.copies_across(draft)) is separated
    facts = duplicates.facts(draft, rule)
    groups = facts.pop("groups")
    assert facts == {"rule": rule, "rows": 891, "contents": 18}
    assert sum(groups.values()) == (891 if separated else 18) and min(groups.values()) > 0
    facts["groups"] = groups
    assert bool(duplicates.few_groups(facts)) is not separated
    assert ("one group" in duplicates.lines(facts)[0]) is not separated


# when a run stops


def test_too_many_quarantined_rows_are_told_by_reason_with_lines_and_the_way_on() -> None:
    draft, data = low_cardinality(), Data(source="rows.csv", target="answer", duplicates="drop")
    draft.ids[6] = None
    table_rows.leave_out(draft, data)
    left = int((~draft.keep).sum())
    error = table_rows.too_few(draft, data)
    assert error is not None and error.exit_code == 1
    for part in (f"{left} of 891 rows (96 %)", f"duplicate row: {left - 1} (lines ", "id: no id: 1 (line 8)",
                 "at most 20 % (data.max_quarantined)", "(rows.csv)"):  # fmt: skip
        assert part in error.line(), error.line()
    assert "--set data.duplicates=keep" in error.hint
    assert "--set data.max_quarantined=1" in error.hint and ": :" not in error.text() and "(: " not in error.text()


def test_where_other_reasons_prevail_the_way_on_is_the_limit_alone() -> None:
    draft = table(list("abcdefghi"), ids=[None, None, *map(str, range(7))])
    table_rows.leave_out(draft, Data(source="s", target="answer"))
    error = table_rows.too_few(draft, Data(source="s", target="answer"))
    assert error is not None and "id: no id: 2 (lines 2, 3)" in error.line()
    assert error.hint.startswith("`--set data.max_quarantined=1`")


@pytest.mark.parametrize(("limit", "stops"), [(0.0, True), (0.19, True), (0.2, False), (1.0, False)])
def test_the_limit_is_a_share_of_all_rows(limit: float, stops: bool) -> None:
    """Of ten rows one has no id, and another line is no row."""
    draft = table(list("abcdefghi"), ids=[None, *map(str, range(8))])
    draft.notes.note(11, None, "", "quarantined", "broken row: got 1 cells, expected 3")
    data = Data(source="s", target="answer", max_quarantined=limit)
    table_rows.leave_out(draft, data)
    assert (table_rows.too_few(draft, data) is not None) is stops


def test_no_row_at_all_is_told_whatever_the_limit() -> None:
    draft = table(["a", "b"], ids=[None, None])
    data = Data(source="s", target="answer", max_quarantined=1.0)
    table_rows.leave_out(draft, data)
    error = table_rows.too_few(draft, data)
    assert error is not None and error.message == "no row can be used" and "id: no id: 2 (lines 2, 3)" in error.line()


def test_why_nothing_is_present_is_told_too() -> None:
    draft = table(["a", ABSENT, ABSENT])
    data = Data(source="s", target="answer")
    table_rows.leave_out(draft, data)
    error = table_rows.too_few(draft, data)
    assert (
        error is not None
        and "nothing is present in this row: 2 (lines 3, 4); 2 absent (m0: empty cell: 2)" in error.got
    )


# what two splits have in common


def test_copies_that_are_kept_are_counted_and_told() -> None:
    draft = table(list("aaab"), label=["x", "x", "y", "x"], split=[TEST, TRAIN, TEST, TRAIN])
    kept(draft, KEEP)
    facts = split_leaks.to_json(draft, split_leaks.table_split_leaks(draft, copies=False))
    assert facts["copies"] == [{"held": "test", "other": "train", "rows": 1}]
    assert facts["kept"]["contents"] == [{"held": "test", "other": "train", "rows": 1}]  # line 4: another label
    assert "copies" not in facts["left_out"]
    told = split_leaks.warning_lines(facts)
    assert len(told) == 2 and "same contents and label: they stay" in told[0] and "another label or none" in told[1]
