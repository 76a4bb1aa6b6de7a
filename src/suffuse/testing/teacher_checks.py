"""What every external teacher keeps to: frozen, the same twice, rows independent of others, hidden inputs unseen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..data.training_views import Viewer
from ..errors import UsageError
from ..teachers import Question, Teacher, batch_query

Open = Callable[[], Teacher]


def check_frozen(open_teacher: Open, rows: np.ndarray, classes: int) -> None:
    """It answers all rows in the run's classes, twice the same, and its fingerprint stays."""
    teacher = open_teacher()
    before = teacher.fingerprint()
    first = teacher.answer(Question(rows))
    again = teacher.answer(Question(rows))
    assert teacher.fingerprint() == before == open_teacher().fingerprint(), "the fingerprint changes"
    assert first["logits"].shape == (len(rows), classes), f"logits {first['logits'].shape}, not {(len(rows), classes)}"
    assert first["logits"].dtype == np.float32
    for name, tap in first.items():
        assert len(tap) == len(rows)
        np.testing.assert_array_equal(tap, again[name])


def check_company(open_teacher: Open, rows: np.ndarray, classes: int) -> None:
    """A row's answer doesn't depend on the rows that are asked with it."""
    teacher = open_teacher()
    pieces = teacher.pieces(rows, 7)
    np.testing.assert_array_equal(np.sort(np.concatenate(pieces)), rows)
    assert max(map(len, pieces)) <= 7
    whole = teacher.answer(Question(rows))["logits"]
    some = teacher.answer(Question(rows[::-5]))["logits"]
    np.testing.assert_allclose(some, whole[::-5], atol=1e-5)
    np.testing.assert_allclose(batch_query.logits(teacher, rows), whole, atol=1e-5)


def check_hidden(open_teacher: Open, rows: np.ndarray, classes: int) -> None:
    """It abstains where all that it reads is hidden; one that looks answers up reads nothing."""
    teacher = open_teacher()
    if not teacher.modalities:
        return
    np.testing.assert_array_equal(
        teacher.answer(Question(rows, teacher.modalities))["logits"], teacher.answer(Question(rows))["logits"]
    )
    hidden = teacher.answer(Question(rows, ()))["logits"]
    assert np.isnan(hidden).all(), "it answers rows of which it may see nothing: expected NaN"


def check_unaugmented(open_teacher: Open, rows: np.ndarray, classes: int) -> None:
    """It sees rows as they are, and refuses augmented ones."""
    try:
        open_teacher().answer(Question(rows, None, (Viewer(0), 1)))
    except UsageError as error:
        assert "augmented" in error.line()
    else:
        raise AssertionError("it answers augmented rows")


CHECKS: tuple[Callable[[Open, np.ndarray, int], None], ...] = (
    check_frozen, check_company, check_hidden, check_unaugmented,
)  # fmt: skip
