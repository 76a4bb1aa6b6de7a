"""Verbs of an export: predict, serve. Neither needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..files import json_text
from .arguments import Files


def predict_command(  # noqa: PLR0913 (each is an option of the command line)
    export: Annotated[Path, typer.Argument(help="An export folder, or a run.", show_default=False)],
    rows: Annotated[str, typer.Argument(help="A table of raw rows, or a record as JSON.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="A .csv, .jsonl or .parquet file.")],
    root: Annotated[str | None, typer.Option(help="Folder that file paths start from.")] = None,
    within: Annotated[str | None, typer.Option(help="Folder that no file may lie outside of; the root.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=256)] = 1,
    top: Annotated[int | None, typer.Option(min=1, help="Only the K most probable classes.", metavar="K")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave an answer empty that is less sure than this.")
    ] = None,
    form: Annotated[str | None, typer.Option(help="fp32 or int8; the export's own.")] = None,
    model_files: Files = None,
    raw: Annotated[
        bool, typer.Option("--raw-cells", help="Don't escape formulas and control characters in CSV.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Answer raw rows with an exported student, without torch. A killed command goes on when it is called again."""
    from ..stages.predict import Options, predict

    done = predict(export, rows, out, Options(root, within, threads, top, threshold, form, model_files, raw))
    typer.echo(f"{done.rows:,} answers in {out}", err=True)
    if json_:
        typer.echo(json_text(done.to_json()))


def serve_command(
    exports: Annotated[
        list[str], typer.Argument(metavar="EXPORT...", help="Export folders or runs, [NAME=]PATH.", show_default=False)
    ],
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    threads: Annotated[int, typer.Option(min=1, max=256, help="That prepare and answer rows, of each model.")] = 2,
    form: Annotated[str | None, typer.Option(help="fp32 or int8; else the one that the export calls its own.")] = None,
    model_files: Files = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=NUMBER", help="A limit of the server's, as docs/serve.md names them."),
    ] = None,
) -> None:
    """Answer over HTTP with exported students, without torch."""
    from ..registry import optional

    for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        optional(module, "serve")
    from ..serving.limits import Limits
    from ..serving.server_process import serve

    serve(exports, host, port, threads, Limits.told(limit or ()), form, model_files)
