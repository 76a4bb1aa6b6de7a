"""The command line: verbs only. A verb imports what it needs when it is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__
from .console import missing_package, settle_encodings
from .errors import SuffuseError, UsageError, from_system, visible
from .files import check_writable, json_text, write_text
from .integrity import require
from .stages import STAGES

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# typer brings its own copy of click, or uses the installed one: the class is found through one of its own
USAGE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
Where = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe (.yaml) or a run folder.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="a.b=VALUE", help="Override a recipe key.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run folder; runs/NAME if not given.")]
From = Annotated[str | None, typer.Option("--from", metavar="STAGE", help="Do this stage again; keep what it made.")]
Files = Annotated[
    str | None, typer.Option("--model-files", help="Folder of files that the model names; none are opened without it.")
]
RunCode = Annotated[bool, typer.Option("--run-code", help="Run the code of your own that the recipe names.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"suffuse {__version__}")
        raise typer.Exit()


Version = typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")


@app.callback()
def options(version: Annotated[bool, Version] = False) -> None:
    """Distil heavy multimodal models into small students that keep working when a modality is missing."""


@app.command("run")
def run_command(where: Where, set_: Set = None, out: Out = None, from_: From = None, json_: Json = False) -> None:
    """Do every stage that isn't up to date, from raw rows to the report."""
    from . import overrides, pipeline

    run = _open(where, set_, out)
    did = pipeline.run_all(run, from_)
    if not did:
        typer.echo("everything is up to date", err=True)
    if json_:
        from .report.run_summary import summary

        typer.echo(json_text({"did": did, **summary(run)}))
    else:
        show(run)
    if set_:
        typer.echo(visible(overrides.repeat(run, where)), err=True)


@app.command("check")
def check_command(
    where: Where,
    set_: Set = None,
    out: Out = None,
    full: Annotated[bool, typer.Option("--full", help="Read every cell, however long it takes.")] = False,
    measure: Annotated[bool, typer.Option("--measure", help="Build the networks and time some steps.")] = False,
    json_: Json = False,
) -> None:
    """Look at the recipe and its table before anything is trained: what is wrong, what will be done, what it costs."""
    from .prepare.check.check_text import lines
    from .prepare.check.table_check import check

    run = _open(where, set_, out)
    found = check(run, full)
    if measure and found.sample:
        from .evaluation.training_time import effort
        from .prepare.check.cost_estimate import apply_measurements

        apply_measurements(found, run.recipe, effort(run.recipe, found.sample))
    typer.echo(json_text(found.to_json()) if json_ else "\n".join(map(visible, lines(found))))
    raise typer.Exit(0 if found.runs else 1)


@app.command("status")
def status_command(where: Where, set_: Set = None, out: Out = None, json_: Json = False) -> None:
    """Say which stages are up to date, why the others aren't, and which overrides the run was made with."""
    from . import overrides, pipeline

    run = _open(where, set_, out)
    plan = pipeline.plan(run)
    lines = overrides.status_lines(run, plan)
    typer.echo(json_text(overrides.status_json(run, plan)) if json_ else "\n".join(map(visible, lines)))


@app.command("doctor")
def doctor_command(
    where: Where, set_: Set = None, out: Out = None, run_code: RunCode = False, json_: Json = False
) -> None:
    """Audit a run: thirty-four things that a distillation tool gets wrong, and how this run stands. Changes nothing."""
    from .audit import audit
    from .audit.audit_text import lines, to_json
    from .audit.items import BROKEN

    found = audit(_open(where, set_, out), run_code)
    typer.echo(json_text(to_json(found)) if json_ else "\n".join(map(visible, lines(found))))
    raise typer.Exit(1 if any(one.state == BROKEN for one in found) else 0)


def _stage(verb: str, says: str) -> None:
    def command(where: Where, set_: Set = None, out: Out = None, json_: Json = False) -> None:
        from . import pipeline

        run = _open(where, set_, out)
        did = pipeline.run_stage(run, verb)
        if not did:
            typer.echo(f"{verb} is up to date", err=True)
        if json_:
            files = sorted((run.stamp(verb) or {"outputs": {}})["outputs"])
            typer.echo(json_text({"stage": verb, "did": did, "run": str(run.folder), "files": files}))

    app.command(verb, help=says)(command)


for _each in STAGES.values():
    _stage(_each.verb, _each.says)


@app.command("tune")
def tune_command(  # noqa: PLR0913  # options of a verb
    where: Where,
    set_: Set = None,
    run_: Annotated[Path | None, typer.Option("--run", help="The run folder; runs/NAME if not given.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long it may search.")] = 30.0,
    trials: Annotated[int | None, typer.Option(min=1, help="The most trials of the student.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Trainings side by side.")] = 2,
    objective: Annotated[
        list[str] | None, typer.Option("--objective", help="latency, size, beside quality; both if not given.")
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Give the labels-only baseline as many trials.")
    ] = True,
    prefer: Annotated[
        str, typer.Option(help="quality; or small: the smallest within one standard error of the best.")
    ] = "quality",
    largest: Annotated[float, typer.Option(min=0.05, help="Size and latency, times the recipe's student's.")] = 1.0,
    longest: Annotated[float, typer.Option(min=0.5, help="Epochs, times the recipe's.")] = 2.0,
    scorecards: Annotated[
        bool, typer.Option("--scorecards/--no-scorecards", help="Let scores, which are of test rows, order the search.")
    ] = True,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where the chosen recipe goes.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search for a better recipe on what is stored of the teacher; choose on validation."""
    from . import pipeline
    from .tuning.options import How
    from .tuning.pareto import OBJECTIVES

    check_writable(out)
    goals = tuple(dict.fromkeys((OBJECTIVES[0], *(objective or OBJECTIVES))))  # quality always is one
    how = How(minutes, trials, processes, goals, baseline, prefer, largest, longest, scorecards=scorecards, out=out)
    run = _open(where, set_, run_)
    result = pipeline.run_tune(run, how)
    from .tuning.search_results import talk

    text = json_text(result) if json_ else "\n".join(map(visible, talk(result, run.folder)))
    typer.echo(text)


@app.command("compare")
def compare_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A .html file for the page.")] = None,
    json_: Json = False,
) -> None:
    """Set finished runs side by side: scores, costs, missing inputs, recipes, and paired differences."""
    from .report import run_comparison

    if out is not None and out.exists():
        raise UsageError("the page is there already", where=out, hint="choose another name with -o")
    check_writable(out)
    found = run_comparison.opened(runs)
    typer.echo(
        json_text(run_comparison.plain(found)) if json_ else "\n".join(map(visible, run_comparison.lines(found)))
    )
    if out is not None:
        write_text(out, run_comparison.render(found))
        typer.echo(f"page: {out}", err=True)


@app.command("predict")
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
    from .stages.predict import Options, predict

    done = predict(export, rows, out, Options(root, within, threads, top, threshold, form, model_files, raw))
    typer.echo(f"{done.rows:,} answers in {out}", err=True)
    if json_:
        typer.echo(json_text(done.to_json()))


@app.command("serve")
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
    from .registry import optional

    for module in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        optional(module, "serve")
    from .serving.limits import Limits
    from .serving.server_process import serve

    serve(exports, host, port, threads, Limits.told(limit or ()), form, model_files)


@app.command("explain")
def explain_command(
    where: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    row: Annotated[str, typer.Option("--row", help="The row's id, or #N: the N-th.", show_default=False)],
    target: Annotated[str | None, typer.Option("--target", help="Which one; the first if not given.")] = None,
    method: Annotated[str, typer.Option("--method", metavar="auto|gradients|occlusion")] = "auto",
    exported: Annotated[bool, typer.Option("--exported", help="The exported file in place of the student.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="An .html file, beside what is printed.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what made one answer: which modality, region, words, seconds, columns; teacher and student side by side."""
    from .explaining.explanation_text import lines
    from .stages.explain import How, explain

    if method not in ("auto", "gradients", "occlusion"):
        raise UsageError("no such method", where="--method", got=method, expected="auto, gradients or occlusion")
    if not where.is_dir():
        raise UsageError("no such run", where=where, expected="a run folder")
    if out is not None and out.suffix != ".html":
        raise UsageError("can't write this kind of page", where="--out", got=out.name, expected="an .html file")
    check_writable(out)
    run = _open(where, None, None)
    found = explain(run, row, How(target, method, exported))
    if out is not None:
        from .report.explanation_view import page

        write_text(out, page(run, found))
    typer.echo(json_text(found) if json_ else "\n".join(map(visible, lines(found))))


@app.command("knowledge")
def knowledge_command(
    action: Annotated[
        str,
        typer.Argument(
            metavar="show|verify|export",
            help="Show what the store holds; read all of it and ask the teacher again; write it as a table.",
            show_default=False,
        ),
    ],
    where: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A .parquet file, for export.")] = None,
    json_: Json = False,
) -> None:
    """Look into a run's knowledge store."""
    if action not in ("show", "verify", "export"):
        raise UsageError("no such action", where="suffuse knowledge", got=action, expected="show, verify or export")
    if not where.is_dir():
        raise UsageError("no such run", where=where, expected="a run folder")
    require(where.resolve(), *(("extract",) if action == "show" else ("prepare", "teach", "extract")))
    if action == "export":
        from .knowledge.parquet_export import export

        check_writable(target := out or where / "knowledge.parquet")
        if target.suffix != ".parquet":
            raise UsageError("can't write this kind of table", where="--out", got=target.name, expected=".parquet")
        count = export(where, target)
        said, text = {"rows": count, "file": str(target)}, f"{count:,} answers in {target}"
    elif action == "verify":
        from .stages.extract import verify

        said = verify(_open(where, None, None))
        text = "all {arrays} arrays are as they were written ({bytes:,} bytes); ".format(**said)
        text += f"rows computed again differ by {said['worst']:.2g} of what is tolerated at the most"
    else:
        from .knowledge import manifest, manifest_text

        said, text = manifest.read(where / "knowledge"), "\n".join(manifest_text.show(where / "knowledge"))
    typer.echo(json_text(said) if json_ else "\n".join(map(visible, text.splitlines())))


@app.command("init")
def init_command(
    rows: Annotated[
        str, typer.Argument(help="A table: .csv, .parquet, .jsonl, or a saved dataset.", show_default=False)
    ],
    target: Annotated[str, typer.Option(help="The column to predict.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the recipe goes.")] = Path("recipe.yaml"),
    root: Annotated[str | None, typer.Option(help="Folder that file paths start from.")] = None,
    within: Annotated[str | None, typer.Option(help="Folder that no file may lie outside of; the root.")] = None,
    json_: Json = False,
) -> None:
    """Look at a table's columns and propose a recipe for it."""
    from .prepare.recipe_proposal import propose

    if out.exists():
        raise UsageError("the recipe is there already", where=out, hint="choose another name with --out")
    check_writable(out)
    proposal = propose(rows, target, root, out.parent, within)
    for column in proposal.columns:
        typer.echo(visible(f"{column.name:<20} {column.role:<10} {column.reason}"), err=True)
    write_text(out, proposal.text)
    typer.echo(f"\nwrote {out}; look at it, then: suffuse run {out}", err=True)
    if json_:
        columns = [{"name": c.name, "role": c.role, "reason": c.reason} for c in proposal.columns]
        typer.echo(json_text({"recipe": str(out), "columns": columns}))


def show(run) -> None:
    """The verdicts on stdout, the tables of results, the warnings, and where the report is."""
    from .report.terminal import lines

    typer.echo("\n".join(map(visible, lines(run))))


def _open(where: Path, overrides: list[str] | None, out: Path | None):
    from .run import Run

    return Run.open(where, tuple(overrides or ()), out)


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
    said = f"a defect in suffuse: {type(error).__name__}: {error}".splitlines()[0]
    return _fail(f"{said}\n\nhint: SUFFUSE_DEBUG=1 shows where", 1)
