"""Verbs that make a run, or tell how it stands: run, check, status, doctor, every stage, tune, compare."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, visible
from ..files import check_writable, json_text, write_text
from .arguments import (
    From,
    Json,
    MaxLatency,
    MaxParameters,
    MaxSize,
    Minutes,
    Out,
    Preset,
    RunCode,
    RunOut,
    Set,
    TableOrRecipe,
    Target,
    TeacherPreset,
    Where,
    open_run,
    student_budget,
)
from .next_step import after_run, after_stage, arguments, quoted, say_next

if TYPE_CHECKING:
    from ..run import Run


def run_command(  # noqa: PLR0913  # options of a verb
    where: TableOrRecipe,
    set_: Set = None,
    out: RunOut = None,
    from_: From = None,
    target: Target = None,
    minutes: Minutes = None,
    preset: Preset = None,
    teacher: TeacherPreset = None,
    max_parameters: MaxParameters = None,
    max_size: MaxSize = None,
    max_latency_ms: MaxLatency = None,
    run_code: RunCode = False,
    tables: Annotated[bool, typer.Option("--tables", help="Also print all tables of results.")] = False,
    json_: Json = False,
) -> None:
    """Run every stage that isn't up to date, from raw rows to the report. Of a table: propose a recipe first."""
    from .. import overrides, pipeline

    target = target or _class_label(where)
    limits = student_budget(max_parameters, max_size, max_latency_ms)
    if target is not None:
        run, did = _run_table(where, target, (set_, out, from_, minutes, preset, limits, teacher)), True
    else:
        budget = {f"--max-{key.replace('_', '-')}": limit for key, limit in limits.items()}
        for option, value in {"--minutes": minutes, "--preset": preset, "--teacher": teacher, **budget}.items():
            if value is not None:
                hint = "suffuse run TABLE --target COLUMN"
                hint += "; of a recipe: student.budget" if option in budget else ""
                raise UsageError("this goes with a table", where=option, hint=hint)
        run = open_run(_recipe(where), set_, out, run_code)
        did = pipeline.run_all(run, from_)
    if not did:
        typer.echo("everything is up to date", err=True)
    if json_:
        from ..report.terminal import summary

        typer.echo(json_text({"did": did, **summary(run)}))
    else:
        show(run, tables)
    if set_:
        typer.echo(visible(overrides.repeat(run, Path(where) if target is None else _recipe_of(run))), err=True)
    if not json_:
        say_next(after_run(run))


def _class_label(where: str) -> str | None:
    """The target of a folder of pictures or recordings by class, which needs no name; None of anything else."""
    from .. import sources
    from ..recipe import is_run

    folder = Path(where)
    return "label" if folder.is_dir() and not is_run(folder) and sources.is_class_folder(folder) else None


def _recipe(where: str) -> Path:
    """The path of a recipe or run. Raises UsageError where it is the name of a table elsewhere."""
    from .. import sources

    if sources.load_remote(where):
        hint = f"`suffuse run {shlex.quote(where)} --target COLUMN` proposes a recipe and runs it"
        raise UsageError("this is a table, and no recipe", where=where, hint=hint)
    return Path(where)


def _recipe_of(run: Run) -> Path:
    from ..table_run import recipe_file

    return recipe_file(run.folder)


def _run_table(source: str, target: str, options: tuple[Any, ...]) -> Run:
    """Propose a recipe for a table, write it and run it."""
    from .. import sources
    from ..prepare.recipe_proposal import Choices
    from ..table_run import TableRun, choose_folder, run_table, table_name
    from ..time_budget import TimeBudget

    set_, out, from_, minutes, preset, limits, teacher = options
    budget = None if minutes is None else TimeBudget(minutes)
    if from_ is not None:
        raise UsageError("a new run has no stage to start from", where="--from", hint="leave --target out")
    where, is_table = Path(source), sources.load_remote(source) or sources.is_table(Path(source))
    if not is_table and (where.suffix in (".yaml", ".yml") or where.is_dir()):
        got = f"'{where}', which is no table"
        raise UsageError("a recipe names its target itself", where="--target", got=got, hint="leave --target out")
    folder = choose_folder(table_name(source), out)
    choices = Choices(student_budget=limits, teacher=teacher)
    return run_table(TableRun(source, target, folder, preset or "good", choices, tuple(set_ or ())), budget)


def check_command(
    where: Where,
    set_: Set = None,
    out: Out = None,
    full: Annotated[bool, typer.Option("--full", help="Read every cell instead of a sample.")] = False,
    measure: Annotated[bool, typer.Option("--measure", help="Build the networks and time some steps.")] = False,
    json_: Json = False,
) -> None:
    """Check recipe and data before training: problems, how cells are transformed, estimated cost."""
    from ..prepare.check.check_text import lines
    from ..prepare.check.table_check import check

    run = open_run(where, set_, out)
    table_check = check(run, full)
    if measure and table_check.sample:
        from ..evaluation.training_time import estimate_training
        from ..prepare.check.cost_estimate import apply_measurements

        apply_measurements(table_check, run.recipe, estimate_training(run.recipe, table_check.sample))
    typer.echo(json_text(table_check.to_json()) if json_ else "\n".join(map(visible, lines(table_check))))
    if not json_:
        same = arguments(where, set_, out)
        say_next(f"suffuse run {same}" if table_check.runs else f"suffuse check {same}  # once what STOPS it is mended")
    raise typer.Exit(0 if table_check.runs else 1)


def status_command(where: Where, set_: Set = None, out: Out = None, json_: Json = False) -> None:
    """Show which stages are up to date, why the others aren't, and the run's overrides."""
    from .. import overrides, pipeline

    run = open_run(where, set_, out)
    plan = pipeline.plan(run)
    lines = overrides.status_lines(run, plan)
    typer.echo(json_text(overrides.status_json(run, plan)) if json_ else "\n".join(map(visible, lines)))
    if not json_:
        say_next(f"suffuse run {arguments(where, set_, out)}" if any(plan.values()) else after_run(run))


def doctor_command(
    where: Where, set_: Set = None, out: Out = None, run_code: RunCode = False, json_: Json = False
) -> None:
    """Audit a run against thirty-four common mistakes of distillation tools. Changes nothing."""
    from ..audit import audit
    from ..audit.auditor import lines, to_json
    from ..audit.items import BROKEN

    items = audit(open_run(where, set_, out, run_code), run_code)
    broken = [str(item.item.number) for item in items if item.state == BROKEN]
    typer.echo(json_text(to_json(items)) if json_ else "\n".join(map(visible, lines(items))))
    if not json_:
        same, numbers = arguments(where, set_, out), ", ".join(broken)
        say_next(f"suffuse status {same}  # see {numbers} above" if broken else f"suffuse run {same}")
    raise typer.Exit(1 if broken else 0)


def show(run: Run, tables: bool = False) -> None:
    """The summary of a run on stdout, after all its tables where these are wanted."""
    from ..report.terminal import summary_lines, terminal_lines

    typer.echo("\n".join(map(visible, terminal_lines(run) if tables else summary_lines(run))))


def stage_command(verb: str) -> Callable[..., None]:
    """The command of one stage."""

    def command(
        where: Where, set_: Set = None, out: Out = None, run_code: RunCode = False, json_: Json = False
    ) -> None:
        from .. import pipeline

        run = open_run(where, set_, out, run_code)
        did = pipeline.run_stage(run, verb)
        if not did:
            typer.echo(f"{verb} is up to date", err=True)
        if json_:
            files = sorted((run.stamp(verb) or {"outputs": {}})["outputs"])
            typer.echo(json_text({"stage": verb, "did": did, "run": str(run.folder), "files": files}))
        else:
            say_next(after_stage(verb, arguments(where, set_, out), run))

    return command


def tune_command(  # noqa: PLR0913  # options of a verb
    where: Where,
    set_: Set = None,
    run_: Annotated[Path | None, typer.Option("--run", help="The run folder; runs/NAME if not given.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Duration of the search.")] = 30.0,
    trials: Annotated[int | None, typer.Option(min=1, help="Largest number of student trials.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Trainings side by side.")] = 2,
    objective: Annotated[
        list[str] | None, typer.Option("--objective", help="Objective beside quality: latency or size. Default: both.")
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Give the labels-only baseline as many trials.")
    ] = True,
    prefer: Annotated[
        str, typer.Option(help="quality, or small: the smallest within one standard error of the best.")
    ] = "quality",
    max_cost: Annotated[
        float, typer.Option(min=0.05, help="Largest size and latency, relative to the recipe's student.")
    ] = 1.0,
    max_epochs: Annotated[float, typer.Option(min=0.5, help="Most epochs, relative to the recipe.")] = 2.0,
    scorecards: Annotated[
        bool, typer.Option("--scorecards/--no-scorecards", help="Let test scores of the run order the trials.")
    ] = True,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File for the chosen recipe.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search for a better recipe with the stored teacher outputs, on validation rows."""
    from .. import pipeline
    from ..tuning.options import TuneOptions
    from ..tuning.pareto import OBJECTIVES

    check_writable(out)
    goals = tuple(dict.fromkeys((OBJECTIVES[0], *(objective or OBJECTIVES))))  # quality always is one
    options = TuneOptions(
        minutes, trials, processes, goals, baseline, prefer, max_cost, max_epochs, scorecards=scorecards, out=out
    )
    run = open_run(where, set_, run_)
    result = pipeline.run_tune(run, options)
    from ..tuning.search_results import result_lines

    text = json_text(result) if json_ else "\n".join(map(visible, result_lines(result, run.folder)))
    typer.echo(text)


def compare_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run folders.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the comparison to this .html file.")] = None,
    json_: Json = False,
) -> None:
    """Compare finished runs: scores, cost, missing modalities, recipes, and paired differences."""
    from ..report import run_comparison

    if out is not None and out.exists():
        raise UsageError("the page is there already", where=out, hint="choose another name with -o")
    check_writable(out)
    comparison = run_comparison.open_runs(runs)
    lines = run_comparison.terminal_lines(comparison)
    typer.echo(json_text(run_comparison.to_json(comparison)) if json_ else "\n".join(map(visible, lines)))
    if out is not None:
        write_text(out, run_comparison.render(comparison))
        typer.echo(f"page: {out}", err=True)
    if not json_:
        folders = " ".join(quoted(run) for run in runs)
        say_next(f"open {quoted(out)}" if out else f"suffuse compare {folders} -o comparison.html")
