"""The command line: verbs only. A verb imports what it needs when it is called."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from .. import __version__
from ..console import missing_package, settle_encodings
from ..errors import SuffuseError, from_system
from ..stages import STAGES
from . import export_commands, fetch_command, inspect_commands, run_commands

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# typer brings its own copy of click, or uses the installed one: the class is found through one of its own
USAGE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"suffuse {__version__}")
        raise typer.Exit()


Version = typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")


@app.callback()
def options(version: Annotated[bool, Version] = False) -> None:
    """Distil heavy multimodal models into small students that keep working when a modality is missing."""


COMMANDS = {  # in the order of ``--help``
    "run": run_commands.run_command,
    "check": run_commands.check_command,
    "status": run_commands.status_command,
    "doctor": run_commands.doctor_command,
    **{stage.verb: run_commands.stage_command(stage.verb) for stage in STAGES.values()},
    "tune": run_commands.tune_command,
    "compare": run_commands.compare_command,
    "predict": export_commands.predict_command,
    "serve": export_commands.serve_command,
    "push": export_commands.push_command,
    "explain": inspect_commands.explain_command,
    "knowledge": inspect_commands.knowledge_command,
    "fetch": fetch_command.fetch_command,
    "init": inspect_commands.init_command,
}
for _name, _command in COMMANDS.items():
    app.command(_name, help=STAGES[_name].says if _name in STAGES else None)(_command)


def main() -> None:
    """The entry point: an error is one line, and an exit code."""
    settle_encodings()
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
        if code == 130:  # what newer typers make of Ctrl-C
            raise KeyboardInterrupt
    except SuffuseError as error:
        code = _fail(error.text(), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("stopped; call it again to go on from here", 130)
    except OSError as error:
        code = _fail(from_system(error).text(), 1)
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        code = _fail(missing.text(), 1) if missing else _unexpected(error)
    except Exception as error:
        code = _unexpected(error)
    sys.exit(code)


def _fail(text: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"error: {text}\n")
    return code


def _unexpected(error: Any) -> int:
    """Usage errors of the parser; a defect of suffuse's own in one line, with its traceback on request."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, USAGE):
        return _fail(f"{error.format_message()}\n\nhint: suffuse --help", 2)
    if os.environ.get("SUFFUSE_DEBUG"):
        raise error
    message = f"a defect in suffuse: {type(error).__name__}: {error}".splitlines()[0]
    return _fail(f"{message}\n\nhint: SUFFUSE_DEBUG=1 shows where", 1)
