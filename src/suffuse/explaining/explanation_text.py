"""An explanation as lines of a terminal."""

from __future__ import annotations

from typing import Any

MOST = 5  # parts of a modality


def lines(found: dict[str, Any]) -> list[str]:
    """Row and label, then each model: its answer, which modality, which parts."""
    row, label = found["row"], found["label"]
    said = f"row {row['id']} ({row['split']}), {found['target']}: "
    made = [said + (f"the label is {_value(label)}" if label is not None else "it has no label")]
    for who, one in found["models"].items():
        made += ["", *_model(who, one)]
    return made


def _model(who: str, one: dict[str, Any]) -> list[str]:
    if "silent" in one:
        return [f"{who}: {one['silent']}"]
    sure = "" if one["confidence"] is None else f", {100 * one['confidence']:.1f} % sure"
    made = [f"{who}: {_value(one['answer'])}{sure}"]
    unit = "of the number" if one["confidence"] is None else "of the probability"
    if isinstance(one["modalities"], str):
        made.append(f"  which modality: {one['modalities']}")
    else:
        made += [
            f"  {m['name']:<14} {m['value']:+.3f} {unit}, share {100 * m['share']:.0f} %; alone {m['alone']:.3f}"
            for m in one["modalities"]
        ]
    made += [f"  {name:<14} absent" for name in one["absent"]]
    for name, part in one["parts"].items():
        gap = f"; they sum to {part['sum']:+.2f}, with a gap of {part['gap']:+.2g}" if "sum" in part else ""
        made.append(f"  {name}, by {part['how']}, in {one['unit']}{gap}:")
        made += [f"    {100 * i['share']:4.0f} %  {i['value']:+.3f}  {i['name']}" for i in part["items"][:MOST]]
        more = len(part["items"]) - MOST
        if more > 0:
            rest = sum(i["share"] for i in part["items"][MOST:])
            made.append(f"    {100 * rest:4.0f} %          {more} more")
    return made + ([f"  {one['note']}"] if "note" in one else [])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "no label"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
