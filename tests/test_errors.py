"""Errors are one line, and a way out."""

from __future__ import annotations

import pytest

from suffuse import __version__
from suffuse.cli import main
from suffuse.errors import SuffuseError, UsageError, did_you_mean


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
