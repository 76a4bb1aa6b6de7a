"""Errors are one line, and a way out."""

from __future__ import annotations

import pytest

from suffuse import __version__
from suffuse.cli import main
from suffuse.errors import SuffuseError, UsageError, did_you_mean, nearest


def test_a_line_says_what_where_got_and_expected():
    error = UsageError("can't  use\nthis", where="a.yaml: b", got=3, expected="a\nword", hint="try c")
    assert error.line() == str(error) == "can't use this (a.yaml: b): got 3, expected a word"
    assert error.text() == error.line() + "\n\nhint: try c"
    assert SuffuseError("it broke").text() == "it broke"
    assert SuffuseError("it broke", expected="b").line() == "it broke: expected b"


def test_exit_codes():
    assert SuffuseError("a").exit_code == 1 and UsageError("a").exit_code == 2
    assert issubclass(UsageError, SuffuseError)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("epoch", "did you mean 'epochs'?"),
        ("qqq", "there is: batch, epochs, warmup"),
        ("WARMUP", "there is: batch, epochs, warmup"),
    ],
)
def test_did_you_mean(name, said):
    assert did_you_mean(name, {"epochs", "batch", "warmup"}) == said


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as left, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["suffuse", "--version"])
        main()
    assert left.value.code == 0
    assert capsys.readouterr().out == f"suffuse {__version__}\n"


def test_what_is_listed_stays_short_however_many_names_there_are():
    names = [f"row-{n:05}" for n in range(48_248)]
    assert did_you_mean("row-17", names[:20]) == "did you mean 'row-00017'?"
    said = did_you_mean("???", names)
    assert said.startswith("there is: row-00000, ") and said.endswith(" and 48,218 more") and len(said) < 400
    assert len(did_you_mean("???", ["x" * 10_000])) < 100


def test_the_nearest_of_many_names():
    names = [f"train-{n}" for n in range(38_575)] + [f"test-{n}" for n in range(9_673)]
    found = nearest("tset-9672", names)
    assert found[0] == "test-9672" and len(found) == 5
    assert len(nearest("?", names)) == 5 and len(nearest("", names)) == 5
    assert nearest("x", []) == []
