"""An explanation as lines of a terminal."""

from __future__ import annotations

from typing import Any

MAX_SEGMENTS = 5  # of a modality that are listed


def explanation_lines(explanation: dict[str, Any]) -> list[str]:
    """Row and label, then each model: its prediction, its modalities, their segments."""
    row, label = explanation["row"], explanation["label"]
    title = f"row {row['id']} ({row['split']}), {explanation['target']}: "
    lines = [title + (f"the label is {_value(label)}" if label is not None else "it has no label")]
    for name, model in explanation["models"].items():
        lines += ["", *_model_lines(name, model)]
    return lines


def _model_lines(name: str, model: dict[str, Any]) -> list[str]:
    if "silent" in model:
        return [f"{name}: {model['silent']}"]
    confidence = "" if model["confidence"] is None else f", {100 * model['confidence']:.1f} % sure"
    lines = [f"{name}: {_value(model['answer'])}{confidence}"]
    unit = "of the number" if model["confidence"] is None else "of the probability"
    if isinstance(model["modalities"], str):
        lines.append(f"  which modality: {model['modalities']}")
    else:
        lines += [
            f"  {m['name']:<14} {m['value']:+.3f} {unit}, share {100 * m['share']:.0f} %; alone {m['alone']:.3f}"
            for m in model["modalities"]
        ]
    lines += [f"  {absent:<14} absent" for absent in model["absent"]]
    for modality, part in model["parts"].items():
        gap = f"; they sum to {part['sum']:+.2f}, with a gap of {part['gap']:+.2g}" if "sum" in part else ""
        lines.append(f"  {modality}, by {part['how']}, in {model['unit']}{gap}:")
        listed, rest = part["items"][:MAX_SEGMENTS], part["items"][MAX_SEGMENTS:]
        lines += [f"    {100 * i['share']:4.0f} %  {i['value']:+.3f}  {i['name']}" for i in listed]
        if rest:
            lines.append(f"    {100 * sum(i['share'] for i in rest):4.0f} %          {len(rest)} more")
    return lines + ([f"  {model['note']}"] if "note" in model else [])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "no label"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
