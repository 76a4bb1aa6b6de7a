"""The model card of an export folder: README.md, from its signature, its parity, and scores where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..markdown import plain, table
from ..prepare.data_section import data_section
from ..types import CLASSES, LABELS

MOST_CLASSES = 20  # that are listed by name
KINDS = {CLASSES: "one of", LABELS: "any of"}


def card(
    signature: Mapping[str, Any],
    parity: Mapping[str, Any],
    scores: Mapping[str, Any] | None = None,
    schema: Mapping[str, Any] | None = None,
) -> str:
    """The model card in Markdown. ``parity`` as in parity.json; ``scores``: model -> its scorecard, as in
    ``scores/WHO.json``; ``schema``: of the rows, as in ``data/schema.json``."""
    sections = (
        _head(signature),
        _inputs(signature),
        _targets(signature),
        _forms(signature),
        data_section(schema or {}),
        _parity(parity),
        _scores(scores or {}),
        _temperatures(signature),
        _limits(signature),
        _use(signature),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(signature: Mapping[str, Any]) -> str:
    names = ", ".join(plain(modality["name"]) for modality in signature["modalities"])
    return f"""---
library_name: suffuse
tags: [multimodal, knowledge-distillation, onnx]
---

# {plain(signature.get("name", "student"))}

A multimodal student of {signature["parameters"]:,} parameters, distilled with suffuse. It reads {names}, answers from
whichever of them are there, and says its training prior where none is. It runs in ONNX Runtime, without PyTorch."""


def _inputs(signature: Mapping[str, Any]) -> str:
    rows = []
    for modality in signature["modalities"]:
        column = modality["settings"]["column"]
        columns = [column] if isinstance(column, str) else column
        rows.append(
            (modality["name"], modality["kind"], ", ".join(map(str, columns)), signature["inputs"][modality["name"]])
        )
    return "## Inputs\n\nAny of them may be missing.\n\n" + table(("input", "kind", "columns", "as an array"), rows)


def _targets(signature: Mapping[str, Any]) -> str:
    rows = []
    for head in signature["heads"]:
        names = list(head["classes"])
        rest = f" and {len(names) - MOST_CLASSES:,} more" if len(names) > MOST_CLASSES else ""
        classes = f"{KINDS.get(head['kind'])} {len(names):,}: {', '.join(names[:MOST_CLASSES])}{rest}"
        rows.append((head["name"], classes if names else "a number"))
    return "## Targets\n\n" + table(("target", "answers"), rows)


def _forms(signature: Mapping[str, Any]) -> str:
    rows = []
    for name, form in signature["forms"].items():
        facts, how = form.get("parity", {}), f"{name}, {form['how']}" if "how" in form else name
        description = ""
        if "difference" in facts:
            description = f"within {facts['difference']:.1g} of a probability of the network in torch"
        elif "agreement" in facts:
            description = (
                f"at least {facts['agreement']:.1%} of its answers are fp32's, at most {facts['lost']:.4f} is lost"
            )
        rows.append((how, form["file"], f"{form['bytes']:,}", description))
    refusals = [f"No {name}: {why}." for name, why in signature.get("refused", {}).items()]
    forms = table(("form", "file", "bytes", "on every subset"), rows)
    return "\n\n".join(["## Forms\n\n" + forms, *map(plain, refusals)])


def _parity(parity: Mapping[str, Any]) -> str:
    facts, int8 = parity.get("subsets", {}), parity.get("int8", {}).get("subsets", {})
    rows = []
    for subset, fp32_parity in facts.items():
        row = [subset, f"{fp32_parity['difference']:.1g}"]
        if int8:
            int8_parity = int8[subset]
            row += [
                _interval(int8_parity["agreement"]),
                f"{int8_parity['fp32']:.4f}",
                f"{int8_parity['int8']:.4f}",
                _interval(int8_parity["lost"]),
            ]
        rows.append(row)
    if not rows:
        return ""
    metric = next(iter(int8.values()))["metric"] if int8 else ""
    int8_columns = ("int8 agrees", f"{metric}, fp32", f"{metric}, int8", "lost, 95 % interval") if int8 else ()
    heading = "## Parity\n\nOn validation rows, subset by subset of the inputs: the file against the network in torch"
    heading += ", int8 against fp32" if int8 else ""
    return f"{heading}.\n\n" + table(("present", "difference", *int8_columns), rows)


def _scores(scores: Mapping[str, Any]) -> str:
    rows = [
        (
            model,
            name,
            f"{interval['mean']:.4f}",
            f"{interval['low']:.4f} to {interval['high']:.4f}",
            f"{facts['rows']:,}",
        )
        for model, facts in scores.items()
        for name, interval in facts.get("metrics", {}).items()
    ]
    return "## Scores\n\nOn test rows.\n\n" + table(("who", "metric", "mean", "interval", "rows"), rows) if rows else ""


def _temperatures(signature: Mapping[str, Any]) -> str:
    temperatures = signature.get("temperatures", {})
    if not temperatures:
        return ""
    targets = list(next(iter(temperatures.values())))
    rows = [(subset, *(f"{by_target[name]:.3f}" for name in targets)) for subset, by_target in temperatures.items()]
    heading = "## Temperatures\n\nLogits are divided by them, so that a confidence means what it says on each subset."
    return f"{heading}\n\n" + table(("present", *targets), rows)


def _limits(signature: Mapping[str, Any]) -> str:
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in signature.get("limits", {}).items()]
    return "## Limits\n\nA record beyond one of them is refused.\n\n" + table(("", "at the most"), rows) if rows else ""


def _use(signature: Mapping[str, Any]) -> str:
    columns = []
    for modality in signature["modalities"]:
        column = modality["settings"]["column"]
        columns += [column] if isinstance(column, str) else list(column)
    record = ", ".join(f"{name!r}: ..." for name in dict.fromkeys(columns))
    return f"""## Use

```python
from suffuse import Predictor

model = Predictor.load("export")
answer = model.predict({{{record}}})
print(answer.label, answer.confidence)
```

`signature.json` describes the arrays, the preprocessing and the answers, for other languages."""


def _interval(facts: Mapping[str, float]) -> str:
    return f"{facts['mean']:.4f} ({facts['low']:.4f} to {facts['high']:.4f})"
