"""Writes into the documentation what the parts say of themselves: tables, options, sections of keys and counts.

    python tools/generate_docs.py [--check]

The text between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is that of ``BLOCKS[NAME]``; all other text is left
alone. ``make generate`` runs it. With ``--check`` nothing is written, and it ends with an error where a page is out of
date; ``make check`` runs that.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from suffuse import encoders, evaluation, fusions, losses, modalities
from suffuse.pretrained_settings import PretrainedSettings
from suffuse.recipe.stage_settings import PROBES
from suffuse.registry import TeacherSettings
from suffuse.teachers import asked, recogniser, zero_shot
from suffuse.types import CLASSES

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "README.zh-CN.md", "docs/recipe.md", "docs/losses.md", "docs/evaluate.md")
MARKED = re.compile(r"(<!-- generated: ([\w ]+) -->)(\n?)(.*?)(<!-- end -->)", re.DOTALL)
HINT = "run `make generate` (python tools/generate_docs.py)"
WIDTH = 150  # characters of a line of prose
OPENERS: dict[
    str, tuple[dict[str, str], Callable[[str], Any]]
] = {  # heading in recipe.md -> kinds, and how one is loaded
    "modalities.NAME": (modalities.TABLE, modalities.load_modality),
    "encoders.NAME": (encoders.TABLE, encoders.load_encoder),
    "fusion": (fusions.TABLE, fusions.load_fusion),
    "distill.losses.NAME": (losses.TABLE, losses.load_loss),
}
COMMON = ("kind", "weight")  # keys that a page describes once for all kinds


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("|" + "|".join("---" if cell == "---" else f" {cell} " for cell in line) + "|" for line in lines)


def listed(kinds: list[str]) -> str:
    """Kinds as code, with commas."""
    return ", ".join(f"`{kind}`" for kind in kinds)


def modules(kinds: dict[str, str]) -> list[list[str]]:
    """The kinds of each module, in the table's order."""
    by_module: dict[str, list[str]] = {}
    for kind, module in kinds.items():
        by_module.setdefault(module, []).append(kind)
    return list(by_module.values())


def default_text(field: FieldInfo) -> str:
    """A field's default, as a cell."""
    if field.is_required():
        return "required"
    factory: Any = field.default_factory
    value = field.default if field.default is not PydanticUndefined else factory()
    if isinstance(value, tuple):
        return "`[" + ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value) + "]`"
    if isinstance(value, str):
        return "`" + value.replace("|", "\\|") + "`" if value else '`""`'
    return f"`{str(value).lower() if value is None or isinstance(value, bool) else value}`"


def keys(model: type[BaseModel], without: Collection[str] = COMMON) -> str:
    """The table of a model's keys, but for some, then one of each mapping among them. Raises ValueError where a key has
    no description."""
    rows: list[tuple[str, ...]] = []
    tables: list[str] = []
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] in PretrainedSettings.model_fields):
        if name in without:
            continue
        if not field.description:
            raise ValueError(f"{model.__module__}.{model.__qualname__}: {name} has no description=")
        rows.append((f"`{name}`", default_text(field), field.description))
        tables += [f"Keys of `{name}`:\n\n{keys(nested)}" for nested in models_in(field.annotation)]
    return "\n\n".join([*([table(("key", "default", "description"), rows)] if rows else []), *tables])


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def sections(heading: str) -> str:
    """Of each kind its section in recipe.md: summary, example, and keys with defaults."""
    kinds, open_part = OPENERS[heading]
    texts = []
    for names in modules(kinds):
        part = open_part(names[0])
        head = "### " + ", ".join(f"`kind: {name}`" for name in names)
        paragraphs = [textwrap.fill(text, WIDTH, break_on_hyphens=False) for text in (part.DOCS.summary, size(part))]
        texts += [head, *filter(None, paragraphs), f"Example: `{part.DOCS.example}`", keys(part.Settings)]
    return "\n\n".join(filter(None, texts))


def size(part: Any) -> str:
    """The sentence of a fusion's docstring on the number of its parameters."""
    match = re.search(r"^Parameters: .*", part.__doc__ or "", re.MULTILINE | re.DOTALL)
    return " ".join(match[0].split()) if match else ""


def contents(page: str) -> str:
    """A link to each section of recipe.md, and the kinds that it describes."""
    lines = []
    for head in re.findall(r"^## (.+)$", page, re.MULTILINE)[1:]:
        anchor = re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
        text = page.partition(f"\n## {head}\n")[2].partition("\n## ")[0]
        kinds = [
            k for line in re.findall(r"^### (`kind: .*)$", text, re.MULTILINE) for k in re.findall(r": (\w+)`", line)
        ]
        lines.append(f"- [{head}](#{anchor})" + (f": {', '.join(kinds)}" if kinds else ""))
    return "\n".join(lines)


def encoder_table() -> str:
    """Which kinds of modality each encoder reads, and what of it is pretrained."""
    rows: list[tuple[str, ...]] = []
    for kinds in modules(encoders.TABLE):
        part = encoders.load_encoder(kinds[0])
        fields = part.Settings.model_fields
        pretrained = "yes" if "frozen" in fields else "word vectors" if "vectors" in fields else ""
        reads = ("yes" if modality in part.MODALITIES else "" for modality in modalities.TABLE)
        rows.append((listed(kinds), *reads, pretrained))
    return table(("kind", *modalities.TABLE, "pretrained"), rows)


def fusion_table() -> str:
    """What each fusion reads and takes, and what it is for."""
    rows: list[tuple[str, ...]] = []
    for kind in fusions.TABLE:
        part = fusions.load_fusion(kind)
        fewest, most = part.TAKES
        takes = str(most) if fewest == most else f"{fewest} to {most}"
        rows.append((f"`{kind}`", "tokens" if part.TOKENS else "vectors", takes, part.DOCS.use, part.DOCS.absent))
    return table(("kind", "reads", "takes", "use it for", "an absent modality"), rows)


def loss_tables(on_outputs: bool) -> str:
    """The losses on the teacher's outputs, or those on its features."""
    rows: list[tuple[str, ...]] = []
    for kind in losses.TABLE:
        part = losses.load_loss(kind)
        if bool(part.HEADS) == on_outputs:
            docs, heads = part.DOCS, ", ".join(part.HEADS)
            least = f", {part.MIN_CLASSES} or more" if part.MIN_CLASSES > 1 and CLASSES in part.HEADS else ""
            where = heads + least if on_outputs else docs.projector
            rows.append((f"`{kind}`", docs.paper, docs.formula, where, docs.helps, docs.pitfalls))
    columns = ("formula, a mean over rows", "valid for") if on_outputs else ("formula", "projector")
    return table(("kind", "paper", *columns, "helps when", "pitfalls"), rows)


def probe_table() -> str:
    """What each probe adds to which scorecards."""
    rows: list[tuple[str, ...]] = [("always", "`metrics`, `per_class`, `calibration`", "all", "the predictions")]
    for name in PROBES:
        part = evaluation.load_probe(name)
        rows.append((f"`{name}`", part.DOCS.fields or listed([*part.FIELDS]), part.DOCS.models, part.DOCS.cost))
    return table(("probe", "field", "models", "cost"), rows)


TABLES = (modalities.TABLE, encoders.TABLE, fusions.TABLE, losses.TABLE)
BLOCKS: dict[str, Callable[[str], str]] = {  # name -> the text, from that of the page
    "counts": lambda _: "{} modalities, {} encoders, {} fusions, {} losses".format(*map(len, TABLES)),
    "counts in Chinese": lambda _: "{} 种模态、{} 种编码器、{} 种融合、{} 种损失".format(*map(len, TABLES)),
    "contents": contents,
    "modalities": lambda _: sections("modalities.NAME"),
    "encoder table": lambda _: encoder_table(),
    "encoders": lambda _: sections("encoders.NAME"),
    "fusion table": lambda _: fusion_table(),
    "fusions": lambda _: sections("fusion"),
    "losses": lambda _: sections("distill.losses.NAME"),
    "asked teacher": lambda _: keys(asked.Settings, (*TeacherSettings.model_fields, "kind")),
    "recogniser teacher": lambda _: keys(recogniser.Settings, (*TeacherSettings.model_fields, "kind")),
    "zero shot teacher": lambda _: keys(zero_shot.Settings, (*TeacherSettings.model_fields, "kind")),
    "losses on outputs": lambda _: loss_tables(on_outputs=True),
    "losses on features": lambda _: loss_tables(on_outputs=False),
    "probes": lambda _: probe_table(),
}


def generated(page: str) -> str:
    """The page with all of its blocks rewritten; the contents come last, since they list what other blocks have."""

    def block(match: re.Match[str]) -> str:
        start, name, line, _, end = match.groups()
        text = BLOCKS[name](page)
        return f"{start}\n\n{text}\n\n{end}" if line else f"{start}{text}{end}"

    page = MARKED.sub(lambda match: match[0] if match[2] == "contents" else block(match), page)
    return MARKED.sub(lambda match: block(match) if match[2] == "contents" else match[0], page)


def main(check: bool) -> None:
    """Write the pages, or with ``check`` say which of them are out of date."""
    for name in PAGES:
        file = ROOT / name
        page = file.read_text(encoding="utf-8")
        text = generated(page)
        if text != page and check:
            raise SystemExit(f"{name} is out of date: {HINT}")
        if text != page:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {name}")


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
