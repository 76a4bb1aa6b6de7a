"""Progress: talk on stderr, never on stdout, never too much of it."""

from __future__ import annotations

from itertools import pairwise

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


def estimates(trace: list[tuple[float, float]], monkeypatch: pytest.MonkeyPatch, capsys) -> list[tuple[float, str]]:
    """(seconds that are really left, what is said of them) of each line, where (seconds, share) are told."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    start, found = clock.now, []
    with progress("evaluate") as tell:
        for seconds, share in trace:
            clock.now = start + seconds
            tell(share, "words")
            for line in capsys.readouterr().err.splitlines():
                found.append((trace[-1][0] - seconds, line[16:].removesuffix("words").strip()))
    return found


def seconds_of(text: str) -> float:
    words = text.removeprefix("about ").removesuffix(" left").split()
    return sum(float(n) * {"s": 1, "min": 60, "h": 3600}[unit] for n, unit in zip(words[::2], words[1::2], strict=True))


def test_parts_that_are_not_alike_get_no_estimate_until_their_pace_is_steady(capsys, monkeypatch):
    """A third of the share in a second, a step, and a part that is fifty times as slow: 4 s were said to be left, then
    42 s."""
    quick = [(0.1 * n, 0.03 * n) for n in range(11)]
    slow = [(1 + 0.5 * n, 0.35 + 0.65 * n / 160) for n in range(1, 161)]
    found = estimates(quick + slow, monkeypatch, capsys)
    said = [(left, seconds_of(text)) for left, text in found if text]
    assert found[0][1] == "" and len(said) >= 5
    assert all(0.5 * left <= told <= 2 * left for left, told in said if left > 1)
    assert all(after <= 1.1 * before for (_, before), (_, after) in pairwise(said))


def test_a_steady_pace_is_told_after_some_seconds_and_no_earlier(capsys, monkeypatch):
    found = estimates([(0.5 * n, n / 200) for n in range(1, 201)], monkeypatch, capsys)
    assert found[0][1] == ""  # 5 % aren't measured yet
    assert all(seconds_of(text) == pytest.approx(left, rel=0.1, abs=1) for left, text in found[1:-1])


def test_no_estimate_before_enough_is_measured(capsys, monkeypatch):
    found = estimates([(6.0 * n, n / 1000) for n in range(1, 40)], monkeypatch, capsys)
    assert {text for _, text in found} == {""}


def test_a_share_never_shrinks(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    with progress("prepare") as tell:
        for share in (0.3, 0.0, 0.2, 0.4):
            clock.now += 10
            tell(share, "words")
    shares = [line[10:14] for line in capsys.readouterr().err.splitlines()[:4]]
    assert shares == [" 30%", " 30%", " 30%", " 40%"]


def test_a_shown_estimate_moves_to_a_new_one_and_does_not_jump():
    """4.4 s, then 42 s at each line: it takes several lines to get there, and stays where estimates agree."""
    estimate = module._Estimate()
    shown = [estimate.add(0.0, 4.4), *(estimate.add(5.0 * n, 42.0) for n in range(1, 8))]
    assert shown[0] == 4.4 and shown[1] < 20 and all(after > before for before, after in pairwise(shown[:4]))
    assert shown[-1] == pytest.approx(36, abs=3)  # it runs down between two lines
    agreed = module._Estimate()
    assert [agreed.add(float(n), 100.0 - n) for n in range(4)] == pytest.approx([100, 99, 98, 97])


def test_in_a_notebook_one_line_is_updated(monkeypatch, capsys):
    import sys
    from types import SimpleNamespace

    shown: list[str] = []

    class Handle:
        def update(self, content, raw):
            shown.append(content["text/plain"])

    def display(content, raw, display_id):
        assert raw and display_id
        shown.append(content["text/plain"])
        return Handle()

    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1), display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    clock = iter(range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress("teach") as tell:
        tell(0.5, "epoch 1")
    assert [line.split()[0] for line in shown] == ["teach", "teach"] and "epoch 1" in shown[0] and "done in" in shown[1]
    assert capsys.readouterr().err == ""
    notebook.get_ipython = lambda: SimpleNamespace()  # a terminal's IPython
    with progress("teach"):
        pass
    assert "done in" in capsys.readouterr().err and len(shown) == 2
