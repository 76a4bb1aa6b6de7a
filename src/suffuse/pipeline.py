"""What is up to date, what is stale and why; and the run of what isn't."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, NoReturn

from . import integrity, user_parts
from .content_hashes import reference_content, source_content
from .epoch_events import Callback
from .errors import SuffuseError, UsageError, did_you_mean
from .files import read_json
from .overrides import notice
from .progress import say
from .registry import PartSettings, is_loaded
from .run import Busy, ReadOnly, Run, augment_files, flat
from .stages import STAGES, Stage
from .tracking import told
from .tuning.options import TuneOptions, check

NOTHING = (None, {})
PATIENCE = 30.0  # seconds in which nobody leads, until another process of several does


def inputs(run: Run, stage: Stage) -> dict[str, Any]:
    """Everything that decides a stage's result: recipe keys, the stages before it, and the source's content."""
    recipe = run.source_recipe.model_dump(mode="json")
    found: dict[str, Any] = {"format": stage.format}
    for key in stage.recipe:
        for name, value in _at(recipe, key.split("."), ()):
            found |= flat(value, name)
    found = {k: v for k, v in found.items() if k not in stage.limits}
    seen = _augmented(run, stage)
    found = {k: v for k, v in found.items() if not _augments(k) or (v and k.split(".")[1] in seen)}
    for key, default in (("compute.processes", 1), ("distill.teachers", "one")):  # runs from before the key stay valid
        if found.get(key) == default:
            del found[key]
    for before in stage.reads:
        stamp = run.stamp(before)
        found[f"stage {before}"] = stamp["digest"] if stamp else None
    if not stage.reads:
        then = (run.stamp(stage.verb) or {"inputs": {}})["inputs"].get("content of the source")
        found["content of the source"] = source_content(run, then)
    return found | _contents(run, stage)


def _augmented(run: Run, stage: Stage) -> set[str]:
    """Modalities whose ``augment`` a stage's result hangs on: those that its network reads in a training with views, or
    whose views are answered."""
    recipe, teacher = run.source_recipe, run.recipe.trained
    if stage.verb == "teach":
        return set(teacher.encoders) if teacher and teacher.train.augment else set()
    if stage.verb == "extract":
        return set(recipe.modalities) if recipe.extract.views else set()
    if stage.verb != "distill" or not recipe.distill.train.augment:
        return set()
    return {name for network in recipe.student.networks().values() for name in network.encoders}


def _augments(key: str) -> bool:
    return key.startswith("modalities.") and key.split(".")[2] == "augment"


def reasons(run: Run, stage: Stage, *, files: bool = True) -> list[str]:
    """Why a stage is not up to date; nothing where it is. Without ``files`` they may be gone."""
    stamp = run.stamp(stage.verb)
    if stamp is None:
        return ["continues" if run.partial(stage.verb).exists() else "not made yet"]
    texts = [_difference(key, then, now) for key, (then, now) in _changes(run, stamp, inputs(run, stage)).items()]
    if not texts and files:
        gone = [name for name in integrity.missing(run.folder, stage.verb) if name != integrity.LOG]
        texts = [f"{gone[0]} {integrity.MISSING}"] if gone else []
    return texts


def _changes(run: Run, stamp: dict, now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys that differ -> what each was and is. Before, every modality's augmentation was noted, off as well. A section
    without entries is no section."""
    then = {k: v for k, v in stamp["inputs"].items() if v or not _augments(k)}
    pairs = {key: (then.get(key), now.get(key)) for key in {**then, **now}}
    found = {key: (a, b) for key, (a, b) in pairs.items() if a != b and not (a in NOTHING and b in NOTHING)}
    parts, judging = {key.rpartition(".")[0] for key in then}, STAGES[stamp["stage"]].judging
    texts = flat(run.source_recipe.model_dump(mode="json", exclude_defaults=True))
    # A key that a version before hadn't, of a part that was there, at its default: that is what was done then.
    new = {key for key in found if key not in then and key not in texts}
    new = {key for key in new if key.rpartition(".")[0] in parts or key.startswith(judging)}
    return {key: pair for key, pair in found.items() if key not in new}


def plan(run: Run) -> dict[str, list[str]]:
    """Every stage with its reasons to run; what follows a stale stage is stale with it. Of a stage whose files were
    changed since, these files: :func:`run_all` refuses to go on from there."""
    found, memory = _to_do(run), integrity.Memory.open(run.folder)
    for verb, why in found.items():
        if not why:
            found[verb] = [str(one) for one in integrity.changes(run.folder, verb, memory=memory)][:3]
    memory.save()
    return found


def _to_do(run: Run) -> dict[str, list[str]]:
    """Every stage with its reasons to run, whatever its files hold."""
    found: dict[str, list[str]] = {}
    for stage in STAGES.values():
        why = reasons(run, stage)
        before = [b for b in stage.reads if found[b]]
        found[stage.verb] = why or [f"follows {b}" for b in before[:1]]
    return found


def run_all(run: Run, again: str | None = None, callbacks: Sequence[Callback] = ()) -> bool:
    """Do every stage that isn't up to date, in order. Returns whether there was anything to do. ``again``: a stage that
    is done even so; what it had made moves to ``previous/``. ``callbacks``: objects whose ``on_epoch_end`` is told of
    every epoch of every training.

    Raises SuffuseError where a file was changed after its stage wrote it: nothing is made of it, and nothing replaces
    it in silence.
    """
    if again is not None and again not in STAGES:
        raise UsageError("no such stage", where="--from", got=again, hint=did_you_mean(again, STAGES))
    with contextlib.ExitStack() as stack:
        read_only = _locked(run, stack)
        if again and not read_only:
            run.replace(again)
        why = _to_do(run)
        integrity.require_own(run.folder)
        integrity.require(run.folder, *(verb for verb, texts in why.items() if not texts))
        todo = {verb: texts for verb, texts in why.items() if texts}
        if read_only and (todo or again):
            _refuse(run, read_only, {**({again: ["asked for"]} if again else {}), **todo})
        if not todo:
            return False
        stack.enter_context(_executor(run, todo))
        stack.enter_context(told(run, callbacks))
        _announce(run, why)
        for verb, texts in why.items():
            say(f"{verb:<9} {'to do: ' + _first_few(texts) if texts else 'up to date'}")
        for stage in STAGES.values():
            if reasons(run, stage):
                _do(run, stage)
            elif why[stage.verb]:
                integrity.require(run.folder, stage.verb)
                say(f"{stage.verb:<9} unchanged: what it follows came out the same")
        return True


def run_stage(run: Run, verb: str, callbacks: Sequence[Callback] = ()) -> bool:
    """Do one stage, if it isn't up to date. Returns whether there was anything to do. ``callbacks``: as in
    :func:`run_all`.

    Raises SuffuseError where a stage that it builds on isn't there or is stale, or a file of it was changed.
    """
    if verb not in STAGES:
        raise SuffuseError("no such stage", got=verb, hint=did_you_mean(verb, STAGES))
    stage = STAGES[verb]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if verb == "extract":
            return _run_as_group(run, stage)
        if "compute.processes" in stage.recipe:
            return _in_group(run, stage, callbacks)
    return _alone(run, stage, callbacks)


def _executor(run: Run, verbs: Iterable[str]) -> contextlib.AbstractContextManager[None]:
    """Inside, these stages may connect to a Ray cluster, if they train and the recipe asks for one."""
    if run.recipe.compute.cluster is None or not any("compute.processes" in STAGES[verb].recipe for verb in verbs):
        return contextlib.nullcontext()
    from .engine.ray_cluster import session

    return session()


def _locked(run: Run, stack: contextlib.ExitStack) -> ReadOnly | None:
    """Take the run's lock until the stack ends. Returns why the run can only be read, or None."""
    try:
        stack.enter_context(run.locked())
    except ReadOnly as error:
        return error
    return None


def _refuse(run: Run, error: ReadOnly, todo: dict[str, list[str]]) -> NoReturn:
    verb, texts = next(iter(todo.items()))
    raise ReadOnly(
        "the run can't be written to, and isn't up to date", where=run.folder,
        got=f"{error.got}; {verb}: {_first_few(texts)}",
        hint="give the folder write access, or use --out for a run elsewhere",
    )  # fmt: skip


def run_tune(run: Run, options: TuneOptions) -> dict[str, Any]:
    """Search for a better recipe (:func:`suffuse.stages.tune.tune`); what it reads is made first, where it isn't there.

    The teacher that the store came from may be gone.
    """
    check(options, run)
    needed = {"prepare": True, "teach": False, "extract": True}  # verb -> whether its files are read
    for verb, files in needed.items():
        if reasons(run, STAGES[verb], files=files):
            run_stage(run, verb)
    integrity.require(run.folder, *STAGES)  # what is known of trainings and scores says what is tried first
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if run.recipe.compute.cluster is not None:
        say("tune      trials run on this machine alone; compute.executor is that of teach and distill")
    with run.locked():
        return import_module("suffuse.stages.tune").tune(run.selected(), options)


def _alone(run: Run, stage: Stage, callbacks: Sequence[Callback] = ()) -> bool:
    with contextlib.ExitStack() as stack:
        read_only = _locked(run, stack)
        _stands(run, stage)
        if not (why := reasons(run, stage)):
            integrity.require(run.folder, stage.verb)
            return False
        if read_only:
            _refuse(run, read_only, {stage.verb: why})
        stack.enter_context(_executor(run, [stage.verb]))
        stack.enter_context(told(run, callbacks))
        _announce(run, {stage.verb: why})
        _do(run, stage)
        return True


def _announce(run: Run, why: dict[str, list[str]]) -> None:
    """Say which overrides of the run its recipe hasn't, before anything is rebuilt by it."""
    for line in notice(run, why):
        say(line)


def _stands(run: Run, stage: Stage) -> None:
    """Raise SuffuseError where a stage that this one builds on isn't there, is stale, or isn't what it wrote."""
    for before in _builds_on(stage):
        # a student needs the store, not the teacher that it came from: its weights may be gone
        why = reasons(run, STAGES[before], files=before in stage.reads)
        if why:
            state = f"is stale: {_first_few(why)}" if run.stamp(before) else "isn't made yet"
            hint = f"`suffuse {before}` first, or `suffuse run`"
            raise SuffuseError(f"{stage.verb} needs {before}, which {state}", where=run.folder, hint=hint)
    integrity.require_own(run.folder)
    integrity.require(run.folder, *_builds_on(stage))


def _run_as_group(run: Run, stage: Stage) -> bool:
    """One of several processes at the same stage: rank 0 leads, the others do parts beside it; one that finds nobody
    leading for a while does."""
    module = import_module(f"suffuse.stages.{stage.verb}")
    first = int(os.environ.get("RANK", "0")) == 0
    _stands(run, stage)
    since = time.monotonic()
    while first or reasons(run, stage):
        if first or time.monotonic() - since > PATIENCE:
            try:
                return _alone(run, stage)
            except Busy:
                first, since = False, time.monotonic()
        mine = json.loads(json.dumps(inputs(run, stage)))
        if read_json(run.partial(stage.verb) / "inputs.json") == mine and module.led(run):
            module.join(run)
            since = time.monotonic()
        time.sleep(0.2)
    return False


def _in_group(run: Run, stage: Stage, callbacks: Sequence[Callback]) -> bool:
    """One of several processes that a launcher started for one training: rank 0 does the stage, the others what it
    tells them."""
    from .engine.distributed_launch import follow, leader

    size, rank = int(os.environ["WORLD_SIZE"]), int(os.environ.get("RANK", "0"))
    if run.recipe.compute.cluster is not None:
        import_module("suffuse.engine.ray_cluster").require_available()
    if size != run.recipe.compute.processes:
        raise UsageError(
            "the recipe and the launcher don't agree", where="compute.processes", got=run.recipe.compute.processes,
            expected=size, hint=f"--set compute.processes={size}: how many share a training decides its last digits",
        )  # fmt: skip
    if rank:
        follow(rank, size)
        return True
    with leader(size):
        return _alone(run, stage, callbacks)


def _do(run: Run, stage: Stage) -> None:
    """Run a stage into its partial folder, then move the old artefacts away and the new ones in."""
    # Idle threads sleep instead of spinning: where other work shares the cores, a step was seen 50 times faster.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
    start, now = time.perf_counter(), inputs(run, stage)
    integrity.require(run.folder, *_before(stage))
    run.begin(stage.verb, now)
    if not (run.partial(stage.verb) / "COMPLETE").exists():
        module = import_module(f"suffuse.stages.{stage.verb}")
        if _only_changed(run, stage, now, stage.training_counts):  # more trainings than it did, or fewer
            module.keep(run)
        only_judged = _only_changed(run, stage, now, stage.judging)
        if only_judged:
            module.judge_again(run.selected())
        run.replace(stage.verb)
        if not only_judged:
            getattr(module, stage.verb)(run.selected())
    run.commit(stage.verb, time.perf_counter() - start)


def _only_changed(run: Run, stage: Stage, now: dict[str, Any], keys: tuple[str, ...]) -> bool:
    """Whether a finished stage differs in some of these keys, and in nothing else."""
    changed = _changes(run, stamp, now) if (stamp := run.stamp(stage.verb)) else {}
    return bool(changed) and all(key.startswith(keys) for key in changed)


def _at(value: Any, way: list[str], done: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """The values at a dotted key, where ``*`` is any key; each with its full name."""
    if not way:
        yield ".".join(done), value
        return
    for key in list(value) if way[0] == "*" else [way[0]]:
        if way[0] != "*" or (isinstance(value[key], dict) and (len(way) == 1 or way[1] in value[key])):
            yield from _at(value[key], way[1:], (*done, key))


def _builds_on(stage: Stage) -> list[str]:
    """The stages that it reads, and those that these read, in order."""
    found = set(stage.reads)
    for verb in reversed(STAGES):
        if verb in found:
            found.update(STAGES[verb].reads)
    return [verb for verb in STAGES if verb in found]


def _before(stage: Stage) -> list[str]:
    """Every stage that comes before it: some of what these wrote is read where it is there."""
    return list(STAGES)[: list(STAGES).index(stage.verb)]


def _difference(key: str, then: Any, now: Any) -> str:
    if key.startswith("stage "):
        return f"{key.removeprefix('stage ')} has changed"
    if key == "format":
        return "this version of suffuse writes another form"
    if key == "content of the source":
        return "the source's content has changed"
    if key.startswith("content of "):
        return f"what {key.removeprefix('content of ')} names has changed"
    return f"{key}: {_short(then)} -> {_short(now)}"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _first_few(texts: list[str]) -> str:
    return "; ".join(texts[:3]) + (f"; and {len(texts) - 3} more" if len(texts) > 3 else "")


def _contents(run: Run, stage: Stage) -> dict[str, Any]:
    """Hashes of the files that parts' settings name. One that is gone counts as unchanged: its results stay."""
    parts: dict[str, PartSettings] = {}
    heads = {key.partition(".")[0] for key in stage.recipe}
    recipe = run.source_recipe
    candidates = {f"student.candidates.{name}": network for name, network in recipe.student.candidates.items()}
    for who, network in {**recipe.networks, **candidates}.items():
        if who.partition(".")[0] in heads:
            parts |= {f"{who}.encoders.{n}": e for n, e in network.encoders.items()}
            parts |= {f"{who}.fusion": network.fusion}
    parts |= {f"distill.losses.{n}": loss for n, loss in run.recipe.distill.losses.items() if stage.verb == "distill"}
    parts |= {f"modalities.{n}": m for n, m in run.recipe.modalities.items() if "modalities" in heads}
    parts |= {f"data.derive.{n}": d for n, d in run.recipe.data.derive.items() if "data" in heads}
    if isinstance(run.recipe.teacher, PartSettings) and "teacher" in heads:
        parts["teacher"] = run.recipe.teacher
    named, seen = _baseline_files(run) if stage.verb == "distill" else {}, _augmented(run, stage)
    then, found = (run.stamp(stage.verb) or {"inputs": {}})["inputs"], {}
    for where, chosen in parts.items():
        references = {f"{where}.{key}": reference for key, reference in chosen.references().items()}
        named |= {k: r for k, r in references.items() if not _augments(k) or k.split(".")[1] in seen}
        if not is_loaded(chosen):  # which files it names besides its code, the code says
            found |= {k: v for k, v in then.items() if k.startswith(f"content of {where}.")}
    for probe in run.recipe.evaluate.probes if stage.verb == "evaluate" else ():
        if user_parts.in_file(probe):
            named[probe] = user_parts.file_of_kind(probe)
    contents = {f"content of {key}": reference_content(run, reference) for key, reference in named.items()}
    return found | {name: content or then.get(name) for name, content in contents.items()}


def _baseline_files(run: Run) -> dict[str, str]:
    """The files that the baseline's own views are made with, under their names."""
    files = {name: augment_files(modality) for name, modality in run.recipe.baseline_modalities().items()}
    return {f"distill.baseline.augment.{n}.{key}": name for n, named in files.items() for key, name in named.items()}
