"""One record, lists with other columns, and frames: probabilities, and metrics where the rows have labels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from suffuse.errors import UsageError
from suffuse.evaluation.metrics import draw, head_metrics
from suffuse.predictor import Predictor
from suffuse.predictor.scores import measure
from suffuse.predictor.signature import TargetCells
from suffuse.types import Head


def test_frames_and_records_with_other_columns_are_answered_alike(predictor: Predictor, records, root) -> None:
    wanted = predictor.predict(records[:9], root)
    more = [{**record, "price": 3, 7: None} for record in records[:9]]
    frame = pd.DataFrame(records[:9]).assign(note="x")
    for rows in (more, frame, pa.Table.from_pandas(frame), tuple(more)):
        assert predictor.predict(rows, root) == wanted
    single = predictor.predict(more[0], root)
    assert single.label == wanted[0].label and single.confidence == pytest.approx(wanted[0].confidence)
    assert predictor.predict([], root) == []
    frame.loc[0, "image"] = np.nan
    assert "picture" in predictor.predict(frame, root)[0].absent


@pytest.mark.parametrize("record", [{"note": 1}, {"imag": "x", "text": "a"}, {"Text ": "a"}, {}, "text", 5])
def test_what_is_no_record(predictor: Predictor, record) -> None:
    with pytest.raises(UsageError):
        predictor.predict(record if isinstance(record, dict) else [record])


def test_probabilities_as_an_array(predictor: Predictor, records, root) -> None:
    found = predictor.predict_proba(pd.DataFrame(records[:5]), root)
    answers = predictor.predict(records[:5], root)
    assert found.shape == (5, len(predictor.classes())) and found.sum(1) == pytest.approx(1)
    assert [predictor.classes()[n] for n in found.argmax(1)] == [a.label for a in answers]
    assert predictor.predict_proba(records[0], root) == pytest.approx(found[:1])
    assert predictor.predict_proba([], root).shape == (0, len(predictor.classes()))
    with pytest.raises(UsageError, match="no such target"):
        predictor.predict_proba(records[:2], root, target="answers")


def test_metrics_of_rows_with_labels(predictor: Predictor, table, root) -> None:
    (head,) = predictor.heads
    rows = [{**row, head.name: row[head.name] if n else ""} for n, row in enumerate(table)]
    found = predictor.evaluate(pd.DataFrame(rows), root)[head.name]
    answers = predictor.predict(table, root)[1:]
    right = [a.label == row[head.name] for a, row in zip(answers, table[1:], strict=True)]
    assert (found["rows"], found["unlabelled"], found["unseen"]) == (len(right), 1, 0)
    assert found["accuracy"] == pytest.approx(np.mean(right))
    with pytest.raises(UsageError, match="no such target"):
        predictor.evaluate([{"text": "what"}], root)
    with pytest.raises(UsageError, match="no row has a label"):
        predictor.evaluate([{"text": "what", head.name: ""}], root)


def test_metrics_are_those_of_the_scorecard(predictor: Predictor) -> None:
    from suffuse.predictor.prediction import Prediction, answers

    random = np.random.default_rng(0)
    heads = (Head("c", "classes", ("a", "b", "x")), Head("t", "labels", ("u", "v")), Head("n", "number", (), 5.0, 2.0))
    values = random.dirichlet(np.ones(3), 40), random.random((40, 2)), random.normal(5, 2, (40, 1))
    outputs = np.concatenate(values, axis=1)
    predictions = [Prediction(answers(heads, row), {}) for row in outputs.tolist()]
    codes, flags, numbers = random.integers(0, 4, 40), random.random((40, 2)) > 0.5, random.normal(5, 2, 40)
    records = [
        {
            "c": ("a", "b", "x", "new")[code],
            "t": "|".join(name for name, there in zip("uv", flag, strict=True) if there),
            "n": f"{number:.6f} €".replace(".", ","),
        }
        for code, flag, number in zip(codes, flags, numbers, strict=True)
    ]
    german = TargetCells.model_validate({"format": {"decimal": ",", "unit": "€"}})
    cells = {"c": None, "t": TargetCells(empty="none", separator="|"), "n": german}
    draws = draw(np.arange(40), 1, 0.95)
    true = {"c": codes, "t": flags.astype(float), "n": (numbers - 5) / 2}
    for head, part in zip(heads, values, strict=True):
        found = measure(head, records, predictions, cells[head.name], ())
        for name, value in head_metrics(head, part, true[head.name], draws).items():
            if name in found:
                assert found[name] == pytest.approx(value[0], rel=1e-4), name
    assert measure(heads[0], records, predictions, None, ())["unseen"] == (codes == 3).sum()


def test_neither_torch_nor_scikit_learn_is_loaded(export: Path, records, root) -> None:
    code = (
        "import sys; from suffuse import Predictor; p = Predictor.load(sys.argv[1]);"
        "p.predict_proba({'text': 'what'}); p.evaluate([{'text': 'what', 'answer': 'red'}]);"
        "assert not {'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(export)], check=True)


def test_texts_that_are_missing_values(signed: Callable[..., Path]) -> None:
    table = {"encoding": "cp1252", "delimiter": ";", "missing_values": ["NULL", "-"]}
    predictor = Predictor.load(signed(table=table))
    assert predictor.predict({"text": " NULL "}).absent["question"] == "empty cell"
    assert predictor.facts.table.likely == "cp1252"
    assert "question" in Predictor.load(signed(table=None)).predict({"text": "NULL"}).used
