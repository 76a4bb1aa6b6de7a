"""Verbs that look into a run or a table: explain, knowledge, init."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError, visible
from ..files import check_writable, json_text, write_text
from ..integrity import require
from .arguments import (
    Delimiter,
    Encoding,
    Json,
    MaxLatency,
    MaxParameters,
    MaxSize,
    RunCode,
    TeacherPreset,
    open_run,
    student_budget,
    table_format,
)
from .next_step import quoted, say_next

Names = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Role of a column; may be repeated.")]


def explain_command(  # noqa: PLR0913  # options of a verb
    where: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    row: Annotated[str, typer.Option("--row", help="The row's id, or #N: the N-th.", show_default=False)],
    target: Annotated[str | None, typer.Option("--target", help="Target to explain. Default: the first.")] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="auto|gradients|occlusion", help="How parts are attributed.")
    ] = "auto",
    exported: Annotated[
        bool, typer.Option("--exported", help="Explain the exported file instead of the student.")
    ] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write an .html file.")] = None,
    run_code: RunCode = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain one prediction by modality, region, word, second and column, for teacher and student."""
    from ..explaining.explanation_text import explanation_lines
    from ..stages.explain import ExplainOptions, explain

    if method not in ("auto", "gradients", "occlusion"):
        raise UsageError("no such method", where="--method", got=method, expected="auto, gradients or occlusion")
    if not where.is_dir():
        raise UsageError("no such run", where=where, expected="a run folder")
    if out is not None and out.suffix != ".html":
        raise UsageError("can't write this kind of page", where="--out", got=out.name, expected="an .html file")
    check_writable(out)
    run = open_run(where, run_code=run_code)
    explanation = explain(run, row, ExplainOptions(target, method, exported))
    if out is not None:
        from ..report.explanation_view import page

        write_text(out, page(run, explanation))
    typer.echo(json_text(explanation) if json_ else "\n".join(map(visible, explanation_lines(explanation))))
    if not json_:
        page_step = f"suffuse explain {quoted(where)} --row {shlex.quote(row)} -o explanation.html"
        say_next(f"open {quoted(out)}" if out else page_step)


def knowledge_command(
    action: Annotated[
        str,
        typer.Argument(
            metavar="show|verify|export",
            help="Summarise the store; check every byte and recompute some rows; write it as a table.",
            show_default=False,
        ),
    ],
    where: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The .parquet file to write, for export.")] = None,
    json_: Json = False,
) -> None:
    """Show, verify or export a run's knowledge store."""
    if action not in ("show", "verify", "export"):
        raise UsageError("no such action", where="suffuse knowledge", got=action, expected="show, verify or export")
    if not where.is_dir():
        raise UsageError("no such run", where=where, expected="a run folder")
    require(where.resolve(), *(("extract",) if action == "show" else ("prepare", "teach", "extract")))
    if action == "export":
        from ..knowledge.parquet_export import export

        check_writable(target := out or where / "knowledge.parquet")
        if target.suffix != ".parquet":
            raise UsageError("can't write this kind of table", where="--out", got=target.name, expected=".parquet")
        count = export(where, target)
        facts, text = {"rows": count, "file": str(target)}, f"{count:,} answers in {target}"
    elif action == "verify":
        from ..stages.extract import verify

        facts = verify(open_run(where))
        text = "all {arrays} arrays are as they were written ({bytes:,} bytes); ".format(**facts)
        text += f"rows computed again differ by {facts['worst']:.2g} of what is tolerated at the most"
    else:
        from ..knowledge import manifest

        facts, text = manifest.read(where / "knowledge"), "\n".join(manifest.show(where / "knowledge"))
    typer.echo(json_text(facts) if json_ else "\n".join(map(visible, text.splitlines())))
    if not json_:
        steps = {"show": "verify", "verify": "export"}
        step = f"suffuse knowledge {steps.get(action)} {quoted(where)}"
        say_next(step if action in steps else f"suffuse run {quoted(where)}")


def init_command(  # noqa: PLR0913 (each is an option of the command line)
    rows: Annotated[
        str,
        typer.Argument(
            help="A table: .csv, .tsv, .xlsx, .ods, .parquet, .json, .jsonl, a saved dataset, a folder of pictures or "
            "recordings by class, or hf://NAME.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(help="The column to predict. Default: the class, where files stand by class.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The recipe file to write.")] = Path("recipe.yaml"),
    root: Annotated[
        str | None, typer.Option(help="Folder that file paths start from. Default: the table's folder.")
    ] = None,
    allowed_dir: Annotated[str | None, typer.Option(help="Reject paths outside this folder. Default: --root.")] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="`fast` (one student, half the epochs), `good`, or `best` (three teachers, twice the epochs)."
        ),
    ] = "good",
    teacher: TeacherPreset = None,
    text: Names = None,
    number: Names = None,
    category: Names = None,
    image: Names = None,
    audio: Names = None,
    ignore: Names = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    max_parameters: MaxParameters = None,
    max_size: MaxSize = None,
    max_latency_ms: MaxLatency = None,
    json_: Json = False,
) -> None:
    """Propose a recipe from a table's columns."""
    from ..finetuning_proposal import finetuned_on_accelerator
    from ..prepare.installed_encoders import suggestions
    from ..prepare.recipe_proposal import Choices, propose

    if out.exists():
        raise UsageError("the recipe is there already", where=out, hint="choose another name with --out")
    check_writable(out)
    named = {"text": text, "number": number, "category": category, "image": image, "audio": audio, "ignored": ignore}
    limits = student_budget(max_parameters, max_size, max_latency_ms)
    choices = Choices(table_format(encoding, delimiter), _roles(named), limits, teacher)
    proposal = propose(rows, target, root, out.parent, allowed_dir, preset, choices)
    proposal = finetuned_on_accelerator(proposal, teacher)
    for line in proposal.reading:
        typer.echo(visible(line), err=True)
    for column in proposal.columns:
        typer.echo(visible(f"{column.name:<20} {column.role:<10} {column.reason}"), err=True)
    write_text(out, proposal.text)
    typer.echo(f"\nwrote {out}", err=True)
    for line in (*_unused_lines(proposal.unused), *suggestions(proposal.draft.encoders.missing)):
        typer.echo(visible(line), err=True)
    say_next(f"suffuse check {quoted(out)}")
    if json_:
        columns = [{"name": c.name, "role": c.role, "reason": c.reason} for c in proposal.columns]
        unused = [{"name": name, "reason": reason} for name, reason in proposal.unused]
        typer.echo(json_text({"recipe": str(out), "columns": columns, "reading": proposal.reading, "unused": unused}))


def _roles(named: Mapping[str, Sequence[str] | None]) -> dict[str, str]:
    """Column -> role, of role -> columns. Raises UsageError where a column is given two roles."""
    roles: dict[str, str] = {}
    for role, names in named.items():
        for name in names or ():
            if roles.setdefault(name, role) != role:
                raise UsageError("a column has two roles", where=f"'{name}'", got=f"{roles[name]} and {role}")
    return roles


def _unused_lines(unused: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The warning that ends what ``init`` prints: the columns that no model reads."""
    if unused:
        width = max(len(name) for name, _ in unused)
        count = f"{len(unused)} column{'s' * (len(unused) > 1)}"
        yield ""
        yield f"WARNING: {count} left out, and read by no model:"
        yield from (f"  {name:<{width}}  {reason}" for name, reason in unused)
        yield "--text, --number, --category, --image or --audio COLUMN takes one in; --ignore COLUMN agrees"
