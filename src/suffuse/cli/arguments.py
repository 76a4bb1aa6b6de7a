"""Arguments and options that several verbs share, and the run that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..run import Run

Where = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe (.yaml) or a run folder.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="a.b=VALUE", help="Override a recipe key.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run folder; runs/NAME if not given.")]
From = Annotated[
    str | None, typer.Option("--from", metavar="STAGE", help="Run this stage again, even if it is up to date.")
]
Files = Annotated[
    str | None, typer.Option("--model-files", help="Folder of files that an export names outside itself.")
]
RunCode = Annotated[bool, typer.Option("--run-code", help="Run functions that the recipe names: torch, sklearn.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_run(where: Path, overrides: list[str] | None = None, out: Path | None = None) -> Run:
    """The run of a recipe or of a run folder."""
    from ..run import Run

    return Run.open(where, tuple(overrides or ()), out)
