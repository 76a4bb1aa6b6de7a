"""Progress: talk on stderr, never on stdout, never too much of it."""

from __future__ import annotations

import pytest

from suffuse import progress as module
from suffuse.progress import duration, progress, quiet, say


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"), (7500, "2 h 5 min"), (90_000, "25 h 0 min"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_talk_goes_to_stderr(capsys):
    with progress("teach") as tell:
        tell(0.5, "epoch 1")
        tell(1.0, "epoch 2")
    say("a word")
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("teach     done in ") and lines[0].endswith("epoch 2")
    assert lines[1] == "a word"


def test_a_failure_isn_t_said_to_be_done(capsys):
    with pytest.raises(ValueError, match="broken"), progress("teach") as tell:
        tell(0.5, "half")
        raise ValueError("broken")
    assert capsys.readouterr().err == "teach     stopped\n"


def test_quiet_is_quiet(capsys):
    token = quiet.set(True)
    try:
        with progress("teach") as tell:
            tell(0.5, "half")
        say("a word")
    finally:
        quiet.reset(token)
    assert capsys.readouterr().err == ""


class Clock:
    """Time that passes when told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_what_is_left_is_reckoned_from_what_this_process_did(capsys, monkeypatch):
    """A resumed training starts at half: that half took no time, and doesn't make the rest look short."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    with progress("distill") as tell:
        tell(0.5, "resumed")
        for share in (0.6, 0.7, 0.8):
            clock.now += 60
            tell(share, f"at {share}")
    lines = capsys.readouterr().err.splitlines()
    assert [line[10:14] for line in lines[:3]] == [" 60%", " 70%", " 80%"]
    assert "about 4 min 0 s left" in lines[0] and "about 2 min 0 s left" in lines[2]
    assert lines[3].startswith("distill   done in 3 min 0 s")


def test_lines_are_seldom_where_there_is_no_terminal(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    with progress("teach") as tell:
        for step in range(1000):
            clock.now += 0.1
            tell(step / 1000, "words")
    assert len(capsys.readouterr().err.splitlines()) <= 21
