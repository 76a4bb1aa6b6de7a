"""The verb that downloads the files of a table: fetch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError, visible
from ..files import check_writable, json_text
from .arguments import Delimiter, Encoding, Json, table_format
from .next_step import quoted, say_next

Pictures = Annotated[
    list[str] | None, typer.Option("--image", metavar="COLUMN", help="Addresses of pictures; may be repeated.")
]
Recordings = Annotated[
    list[str] | None, typer.Option("--audio", metavar="COLUMN", help="Addresses of recordings; may be repeated.")
]


def fetch_command(  # noqa: PLR0913 (each is an option of the command line)
    rows: Annotated[
        str, typer.Argument(help="A table with http(s) addresses of pictures or recordings.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The .parquet file to write. Default: NAME-fetched.parquet beside the table."),
    ] = None,
    image: Pictures = None,
    audio: Recordings = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Downloads at a time.")] = 8,
    max_mb: Annotated[float, typer.Option(min=0.001, max=256, help="Largest file, in MB.")] = 64.0,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds without an answer or a byte.")] = 30.0,
    retries: Annotated[int, typer.Option(min=0, max=20, help="Further attempts where a server may recover.")] = 3,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also open addresses of this machine and of private networks.")
    ] = False,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    json_: Json = False,
) -> None:
    """Download the pictures and recordings that a table names by address, and write the table with their paths."""
    from ..registry import optional

    optional("urllib3", "fetch")
    from ..fetching.download import Limits
    from ..fetching.fetch import FetchOptions, fetch, summary_lines

    check_writable(out)
    limits = Limits(int(max_mb * 10**6), timeout, retries=retries, allow_private=allow_private)
    done = fetch(rows, out, FetchOptions(_kinds(image, audio), parallel, limits, table_format(encoding, delimiter)))
    for line in summary_lines(rows, done):
        typer.echo(visible(line), err=True)
    if json_:
        typer.echo(json_text(done.to_json()))
    else:
        say_next(f"suffuse init {quoted(done.manifest)} --target COLUMN")


def _kinds(image: Sequence[str] | None, audio: Sequence[str] | None) -> dict[str, str]:
    """Column -> image or audio. Raises UsageError where a column is both."""
    if both := set(image or ()) & set(audio or ()):
        raise UsageError("a column has two roles", where=f"'{min(both)}'", got="image and audio")
    return dict.fromkeys(image or (), "image") | dict.fromkeys(audio or (), "audio")
