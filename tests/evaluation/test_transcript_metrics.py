"""Word and character errors of frames, by hand."""

from __future__ import annotations

import numpy as np

from suffuse.evaluation.metrics import draw, head_metrics
from suffuse.transcripts.frame_predictions import agreeing_frames, right_texts, texts
from suffuse.types import Head

HEAD = Head("said", "tokens", ("a", "bb", "c"), units="words", frames=6, frame=0.04, length=3)


def frames(*rows: list[int]) -> np.ndarray:
    """Outputs that are certain in each frame; frames after the last are blank."""
    probability = np.zeros((len(rows), HEAD.frames, HEAD.frame_outputs))
    for row, path in enumerate(rows):
        for frame in range(HEAD.frames):
            probability[row, frame, path[frame] if frame < len(path) else 0] = 1.0
    return probability.reshape(len(rows), -1)


def stored(*rows: list[int]) -> np.ndarray:
    return np.array([[len(row), *row, *[-1] * (HEAD.length - len(row))] for row in rows])


def test_repeated_outputs_are_one_unit_unless_a_blank_is_between_them():
    assert texts(HEAD, frames([1, 1, 0, 1, 2], [0, 3, 3], [])) == ["a a bb", "c", ""]


def test_errors_are_summed_over_rows_before_they_are_divided():
    """Of 3 + 1 words one is replaced, one missing, one added; the mean over rows would be another number."""
    said, true = frames([1, 0, 3], [2, 0, 1]), stored([1, 2, 1], [2])
    found = {name: values[0] for name, values in head_metrics(HEAD, said, true, draw(np.arange(2), 10, 0.95)).items()}
    assert found["word_error_rate"] == 3 / 4 and found["word_accuracy"] == 1 / 4
    assert (found["substitutions"], found["deletions"], found["insertions"]) == (1 / 4, 1 / 4, 1 / 4)
    assert found["exact_match"] == 0


def test_a_unit_that_training_never_has_is_always_an_error():
    assert right_texts(HEAD, frames([1], [1]), stored([1], [4])).tolist() == [True, False]


def test_resamples_without_a_word_have_no_rate():
    found = head_metrics(
        HEAD, frames([1], [2]), np.array([[1, 1, -1, -1], [0, -1, -1, -1]]), draw(np.arange(2), 60, 0.95)
    )
    assert np.isnan(found["word_error_rate"]).any() and found["word_error_rate"][0] == 1.0


def test_the_share_of_agreeing_frames_leaves_padding_out():
    one, other = frames([1, 1, 2, 0, 3, 3]), frames([1, 1, 2, 0, 3, 1])
    assert agreeing_frames(HEAD, one, one).tolist() == [1.0]
    assert 0 < agreeing_frames(HEAD, other, one)[0] < 1
