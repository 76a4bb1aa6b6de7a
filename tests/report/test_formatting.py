"""Numbers, texts and names for people."""

from __future__ import annotations

import numpy as np
import pytest

from suffuse import losses
from suffuse.data.columns import Columns
from suffuse.modalities import text
from suffuse.report import dataset_view, formatting, scores_table, training_curves
from suffuse.report.i18n import LANGUAGES
from suffuse.types import Field, Spec


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(70, 1957, "28 times less"), (10, 4, "2.5 times more"), (100, 100.2, "same"), (0, 5, "not comparable")],
)
def test_a_ratio_says_which_way_it_goes(ours: float, theirs: float, expected: str):
    assert formatting.ratio_text(ours, theirs, "less", "more", "same") == expected


def test_numbers_have_words_and_stay_with_their_units():
    assert formatting.percent(0.99862) == "99.86\u00a0%"
    assert formatting.kilobytes(1_957_720) == "1,957.7\u00a0kB"
    assert formatting.scientific(1.3e-6) == "1.3\u00a0×\u00a010⁻⁶"
    assert formatting.scientific(0) == "0"
    assert formatting.count(1, "row") == "1 row"
    assert formatting.count(2000, "class", "classes") == "2,000 classes"


def test_long_texts_and_lists_are_cut():
    assert formatting.short("x" * 100, 10) == "x" * 9 + "…"
    assert formatting.short("short", 10) == "short"
    assert formatting.join_names(["a", "b", "c"], 2) == "a, b and 1 more"
    assert formatting.join_names(["a", "b"]) == "a, b"


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("student", "student"),
        ("student-0.05", "student, 5 % of the labels"),
        ("baseline-0.125", "student, labels only, 12.5 % of the labels"),
        ("only-picture", "picture alone"),
        ("export", "exported student"),
    ],
)
def test_models_have_names(who: str, expected: str):
    assert scores_table.model_name(who) == expected


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_token_ids_become_the_text_that_the_model_reads(kind: str):
    settings = text.Settings.model_validate({"column": "t", "tokens": kind, "vocabulary": 300, "length": 40})
    statistics = text.fit(settings, ["what colour is it, here and there and far away", "请问 what"])
    ids = text.encode(settings, statistics, ["what is it", "请问"])
    tokenizer = dataset_view.Tokenizer.from_str(statistics["tokenizer"])
    assert [dataset_view.decode(tokenizer, row) for row in ids] == ["what is it", "请问"]
    unknown = text.encode(settings, statistics, ["what else"])[0]
    assert dataset_view.decode(tokenizer, unknown) == ("what [unknown word]" if kind == "words" else "what else")


@pytest.mark.parametrize(("side", "kind"), [(16, "png"), (64, "png"), (500, "jpeg")])
def test_pictures_are_small(side: int, kind: str):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    made = dataset_view.data_uri(pixels)
    assert made.startswith(f"data:image/{kind};base64,")
    assert len(made) < 40_000


def test_a_seed_that_stopped_early_counts_while_it_lasts():
    def history(*scores: float) -> list[dict]:
        return [{"validation": {"accuracy": s}, "terms": {"soft": 3 * s, "labels": s}} for s in scores]

    found = training_curves.validation_curve([history(0.2, 0.4), history(0.4)], "student")
    assert found.mean.tolist() == pytest.approx([0.3, 0.4])
    assert found.low.tolist() == pytest.approx([0.2, 0.4])
    names, values = training_curves.loss_terms([history(0.2, 0.4), history(0.4)])
    assert names == ["soft", "labels"]
    assert values == pytest.approx(np.array([[0.9], [0.3]]))


def test_a_modality_that_the_page_can_t_show_is_named_and_stops_nothing(tmp_path):
    spec = Spec((Field("sound", "smell", {"mean": [0.0], "tokens": 3}),), (), ())
    rows = {"entry": np.array([[1], [0]]), "present": np.array([[True], [False]]), "target": np.zeros(2)}
    entries = {"sound": np.zeros((2, 7, 3), dtype=np.float32)}
    columns = Columns(spec, entries, **rows, split=np.zeros(2), group=np.zeros(2), key=np.zeros(2))
    data = dataset_view.DatasetView(tmp_path, columns)
    (shown,), (absent,) = data.cells(0), data.cells(1)
    assert (shown.name, shown.kind, shown.absent) == ("sound", "smell", False)
    assert "can't be shown" in shown.text
    assert absent.absent


def test_every_loss_has_a_meaning() -> None:
    for kind in losses.KINDS:
        meaning = losses.load_loss(kind).DOCS.meaning
        assert set(meaning) == set(LANGUAGES) and all(meaning.values())


def test_minus_signs_are_those_of_numbers() -> None:
    assert (
        formatting.minus("labels-only: +5.6, -7.43 to 2; 1e-05, -inf") == "labels-only: +5.6, −7.43 to 2; 1e−05, −inf"
    )
    assert formatting.minus("-") == "−"
