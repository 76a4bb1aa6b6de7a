"""The process: exports in, a socket out, and an end that loses no accepted request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from ..errors import UsageError
from ..predictor import SIGNATURE, Predictor
from ..progress import say
from .app import application
from .limits import Limits

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def serve(exports: Sequence[str], host: str, port: int, threads: int, limits: Limits) -> None:
    """Serve these exports or runs, [NAME=]PATH, until a signal ends it."""
    predictors = {name: Predictor.load(folder) for name, folder in named(exports).items()}
    app = application(predictors, limits, threads)
    say(f"serve     {', '.join(predictors)} at http://{host}:{port}")
    uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False)).run()


def named(exports: Sequence[str]) -> dict[str, Path]:
    """Name -> export folder. A run is called like its folder, and so is its export. Raises UsageError."""
    found: dict[str, Path] = {}
    for one in exports:
        name, equals, path = one.partition("=")
        folder = Path(path if equals else one)
        folder = folder / "export" if (folder / "export" / SIGNATURE).exists() else folder
        place = folder.resolve()
        name = name if equals else place.parent.name if place.name == "export" else place.name
        if not NAME.fullmatch(name):
            raise UsageError("this can't be a model's name", got=f"'{name}'", hint="name it yourself: NAME=PATH")
        if name in found:
            raise UsageError("two models have one name", got=f"'{name}'", hint="name them yourself: NAME=PATH")
        found[name] = folder
    return found
