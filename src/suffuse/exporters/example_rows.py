"""Rows of the table that an export carries on request (``export.examples``), to try the model on.

Whoever gets the export gets these rows. They hold what the model reads, and its targets; never an id, another column, a
file's name or what a camera wrote into a file: a picture is what the network is given, a recording is encoded again.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
from PIL import Image

from ..data.columns import Columns
from ..errors import SuffuseError
from ..modalities import audio_ops
from ..modalities.cell import is_empty
from ..prepare.raw_cells import RawRows
from ..registry import ModalitySettings
from ..run import Run
from ..subsample import evenly_spaced

FILE = "examples.json"
MAX_CHARACTERS = 3_000_000  # of one row as JSON: a recording of some 30 seconds
MAX_TRIED = 64  # rows, where some are too large or can't be read any more
FULL_SCALE = 32_768  # of 16 bits


def example_rows(run: Run, columns: Columns, count: int) -> list[dict[str, Any]]:
    """At most ``count`` rows as ``{"record": column -> cell, "targets": target -> value}``, as JSON holds them.

    They are labelled validation rows: of those with most modalities some that are evenly spaced. Raises SuffuseError
    where the table was changed since the run prepared it, or none of these rows can be shown.
    """
    raw, found = RawRows(run), []
    for row in _candidates(columns, count):
        example = {"record": _record(run, raw, columns, row), "targets": _targets(run, raw, row)}
        if example["record"] and len(json.dumps(example)) <= MAX_CHARACTERS:
            found.append(example)
        if len(found) == count:
            return found
    if not found:
        hint = "`export.examples: 0` exports without them"
        raise SuffuseError("no validation row can be an example", where="export.examples", got=count, hint=hint)
    return found


def _candidates(columns: Columns, count: int) -> list[int]:
    """The chosen rows, and after them those that take their place, those with most modalities first."""
    rows = columns.labelled("validation")
    present = columns.present[rows].sum(1)
    fullest = rows[present == present.max(initial=0)]
    chosen = fullest[evenly_spaced(len(fullest), count)].tolist()
    spare = rows[np.argsort(-present, kind="stable")][:MAX_TRIED].tolist()
    return list(dict.fromkeys([*chosen, *spare]))


def _record(run: Run, raw: RawRows, columns: Columns, row: int) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for m, field in enumerate(columns.spec.fields):
        if not columns.present[row, m]:
            continue
        settings = run.recipe.modalities[field.name]
        item = np.asarray(columns.entries[field.name][columns.entry[row, m]])
        if field.kind == "image":
            record |= _pictures(settings, item)
        elif field.kind == "sequence":
            record |= _steps(settings, item)
        elif field.kind == "audio":
            record |= _sound(settings, raw, row)
        else:
            record |= {name: _plain(raw.cells(name, np.array([row]))[0]) for name in settings.columns}
    return {name: cell for name, cell in record.items() if cell is not None}


def _pictures(settings: ModalitySettings, item: np.ndarray) -> dict[str, Any]:
    """(S, S, 3), or (P, S, S, 4) with 255 in the last channel of a picture that is there -> PNG files."""
    first, *others = settings.columns
    if item.ndim == 3:
        return {first: _png(item)}
    pictures = [_png(picture[..., :3]) if picture[0, 0, 3] else None for picture in item]
    if others:
        return dict(zip(settings.columns, pictures, strict=True))
    return {first: [picture for picture in pictures if picture]}


def _png(pixels: np.ndarray) -> dict[str, str]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return _encoded(file.getvalue())


def _steps(settings: ModalitySettings, item: np.ndarray) -> dict[str, Any]:
    """(L, F + 1), the last is 1 where a step is real -> lists of numbers."""
    steps = item[item[:, -1] > 0, :-1]
    first, *others = settings.columns
    if others:
        return {name: steps[:, n].tolist() for n, name in enumerate(settings.columns)}
    return {first: (steps[:, 0] if steps.shape[1] == 1 else steps).tolist()}


def _sound(settings: Any, raw: RawRows, row: int) -> dict[str, Any]:
    """As much of the recording as the model reads, as WAV at its rate: of 16 bits where that loses nothing."""
    column = settings.columns[0]
    if column not in raw.columns:
        return {}
    content = raw.records([column], np.array([row]), files=[column])[0][column]
    if content is None:
        return {}
    seconds = None if settings.trim is not None else settings.seconds  # silence is cut off first
    samples, rate, _ = audio_ops.read(content, seconds)
    samples = audio_ops.resample(samples, rate, settings.rate)
    scaled = FULL_SCALE * samples.astype(np.float64)
    whole = np.array_equal(scaled, np.rint(scaled)) and scaled.min() >= -FULL_SCALE and scaled.max() < FULL_SCALE
    return {column: _encoded(audio_ops.as_wav(scaled.astype(np.int16) if whole else samples, settings.rate))}


def _encoded(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode()}


def _targets(run: Run, raw: RawRows, row: int) -> Mapping[str, Any]:
    cells = {name: raw.cells(name, np.array([row]), "data.target")[0] for name in run.recipe.data.targets}
    values = {name: [str(x) for x in cell] if isinstance(cell, list) else _plain(cell) for name, cell in cells.items()}
    return {name: value for name, value in values.items() if value is not None}


def _plain(cell: Any) -> Any:
    """A text, number or truth value as it is, a date in ISO 8601, anything else as a text; None where it is empty."""
    if is_empty(cell):
        return None
    if isinstance(cell, (str, bool, int)) or (isinstance(cell, float) and math.isfinite(cell)):
        return cell
    return cell.isoformat() if isinstance(cell, date) else str(cell)
