"""Which subsets and views a recipe asks for."""

from __future__ import annotations

import pytest

from suffuse.errors import UsageError
from suffuse.knowledge.chunks import Block, blocks, subsets
from suffuse.recipe import Extract

NAMES = ("sound", "words", "face")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("full", [NAMES]),
        ("each", [NAMES, ("sound",), ("words",), ("face",)]),
        ([["face", "sound"], ["words"]], [NAMES, ("sound", "face"), ("words",)]),
        ([["face", "words", "sound"]], [NAMES]),
    ],
)
def test_the_full_subset_is_first_and_each_is_in_the_teacher_s_order(wanted, found):
    assert subsets(wanted, NAMES) == found


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_all_are_all_that_are_not_empty(count):
    found = subsets("all", tuple("abcdef"[:count]))
    assert len(found) == len(set(found)) == 2**count - 1
    assert found[0] == tuple("abcdef"[:count])


def test_of_each_subset_every_view():
    found = blocks(Extract.model_validate({"subsets": [["words"]], "views": 2}), NAMES)
    assert found == [Block(s, v) for s in (NAMES, ("words",)) for v in (None, 0, 1)]
    assert found[-1].name == "words, view 1" and found[0].name == "sound+words+face, as prepared"


@pytest.mark.parametrize(
    ("wanted", "names", "said"),
    [
        ([["smell"]], NAMES, "doesn't read this modality"),
        ("each", (), "no modalities that could be hidden"),
        ("all", tuple("abcdefg"), "too many subsets"),
    ],
)
def test_what_the_teacher_can_t_be_shown_is_refused(wanted, names, said):
    with pytest.raises(UsageError, match=said):
        subsets(wanted, names)


@pytest.mark.parametrize("wanted", ["some", [], [[]], [["a", "a"]], [[1]], 3])
def test_a_wish_that_is_none_is_refused_with_what_there_is(wanted):
    with pytest.raises(ValueError, match="expected"):
        Extract.model_validate({"subsets": wanted})
