"""An explained answer as a piece of a page, and as a page of its own: a picture with what mattered laid over it, marked
words, a clip with its louder and quieter reasons, columns.

:func:`fragment` gives the HTML of one explanation, for a page with the report's style; :func:`page` a whole file.
"""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup

from ..errors import SuffuseError
from ..modalities import audio_ops
from ..prepare.raw_cells import RawRows
from ..run import Run
from .dataset_view import SOUND_RATE, Prepared, data_uri, side_by_side, spectrogram
from .formatting import minus, percent, sentence, short
from .i18n import t
from .templates import HERE, environment

MOST = 6  # parts that are listed
LONGEST = 30.0  # seconds of a clip that can be heard
STRIP = (600, 96)  # pixels of a clip's spectrogram
FAINT = 0.02  # of the strongest part: what is weaker isn't drawn
PLACES = (
    ("top left", "top centre", "top right"),
    ("middle left", "middle", "middle right"),
    ("bottom left", "bottom centre", "bottom right"),
)


def page(run: Run, found: dict[str, Any]) -> str:
    """One offline HTML file. Whatever comes from the run is escaped."""
    return (
        environment()
        .get_template("explained.html.jinja")
        .render(
            css=Markup((HERE / "style.css").read_text(encoding="utf-8")),
            title=f"{run.folder.name}: row {short(found['row']['id'], 40)} explained",
            body=fragment(run, found),
        )
    )


def fragment(
    run: Run, found: dict[str, Any], prepared: Prepared | None = None, level: int = 3, seconds: float = LONGEST
) -> Markup:
    """One explanation (what ``stages.explain`` returns) as HTML, in the classes of ``style.css``: headings from this
    level on; of a clip so many seconds can be heard, once."""
    prepared = prepared or Prepared.open(run)
    row = found["row"]["number"] - 1
    models = [{"who": t(who), **_model(prepared, row, one)} for who, one in found["models"].items()]
    names = dict.fromkeys(p["name"] for m in models if not m["silent"] for p in m["parts"] if p["kind"] == "audio")
    sounds = {name: _heard(run, row, name, seconds) for name in names} if seconds else {}
    template = environment().get_template("explanation.html.jinja")
    label = found["label"]
    label = "; ".join(label) if isinstance(label, list) else f"{label:.6g}" if isinstance(label, float) else label
    facts = {**found["row"], "split": t(found["row"]["split"])}
    values = {"row": facts, "target": found["target"], "label": label, "models": models, "level": level}
    return Markup(template.render(values, sounds={name: one for name, one in sounds.items() if one}))


def _model(prepared: Prepared, row: int, one: dict[str, Any]) -> dict[str, Any]:
    if "silent" in one:
        return {"silent": sentence(t(one["silent"]))}
    said = minus(f"{one['answer']:.6g}") if isinstance(one["answer"], float) else short(one["answer"])
    shares = one["modalities"] if isinstance(one["modalities"], list) else []
    return {
        "silent": "",
        "said": said,
        "sure": "" if one["confidence"] is None else percent(one["confidence"], 1),
        "unit": t(one["unit"]),
        "modalities": [{**m, "text": percent(m["share"], 0), "for": m["value"] >= 0} for m in shares],
        "many": isinstance(one["modalities"], str),
        "absent": one["absent"],
        "note": sentence(t(one["note"])) if one.get("note") else "",
        "parts": [_part(prepared, (row, name), part) for name, part in one["parts"].items()],
    }


def _part(prepared: Prepared, where: tuple[int, str], part: dict[str, Any]) -> dict[str, Any]:
    """What the template draws of one modality."""
    row, name = where
    strongest = max((abs(v) for v in part["values"]), default=0.0) or 1.0
    strength = [v / strongest for v in part["values"]]
    made: dict[str, Any] = {
        "name": name,
        "kind": part["kind"],
        "how": t(part["how"]),
        "picture": "",
        "words": [],
    }
    made["items"] = [
        {
            "name": short(called(part, i["part"])),
            "text": percent(i["share"], 0),
            "value": minus(f"{i['value']:+.2f}"),
            "for": i["value"] >= 0,
        }
        for i in part["items"][:MOST]
    ]
    made["boxes"], made["more"] = [], len(part["items"]) - len(made["items"])
    item = _entry(prepared, row, name)
    if part["kind"] == "image":
        made["picture"], made["boxes"] = _picture(item, part, strength)
        made["sharp"] = max(item.shape[-3:-1]) <= 64
    elif part["kind"] == "text":
        made["words"] = [_mark(called(part, n), s) for n, s in enumerate(strength)]
    elif part["kind"] in ("audio", "sequence"):
        made["picture"], made["sharp"] = _strip(item), False
        made["boxes"] = _times(part, strength, len(item))
    return made


def called(part: dict[str, Any], number: int) -> str:
    """One part's name in the language spoken now; a word's and a column's stay as they are."""
    if part["kind"] == "image":
        return _patch(part, number)
    if part["kind"] == "audio":
        start, end = part["times"][number]
        return t("%(start)s to %(end)s s", start=f"{start:.2f}", end=f"{end:.2f}")
    if part["kind"] == "sequence":
        start, end = part["times"][number]
        return t("step %(step)s", step=end) if end == start + 1 else t("steps %(a)s to %(b)s", a=start + 1, b=end)
    label = part["labels"][number]
    return t(label) if label == "[unknown word]" else label


def _patch(part: dict[str, Any], number: int) -> str:
    """``top left (row 1, column 2)``."""
    picture, top, left, *_ = part["boxes"][number]
    rows, columns = (sorted({box[axis] for box in part["boxes"]}) for axis in (1, 2))
    row, column = rows.index(top), columns.index(left)
    third = [0 if at < 0.34 else 2 if at >= 0.62 else 1 for at in (row / len(rows), column / len(columns))]
    said = t(PLACES[third[0]][third[1]])
    said = t("%(where)s (row %(row)s, column %(column)s)", where=said, row=row + 1, column=column + 1)
    return said if part["pictures"] == 1 else t("%(where)s of picture %(number)s", where=said, number=picture + 1)


def _entry(prepared: Prepared, row: int, name: str) -> np.ndarray:
    m = [f["name"] for f in prepared.schema["fields"]].index(name)
    return np.asarray(prepared.columns[name][prepared.entry[row, m]])


def _picture(item: np.ndarray, part: dict, strength: list[float]) -> tuple[str, list[dict]]:
    """The picture, several side by side, and a box for each patch in shares of its sides."""
    several = item.ndim == 4
    pixels = side_by_side(item) if several else item
    across = pixels.shape[1] / item.shape[-2]
    down = pixels.shape[0] / item.shape[-3]
    order = [p for p in range(part["pictures"]) if not several or item[p, 0, 0, 3]]
    boxes = []
    for (p, top, left, high, wide), s in zip(part["boxes"], strength, strict=True):
        r, c = divmod(order.index(p), round(across))
        box = {"x": (c + left) / across, "y": (r + top) / down, "w": wide / across, "h": high / down}
        boxes.append({**_percents(box), **_mark("", s)})
    return data_uri(pixels), [box for box in boxes if float(box["depth"]) > FAINT]


def _strip(item: np.ndarray) -> str:
    """Steps as a picture: a spectrogram; samples as their loudness."""
    steps = item[:, :-1].astype(np.float32)
    if steps.shape[1] == 1 and len(steps) > STRIP[0]:
        edges = np.linspace(0, len(steps), STRIP[0] + 1).astype(int)
        loud = np.array([np.abs(steps[a:b]).max(initial=0) for a, b in pairwise(edges)])
        high = np.arange(STRIP[1])[::-1, None] / STRIP[1]
        gray = np.where(np.abs(high - 0.5) <= loud / max(loud.max(), 1e-6) / 2, 90, 245).astype(np.uint8)
        return data_uri(np.repeat(gray[:, :, None], 3, 2))
    return data_uri(spectrogram(steps))


def _times(part: dict, strength: list[float], length: int) -> list[dict]:
    """A box over the strip for each stretch; the strip is as long as the clip."""
    end = part["times"][-1][1] or 1
    made = []
    for (start, stop), s in zip(part["times"], strength, strict=True):
        box = {"x": start / end, "y": 0.0, "w": (stop - start) / end, "h": 1.0}
        made.append({**_percents(box), **_mark("", s)})
    return [box for box in made if float(box["depth"]) > FAINT]


def _heard(run: Run, row: int, name: str, seconds: float) -> str:
    """The clip's first seconds as they are in the table, to be played; nothing where its file is gone."""
    raw, column = RawRows(run), run.recipe.modalities[name].columns[0]
    try:
        content = raw.records([column], np.array([row]), files=[column])[0][column]
        if content is None:
            return ""
        samples, rate, _ = audio_ops.read(content, seconds)
    except (SuffuseError, ValueError, OSError):
        return ""
    low = min(rate, SOUND_RATE)
    samples = audio_ops.resample(samples[: int(seconds * rate)].astype(np.float32), rate, low)
    coarse = np.clip(np.rint(127 * samples) + 128, 0, 255).astype(np.uint8)
    return f"data:audio/wav;base64,{base64.b64encode(audio_ops.as_wav(coarse, low)).decode()}"


def _mark(text: str, strength: float) -> dict[str, Any]:
    return {"text": text, "tone": "more" if strength >= 0 else "less", "depth": f"{abs(strength):.2f}"}


def _percents(box: dict[str, float]) -> dict[str, str]:
    return {k: f"{100 * v:.2f}" for k, v in box.items()}
