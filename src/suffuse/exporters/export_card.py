"""The model card of an export folder: README.md, from its signature, its parity, and scores where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..markdown import document, plain, section, table
from ..prepare.data_section import data_section
from ..types import CLASSES, LABELS, TOKENS

MAX_CLASSES = 20  # that are listed by name
KINDS = {CLASSES: "one of", LABELS: "any of", TOKENS: "text, of units"}
FRONT_MATTER = """---
library_name: suffuse
tags: [multimodal, knowledge-distillation, onnx]
---"""


def card(
    signature: Mapping[str, Any],
    parity: Mapping[str, Any],
    scores: Mapping[str, Any] | None = None,
    schema: Mapping[str, Any] | None = None,
) -> str:
    """Markdown. ``parity`` as in parity.json; ``scores``: model -> its scorecard, as in ``scores/MODEL.json``;
    ``schema``: the rows', as in ``data/schema.json``."""
    names = ", ".join(plain(modality["name"]) for modality in signature["modalities"])
    return document(
        FRONT_MATTER,
        f"# {plain(signature.get('name', 'student'))}",
        f"A multimodal student of {signature['parameters']:,} parameters, distilled with suffuse. It reads {names}, "
        "answers from\nwhichever of them are there, and says its training prior where none is. It runs in ONNX "
        "Runtime, without PyTorch.",
        _inputs(signature),
        _targets(signature),
        _forms(signature),
        data_section(schema or {}),
        _examples(signature),
        _parity(parity),
        _scores(scores or {}),
        _temperatures(signature),
        _limits(signature),
        _usage(signature),
    )


def _columns(modality: Mapping[str, Any]) -> list[str]:
    column = modality["settings"]["column"]
    return [column] if isinstance(column, str) else list(column)


def _inputs(signature: Mapping[str, Any]) -> str:
    rows = [
        (m["name"], m["kind"], ", ".join(map(str, _columns(m))), signature["inputs"][m["name"]])
        for m in signature["modalities"]
    ]
    return section("Inputs", "Any of them may be missing.", table(("input", "kind", "columns", "as an array"), rows))


def _targets(signature: Mapping[str, Any]) -> str:
    rows = []
    for head in signature["heads"]:
        names = list(head["classes"])
        further = f" and {len(names) - MAX_CLASSES:,} more" if len(names) > MAX_CLASSES else ""
        listed = f"{', '.join(names[:MAX_CLASSES])}{further}"
        rows.append((head["name"], f"{KINDS[head['kind']]} {len(names):,}: {listed}" if names else "a number"))
    return section("Targets", table(("target", "answers"), rows))


def _forms(signature: Mapping[str, Any]) -> str:
    rows = []
    for name, form in signature["forms"].items():
        facts, text = form.get("parity", {}), ""
        if "difference" in facts:
            text = f"within {facts['difference']:.1g} of a probability of the network in torch"
        elif "agreement" in facts:
            text = f"at least {facts['agreement']:.1%} of its answers are fp32's, at most {facts['lost']:.4f} is lost"
        title = f"{name}, {form['how']}" if "how" in form else name
        rows.append((title, form["file"], f"{form['bytes']:,}", text))
    refused = (plain(f"No {name}: {why}.") for name, why in signature.get("refused", {}).items())
    return section("Forms", table(("form", "file", "bytes", "on every subset"), rows), *refused)


def _examples(signature: Mapping[str, Any]) -> str:
    if not (count := signature.get("examples", 0)):
        return ""
    text = f"`examples.json` holds {count} validation rows, with their targets, to try the model on."
    return section("Example rows", text, "They are rows of the data: publish the folder only where these may be shown.")


def _parity(parity: Mapping[str, Any]) -> str:
    int8 = parity.get("int8", {}).get("subsets", {})
    rows = []
    for subset, facts in parity.get("subsets", {}).items():
        row = [subset, f"{facts['difference']:.1g}"]
        if int8:
            of = int8[subset]
            row += [_interval(of["agreement"]), f"{of['fp32']:.4f}", f"{of['int8']:.4f}", _interval(of["lost"])]
        rows.append(row)
    if not rows:
        return ""
    metric = next(iter(int8.values()))["metric"] if int8 else ""
    heads = ("int8 agrees", f"{metric}, fp32", f"{metric}, int8", "lost, 95 % interval") if int8 else ()
    lead = "On validation rows, subset by subset of the inputs: the file against the network in torch"
    lead += ", int8 against fp32." if int8 else "."
    return section("Parity", lead, table(("present", "difference", *heads), rows))


def _scores(scores: Mapping[str, Any]) -> str:
    rows = [
        (model, name, f"{score['mean']:.4f}", f"{score['low']:.4f} to {score['high']:.4f}", f"{facts['rows']:,}")
        for model, facts in scores.items()
        for name, score in facts.get("metrics", {}).items()
    ]
    return (
        section("Scores", "On test rows.", table(("who", "metric", "mean", "interval", "rows"), rows)) if rows else ""
    )


def _temperatures(signature: Mapping[str, Any]) -> str:
    by_subset = signature.get("temperatures", {})
    if not by_subset:
        return ""
    targets = list(next(iter(by_subset.values())))
    rows = [(subset, *(f"{values[name]:.3f}" for name in targets)) for subset, values in by_subset.items()]
    lead = "Logits are divided by them, so that a confidence means what it says on each subset."
    return section("Temperatures", lead, table(("present", *targets), rows))


def _limits(signature: Mapping[str, Any]) -> str:
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in signature.get("limits", {}).items()]
    return (
        section("Limits", "A record beyond one of them is refused.", table(("", "at the most"), rows)) if rows else ""
    )


def _usage(signature: Mapping[str, Any]) -> str:
    columns = dict.fromkeys(column for modality in signature["modalities"] for column in _columns(modality))
    record = ", ".join(f"{name!r}: ..." for name in columns)
    code = f"""```python
from suffuse import Predictor

model = Predictor.load("export")
answer = model.predict({{{record}}})
print(answer.label, answer.confidence)
```"""
    return section(
        "Use", code, "`signature.json` describes the arrays, the preprocessing and the answers, for other languages."
    )


def _interval(facts: Mapping[str, float]) -> str:
    return f"{facts['mean']:.4f} ({facts['low']:.4f} to {facts['high']:.4f})"
