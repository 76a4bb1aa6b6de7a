"""Arguments and options that several verbs share, and the run that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..run import Run
    from ..sources.table_format import TableFormat

Where = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe (.yaml) or a run folder.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="a.b=VALUE", help="Override a recipe key.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run folder; runs/NAME if not given.")]
RunOut = Annotated[Path | None, typer.Option("-o", "--out", help="The run folder; runs/NAME if not given.")]
TableOrRecipe = Annotated[
    str, typer.Argument(metavar="RECIPE|TABLE", help="A recipe (.yaml), a run folder, or a table.", show_default=False)
]
Target = Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="Of a table: the column to predict.")]
Minutes = Annotated[
    float | None, typer.Option("--minutes", min=0.01, help="Of a table: a time budget for the whole run.")
]
Preset = Annotated[str | None, typer.Option("--preset", help="Of a table: fast, good or best. Default: good.")]
TeacherPreset = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="small|pretrained|finetuned",
        help="Of a table: the teacher's encoders. Default: pretrained where installed, finetuned on a GPU.",
    ),
]
MaxParameters = Annotated[
    int | None, typer.Option("--max-parameters", min=1, help="Of a table: the student's parameters, at most.")
]
MaxSize = Annotated[
    str | None, typer.Option("--max-size", metavar="BYTES", help="Of a table: the exported file, at most, e.g. 500kB.")
]
MaxLatency = Annotated[
    float | None,
    typer.Option("--max-latency-ms", min=0.001, help="Of a table: milliseconds of one row on one thread, at most."),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="STAGE", help="Run this stage again, even if it is up to date.")
]
Files = Annotated[
    str | None, typer.Option("--model-files", help="Folder of files that an export names outside itself.")
]
Device = Annotated[
    str, typer.Option("--device", help="Where ONNX Runtime runs the network: auto, cpu, cuda[:N], coreml, ...")
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", help="Of a .csv, .tsv or .txt file: utf-8, cp1252, gb18030. Default: detected."),
]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", help="Between the cells of such a file, or `tab`. Default: detected.")
]
RunCode = Annotated[
    bool, typer.Option("--run-code", help="Run code that the run folder or the export names: functions, parts.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def table_format(encoding: str | None, delimiter: str | None) -> TableFormat:
    """Of what ``--encoding`` and ``--delimiter`` give. Raises UsageError."""
    from ..errors import UsageError
    from ..sources.table_format import TableFormat
    from ..sources.text_format import is_encoding

    if encoding is not None and not is_encoding(encoding):
        raise UsageError("no such encoding", where="--encoding", got=encoding, expected="utf-8, cp1252, gb18030 or so")
    delimiter = "\t" if delimiter in ("tab", "\\t") else delimiter
    if delimiter is not None and len(delimiter) != 1:
        raise UsageError("no such delimiter", where="--delimiter", got=delimiter, expected="one character, or tab")
    return TableFormat(encoding, delimiter)


def student_budget(
    max_parameters: int | None, max_size: str | None, max_latency_ms: float | None
) -> dict[str, float | str]:
    """What the options limit, by key of ``student.budget``. Raises UsageError."""
    from ..errors import UsageError
    from ..recipe.goal import byte_size

    try:
        byte_size(max_size)
    except ValueError as error:
        expected = str(error).rpartition("expected ")[2]
        raise UsageError("no such size", where="--max-size", got=str(max_size), expected=expected) from None
    limits = {"parameters": max_parameters, "size": max_size, "latency_ms": max_latency_ms}
    return {key: limit for key, limit in limits.items() if limit is not None}


def open_run(where: Path, overrides: list[str] | None = None, out: Path | None = None, run_code: bool = False) -> Run:
    """The run of a recipe or of a run folder. ``run_code``: also parts of the user's own that a run folder names."""
    from ..run import Run

    allow_code(run_code)
    return Run.open(where, tuple(overrides or ()), out)


def allow_code(run_code: bool) -> None:
    """Where the user asks for it, let parts be imported that an artefact names."""
    from ..user_parts import ALL, allow_parts

    if run_code:
        allow_parts(ALL)
