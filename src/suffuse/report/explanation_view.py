"""Explained predictions as HTML: a picture with its important regions, marked words, a clip with its important
stretches, columns. :func:`explained_rows` is the report's section; :func:`fragment` gives the HTML of one explanation,
for a page with the report's style; :func:`page` a whole file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup

from ..run import Run
from ..types import NUMBER
from . import metric_format, scores_table
from .dataset_view import DatasetView, data_uri, spectrogram, tile
from .formatting import minus, percent, sentence, short
from .i18n import t
from .stored_predictions import TargetPredictions, true_text
from .templates import css, render_template

MAX_PARTS = 6  # that are listed
MAX_SECONDS = 30.0  # of a clip
REPORT_SECONDS = 6.0  # of a clip in the report
REPORT_LEVEL = 4  # of the headings in the report
STRIP = (600, 96)  # pixels of a clip's spectrogram
FAINT = 0.02  # of the strongest part: weaker ones aren't drawn
PLACES = (
    ("top left", "top centre", "top right"),
    ("middle left", "middle", "middle right"),
    ("bottom left", "bottom centre", "bottom right"),
)
RULES = {  # why a row was chosen -> title and rule
    "agreed": ("Both are right", "of the rows that both get right, the one whose less sure answer is surest"),
    "lost": (
        "The teacher is right, the student wrong",
        "of such rows, the one in which the student is surest",
    ),
    "unsure": ("The student is unsure", "of all other rows, the one in which the student is least sure"),
    "close": ("Both are near the truth", "the row in which the larger of both errors is smallest"),
    "further": ("The student is further off", "the row in which the student's error exceeds the teacher's by most"),
    "apart": ("They differ most", "of all other rows, the one in which the two numbers lie furthest apart"),
}


def explained_rows(run: Run, dataset: DatasetView, predictions: Sequence[TargetPredictions]) -> dict[str, Any] | None:
    """Title, rule and explanation of each row that the probe ``explained`` chose; None where there is none."""
    results = metric_format.probe_results(scores_table.scores(run), "explained")
    chosen = next(iter(results.values()), [])
    if not chosen or not predictions:
        return None
    seconds, rows = REPORT_SECONDS if dataset.audio else 0.0, []
    for index, facts in enumerate(chosen):
        title, rule = RULES[facts["why"]]
        row = facts["number"] - 1
        explanation = {
            "row": {"id": dataset.id(row), "number": facts["number"], "split": "test"},
            "target": facts["target"],
            "label": _true_label(dataset, predictions, row),
            "models": {model: rows_of_model[index] for model, rows_of_model in results.items()},
        }
        html = fragment(run, explanation, dataset, REPORT_LEVEL, seconds)
        rows.append({"title": t(title), "rule": t(rule), "html": html})
    return {
        "rows": rows,
        "number": chosen[0]["number"],
        "numeric": predictions[0].head.kind == NUMBER,
        "target": predictions[0].head.name if len(predictions) > 1 else "",
        "seconds": int(REPORT_SECONDS) if any("<audio" in row["html"] for row in rows) else 0,
    }


def _true_label(dataset: DatasetView, predictions: Sequence[TargetPredictions], row: int) -> str | None:
    first = predictions[0]
    position = int((first.row == row).argmax())
    return true_text(first, position, dataset.label(row) if len(predictions) == 1 else "") or None


def page(run: Run, explanation: dict[str, Any]) -> str:
    """One offline HTML file. Values of the run are escaped."""
    title = f"{run.folder.name}: row {short(explanation['row']['id'], 40)} explained"
    return str(render_template("explanation_page", css=css(), title=title, body=fragment(run, explanation)))


def fragment(
    run: Run,
    explanation: dict[str, Any],
    dataset: DatasetView | None = None,
    level: int = 3,
    seconds: float = MAX_SECONDS,
) -> Markup:
    """One explanation (the result of ``stages.explain``) as HTML with the classes of ``style.css``. ``level``: of its
    headings; ``seconds``: of a clip that is playable."""
    dataset = dataset or DatasetView.open(run)
    row, label = explanation["row"], explanation["label"]
    index = row["number"] - 1
    models = [{"name": t(model), **_model(dataset, index, facts)} for model, facts in explanation["models"].items()]
    names = dict.fromkeys(p["name"] for m in models if not m["silent"] for p in m["parts"] if p["kind"] == "audio")
    clips = {name: dataset.audio.clip(name, index, seconds) for name in names} if dataset.audio and seconds else {}
    label = "; ".join(label) if isinstance(label, list) else f"{label:.6g}" if isinstance(label, float) else label
    return render_template(
        "explanation",
        row={**row, "split": t(row["split"])},
        target=explanation["target"],
        label=label,
        models=models,
        level=level,
        clips={name: clip for name, clip in clips.items() if clip},
    )


def _model(dataset: DatasetView, row: int, facts: dict[str, Any]) -> dict[str, Any]:
    if "silent" in facts:
        return {"silent": sentence(t(facts["silent"]))}
    prediction, modalities = facts["answer"], facts["modalities"]
    shares = modalities if isinstance(modalities, list) else []
    return {
        "silent": "",
        "prediction": minus(f"{prediction:.6g}") if isinstance(prediction, float) else short(prediction),
        "confidence": "" if facts["confidence"] is None else percent(facts["confidence"], 1),
        "unit": t(facts["unit"]),
        "modalities": [{**m, "text": percent(m["share"], 0), "supports": m["value"] >= 0} for m in shares],
        "too_many": isinstance(modalities, str),
        "absent": facts["absent"],
        "note": sentence(t(facts["note"])) if facts.get("note") else "",
        "parts": [_part(part, name, dataset.item(name, row)) for name, part in facts["parts"].items()],
    }


def _part(part: dict[str, Any], name: str, item: np.ndarray) -> dict[str, Any]:
    """What the template shows of one modality."""
    strongest = max((abs(v) for v in part["values"]), default=0.0) or 1.0
    strengths = [value / strongest for value in part["values"]]
    items = [
        {
            "name": short(part_name(part, i["part"])),
            "text": percent(i["share"], 0),
            "value": minus(f"{i['value']:+.2f}"),
            "supports": i["value"] >= 0,
        }
        for i in part["items"][:MAX_PARTS]
    ]
    view: dict[str, Any] = {"name": name, "kind": part["kind"], "method": t(part["how"]), "picture": "", "words": []}
    view |= {"boxes": [], "items": items, "further": len(part["items"]) - len(items)}
    if part["kind"] == "image":
        view["picture"], view["boxes"] = _picture(item, part, strengths)
        view["pixelated"] = max(item.shape[-3:-1]) <= 64
    elif part["kind"] == "text":
        view["words"] = [{"text": part_name(part, n), **_shade(s)} for n, s in enumerate(strengths)]
    elif part["kind"] in ("audio", "sequence"):
        view["picture"], view["pixelated"] = _strip(item), False
        view["boxes"] = _stretches(part, strengths)
    return view


def part_name(part: dict[str, Any], number: int) -> str:
    """One part's name in the language in use; words and columns are not translated."""
    if part["kind"] == "image":
        return _patch_name(part, number)
    if part["kind"] == "audio":
        start, end = part["times"][number]
        return t("%(start)s to %(end)s s", start=f"{start:.2f}", end=f"{end:.2f}")
    if part["kind"] == "sequence":
        start, end = part["times"][number]
        return t("step %(step)s", step=end) if end == start + 1 else t("steps %(a)s to %(b)s", a=start + 1, b=end)
    label = part["labels"][number]
    return t(label) if label == "[unknown word]" else label


def _patch_name(part: dict[str, Any], number: int) -> str:
    """``top left (row 1, column 2)``."""
    picture, top, left, *_ = part["boxes"][number]
    rows, columns = (sorted({box[axis] for box in part["boxes"]}) for axis in (1, 2))
    row, column = rows.index(top), columns.index(left)
    third = [0 if at < 0.34 else 2 if at >= 0.62 else 1 for at in (row / len(rows), column / len(columns))]
    place = t(PLACES[third[0]][third[1]])
    place = t("%(where)s (row %(row)s, column %(column)s)", where=place, row=row + 1, column=column + 1)
    return place if part["pictures"] == 1 else t("%(where)s of picture %(number)s", where=place, number=picture + 1)


def _picture(item: np.ndarray, part: dict, strengths: list[float]) -> tuple[str, list[dict]]:
    """The picture, several in a grid, and a box for each patch."""
    several = item.ndim == 4
    pixels = tile(item) if several else item
    across = pixels.shape[1] / item.shape[-2]
    down = pixels.shape[0] / item.shape[-3]
    order = [p for p in range(part["pictures"]) if not several or item[p, 0, 0, 3]]
    boxes = []
    for (p, top, left, height, width), strength in zip(part["boxes"], strengths, strict=True):
        r, c = divmod(order.index(p), round(across))
        boxes.append(_box((c + left) / across, (r + top) / down, width / across, height / down, strength))
    return data_uri(pixels), _visible(boxes)


def _strip(item: np.ndarray) -> str:
    """Steps as a picture: a spectrogram; samples as their loudness."""
    steps = item[:, :-1].astype(np.float32)
    if steps.shape[1] == 1 and len(steps) > STRIP[0]:
        edges = np.linspace(0, len(steps), STRIP[0] + 1).astype(int)
        loudness = np.array([np.abs(steps[a:b]).max(initial=0) for a, b in pairwise(edges)])
        height = np.arange(STRIP[1])[::-1, None] / STRIP[1]
        inside = np.abs(height - 0.5) <= loudness / max(loudness.max(), 1e-6) / 2
        return data_uri(np.repeat(np.where(inside, 90, 245).astype(np.uint8)[:, :, None], 3, 2))
    return data_uri(spectrogram(steps))


def _stretches(part: dict, strengths: list[float]) -> list[dict]:
    """A box over the strip for each stretch of time."""
    end = part["times"][-1][1] or 1
    stretches = zip(part["times"], strengths, strict=True)
    return _visible(
        [_box(start / end, 0.0, (stop - start) / end, 1.0, strength) for (start, stop), strength in stretches]
    )


def _box(x: float, y: float, width: float, height: float, strength: float) -> dict[str, str]:
    """A rectangle, in shares of the picture's sides."""
    sides = {"x": x, "y": y, "width": width, "height": height}
    return {**{name: f"{100 * value:.2f}" for name, value in sides.items()}, **_shade(strength)}


def _visible(boxes: list[dict]) -> list[dict]:
    return [box for box in boxes if float(box["depth"]) > FAINT]


def _shade(strength: float) -> dict[str, str]:
    return {"tone": "more" if strength >= 0 else "less", "depth": f"{abs(strength):.2f}"}
