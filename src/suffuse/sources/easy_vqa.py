"""easy-VQA (Victor Zhou 2019, MIT): pictures and questions inside the PyPI package ``easy-vqa``.

4,000/1,000 pictures of one coloured shape, 38,575/9,673 questions, 13 answers. Columns: id, picture (a
path), question, answer, split (train or test), number (of the picture).
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa

from ..errors import SuffuseError
from .row_stream import Rows


def read() -> Rows:
    """All questions, training first. Raises SuffuseError where the package isn't installed."""
    spec = find_spec("easy_vqa")  # only where it is: nothing of it is run
    if spec is None or spec.origin is None:
        raise SuffuseError("the easy-vqa package isn't installed", hint="pip install 'suffuse[demo]'")
    root = Path(spec.origin).parent / "data"
    rows = []
    for split in ("train", "test"):
        questions = json.loads((root / split / "questions.json").read_text(encoding="utf-8"))
        for number, (question, answer, picture) in enumerate(questions):
            rows.append(
                {
                    "id": f"{split}-{number}",
                    "picture": f"{split}/images/{picture}.png",
                    "question": question,
                    "answer": answer,
                    "split": split,
                    "number": f"{split}-{picture}",
                }
            )
    return Rows(pa.Table.from_pylist(rows), list(range(1, len(rows) + 1)), root)
