"""Verbs of an export: predict, serve. Neither needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..files import json_text
from .arguments import Delimiter, Encoding, Files, table_format


def predict_command(  # noqa: PLR0913 (each is an option of the command line)
    export: Annotated[Path, typer.Argument(help="An export folder, or a run.", show_default=False)],
    rows: Annotated[str, typer.Argument(help="A table of raw rows, or a record as JSON.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="A .csv, .jsonl or .parquet file.")],
    root: Annotated[
        str | None, typer.Option(help="Folder that file paths start from. Default: the table's folder.")
    ] = None,
    allowed_dir: Annotated[str | None, typer.Option(help="Reject paths outside this folder. Default: --root.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of the network.")] = 1,
    top: Annotated[int | None, typer.Option(min=1, help="Only the K most probable classes.", metavar="K")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Abstain if the confidence is lower.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or int8. Default: the export's own.")] = None,
    model_files: Files = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    raw: Annotated[
        bool, typer.Option("--raw-cells", help="Don't escape formulas and control characters in CSV.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Predict raw rows with an exported student, without torch. A killed command resumes when it is called again."""
    from ..stages.predict import Options, predict

    form = table_format(encoding, delimiter)
    options = Options(root, allowed_dir, threads, top, threshold, precision, model_files, form, raw)
    done = predict(export, rows, out, options)
    typer.echo(f"{done.rows:,} answers in {out}", err=True)
    if json_:
        typer.echo(json_text(done.to_json()))


def serve_command(
    exports: Annotated[
        list[str], typer.Argument(metavar="EXPORT...", help="Export folders or runs, [NAME=]PATH.", show_default=False)
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 accepts other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads per model that prepare and predict rows.")] = 2,
    precision: Annotated[str | None, typer.Option(help="fp32 or int8. Default: the export's own.")] = None,
    model_files: Files = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=NUMBER", help="Change a limit of the server (docs/serve.md)."),
    ] = None,
) -> None:
    """Serve exported students over HTTP, without torch."""
    from ..registry import optional

    for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        optional(module, "serve")
    from ..serving.limits import Limits
    from ..serving.server_process import serve

    serve(exports, host, port, threads, Limits.from_options(limit or ()), precision, model_files)
