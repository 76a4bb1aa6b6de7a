"""Verbs of an export: predict, serve. Neither needs torch."""

from __future__ import annotations

import json
import shutil
import tempfile
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..files import json_text
from .arguments import Delimiter, Device, Encoding, Files, RunCode, allow_code, table_format
from .next_step import quoted, say_next


def predict_command(  # noqa: PLR0913 (each is an option of the command line)
    export: Annotated[Path, typer.Argument(help="An export folder, or a run.", show_default=False)],
    rows: Annotated[
        str, typer.Argument(help="A table of raw rows, a record as JSON, or - for standard input.", show_default=False)
    ],
    out: Annotated[
        str, typer.Option("-o", "--out", help="A .csv, .jsonl or .parquet file or its URL, or - for standard output.")
    ] = "-",
    keep: Annotated[str, typer.Option(help="Columns of the table to copy, with commas between; or all.")] = "",
    digits: Annotated[int | None, typer.Option(min=0, max=17, help="Decimal places. Default: all.")] = None,
    root: Annotated[
        str | None, typer.Option(help="Folder that file paths start from. Default: the table's folder.")
    ] = None,
    allowed_dir: Annotated[str | None, typer.Option(help="Reject paths outside this folder. Default: --root.")] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of the network.")] = 1,
    device: Device = "cpu",
    top: Annotated[int | None, typer.Option(min=1, help="Only the K most probable classes.", metavar="K")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Abstain if the confidence is lower.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32 or int8. Default: the export's own.")] = None,
    model_files: Files = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    raw: Annotated[
        bool, typer.Option("--raw-cells", help="Don't escape formulas and control characters in CSV.")
    ] = False,
    run_code: RunCode = False,
    json_: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Predict raw rows with an exported student, without torch. A killed command resumes when it is called again."""
    allow_code(run_code)
    from ..object_store import is_url
    from ..stages.predict import Options, predict, predict_to, predict_to_store

    kept = tuple(name for name in keep.split(",") if name)
    options = Options(root, allowed_dir, threads, device, top, threshold, precision, model_files)
    options = replace(options, table_format=table_format(encoding, delimiter), raw=raw, keep=kept, digits=digits)
    if json_ and out == "-":
        raise UsageError("standard output has one use", got="--json and -o -", hint="-o FILE writes the predictions")
    with _source(rows) as source:
        if rows == "-" and root is None:
            options = replace(options, root=str(Path.cwd()))
        if out == "-":
            done = predict_to(export, source, typer.get_binary_stream("stdout"), options)
        elif is_url(out):
            done = predict_to_store(export, source, out, options)
        else:
            done = predict(export, source, Path(out), options)
    on = "" if done.device == "cpu" else f", on {done.device}"
    typer.echo(f"{done.rows:,} answers" + ("" if out == "-" else f" in {out}") + on, err=True)
    if json_:
        typer.echo(json_text(done.to_json()))
    else:
        say_next(f"suffuse serve {quoted(export)}  # answers over HTTP, with a page to try")


@contextmanager
def _source(rows: str) -> Iterator[str]:
    """The rows' name; standard input is kept in a file: records as JSON, JSON lines, or CSV."""
    if rows != "-":
        yield rows
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stdin"
        with file.open("wb") as copy:
            shutil.copyfileobj(typer.get_binary_stream("stdin"), copy)
        with file.open("rb") as content:
            start = content.read(64).removeprefix(BOM_UTF8).lstrip()[:1]
        if start not in (b"{", b"["):
            yield str(file.rename(file.with_suffix(".csv")))
            return
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        yield text if _is_json(text) else str(file.rename(file.with_suffix(".jsonl")))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def serve_command(  # noqa: PLR0913  # options of a verb
    exports: Annotated[
        list[str], typer.Argument(metavar="EXPORT...", help="Export folders or runs, [NAME=]PATH.", show_default=False)
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 accepts other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads per model that prepare and predict rows.")] = 2,
    device: Device = "cpu",
    precision: Annotated[str | None, typer.Option(help="fp32 or int8. Default: the export's own.")] = None,
    model_files: Files = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=NUMBER", help="Change a limit of the server (docs/serve.md)."),
    ] = None,
    run_code: RunCode = False,
) -> None:
    """Serve exported students over HTTP, without torch."""
    allow_code(run_code)
    from ..registry import optional

    for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        optional(module, "serve")
    from ..predictor import Predictor
    from ..serving.limits import Limits
    from ..serving.server_process import serve

    load = partial(Predictor.load, form=precision, model_files=model_files, device=device)
    serve(exports, host, port, threads, Limits.from_options(limit or ()), load)


def push_command(
    folder: Annotated[Path, typer.Argument(help="An export folder, or a run.", show_default=False)],
    repo: Annotated[
        str,
        typer.Argument(metavar="USER/NAME", help="The repository; or a URL in an object store.", show_default=False),
    ],
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public. Default: private.")] = False,
) -> None:
    """Upload an export to the Hugging Face Hub or to an object store."""
    from ..exporters.hub_upload import push
    from ..exporters.store_upload import push_to_store
    from ..object_store import is_url

    if is_url(repo):
        if public:
            raise UsageError("a store decides itself who may read", where="--public", hint="leave it out")
        typer.echo(push_to_store(folder, repo))
        return
    typer.echo(push(folder, repo, public))
