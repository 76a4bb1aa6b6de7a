"""Checks that measure a run again. Each takes the evidence and returns an item's state and the fact that shows it.

A check never repairs, and doesn't rely on what a stage reported where it can measure: hashes are computed again, rows
are looked up again, scores are computed from the stored logits.
"""

from __future__ import annotations

import csv
from collections.abc import Callable

import numpy as np
from safetensors import safe_open

from ..engine.inference import score
from ..engine.seed_selection import best_seed
from ..engine.student_training import jobs
from ..errors import SuffuseError
from ..evaluation.convergence import FILE as CONVERGENCE
from ..evaluation.convergence import longer_trainings
from ..evaluation.slices import leaked_rows
from ..evaluation_log import evaluations
from ..files import parsing, read_json, read_lines
from ..integrity import LOG
from ..knowledge import manifest
from ..knowledge.fingerprint import compare, expected
from ..knowledge.row_reuse import find_keys
from ..model import open_model
from ..prepare.quarantine import HIGH_SHARE, LeftOut
from ..registry import TeacherSettings
from ..teachers.factory import open_teacher
from ..types import CLASSES, LABELS, TOKENS
from .evidence import Absent, Evidence, unknown_files, verify_files
from .items import BROKEN, KEPT, UNCHECKED, WARNING, Verdict
from .training_rows import chosen, labels, pairs, standardised

SCORE_TOLERANCE = 5e-3  # of the main metric: float16 may turn a tie
OVERFIT = 0.98  # share of right answers on training rows from which a teacher repeats their labels
CHANGED_PREDICTIONS = 1e-3  # share of predictions that an encoding may change
MIN_SEEDS = 3
MAX_NAMED = 5  # files


def frozen(e: Evidence) -> Verdict:
    """The teacher's hash, computed again. One that runs the user's code is opened only with ``run_code``."""
    teacher = e.run.recipe.teacher
    if (
        isinstance(teacher, TeacherSettings)
        and not e.run_code
        and any(t.RUNS_CODE for t in teacher.everyone().values())
    ):
        return UNCHECKED, "opening it runs the code that the recipe names; `suffuse doctor --run-code` does"
    stored = e.manifest["fingerprint"]["teacher"]
    current = open_teacher(e.run, e.columns).fingerprint()
    if current == stored:
        return KEPT, f"its hash is {current[:12]}, as in the store"
    return BROKEN, f"its hash is {current[:12]}, the store was made with {stored[:12]}"


def scored(e: Evidence) -> Verdict:
    """Its score on validation, from the stored logits."""
    validation = e.teacher.get("validation")
    if not validation:
        return BROKEN, "nobody measured it"
    rows = e.columns.labelled("validation")
    stored = e.logits[find_keys(e.keys, e.columns.key[rows])]
    known = ~np.isnan(stored).any(1)
    if not known.any():
        return WARNING, "it answers no validation row"
    name, recorded = next(iter(validation.items()))
    measured = score(e.columns.spec, stored[known], e.columns.target[rows][known])[name]
    state = KEPT if abs(measured - recorded) <= SCORE_TOLERANCE or not known.all() else BROKEN
    return state, f"{name} {recorded:.4f} when it was measured, {measured:.4f} in the store"


def classes(e: Evidence) -> Verdict:
    """The names of the store's outputs."""
    stored, current = e.manifest["fingerprint"]["classes"], list(e.columns.spec.classes)
    if stored == current:
        return KEPT, f"all {len(current)} names, in order"
    return BROKEN, f"{len(set(stored) ^ set(current))} names differ, or their order"


def overfit(e: Evidence) -> Verdict:
    """The teacher's score on the training rows."""
    spec, rows = e.columns.spec, e.columns.labelled("train")
    kinds = {head.kind for head in spec.heads}
    if not kinds & {CLASSES, LABELS, TOKENS}:
        return KEPT, "numbers have no such ceiling"
    stored = e.logits[find_keys(e.keys, e.columns.key[rows])]
    known = ~np.isnan(stored).any(1)
    if not known.any():
        return WARNING, "it answers no labelled training row"
    name, value = next(iter(score(spec, stored[known], e.columns.target[rows][known]).items()))
    folded = bool(e.run.recipe.trained and e.run.recipe.trained.folds)
    if value >= OVERFIT and not folded:
        hint = "; out-of-fold targets: `teacher.folds: 5`" if e.run.recipe.trained else ""
        return WARNING, f"{name} {value:.4f} on its training rows{hint}"
    return KEPT, f"{name} {value:.4f} on its training rows" + (", out of fold" if folded else "")


def keys(e: Evidence) -> Verdict:
    """Training and validation rows that the store holds, and keys that occur twice."""
    rows = np.concatenate([e.columns.rows("train"), e.columns.rows("validation")])
    missing = int((find_keys(e.keys, e.columns.key[rows]) < 0).sum())
    twice = len(e.keys) - len(np.unique(e.keys))
    state = BROKEN if missing or twice else KEPT
    return state, f"{len(rows) - missing:,} of {len(rows):,} rows found, {twice} keys twice"


def fingerprint(e: Evidence) -> Verdict:
    """The fingerprint of the store against that of the run."""
    stored = e.manifest["fingerprint"]
    try:
        compare(stored, expected(e.run, e.columns.spec, stored), e.run.path("knowledge"))
    except SuffuseError as error:
        return BROKEN, error.line()
    return KEPT, f"{len(stored)} parts: {', '.join(stored)}"


def views(e: Evidence) -> Verdict:
    """Whether students see augmented rows that the teacher didn't see."""
    stored = {b.view for b in manifest.blocks(e.manifest)} - {None}
    training = e.run.recipe.distill.train
    if stored:
        return KEPT, f"{len(stored)} views are stored, and replayed from their seed"
    if training.augment:
        return WARNING, "students see augmented rows, the teacher saw them as prepared; `extract.views` stores views"
    return KEPT, "none: student and teacher see rows as prepared"


def encoding(e: Evidence) -> Verdict:
    """The measured cost of the store's encoding."""
    cost = e.manifest["encoding"]
    state = WARNING if cost["same_argmax"] < 1 - CHANGED_PREDICTIONS else KEPT
    return state, f"mean KL {cost['mean_kl']:.2g}, {cost['same_argmax']:.4%} of the answers stay"


def bytes_(e: Evidence) -> Verdict:
    """Every file's hash, computed again, whatever was verified before."""
    count, problems = verify_files(e.run.folder)
    if not count:
        raise Absent("stamps")
    if problems:
        return BROKEN, _first(problems, "; ")
    unknown = unknown_files(e.run.folder)
    if unknown:
        return WARNING, f"{count} files; written by no stage: {_first(unknown, ', ')}"
    return KEPT, f"{count} files"


def _first(texts: list[str], separator: str) -> str:
    further = f", and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return separator.join(texts[:MAX_NAMED]) + further


def splits(e: Evidence) -> Verdict:
    """Test rows in the store, and groups in two splits."""
    test = e.columns.rows("test")
    known = int((find_keys(e.keys, e.columns.key[test]) >= 0).sum())
    pairs = np.unique(np.stack([e.columns.group, e.columns.split.astype(np.int64)], axis=1), axis=0)
    split_groups = len(pairs) - len(np.unique(pairs[:, 0]))
    copies = int(leaked_rows(e.columns, test).get("contents", np.zeros(1)).sum())
    text = f"{known} of {len(test):,} test rows in it, {split_groups} groups in two splits"
    text += f", {copies} test rows with contents that stand in other splits" if copies else ""
    return BROKEN if known or split_groups else WARNING if copies else KEPT, text


def matrix(e: Evidence) -> Verdict:
    """The recipe is valid, so its losses fit its targets."""
    return KEPT, ", ".join(f"{name}: {loss.kind}" for name, loss in e.run.recipe.distill.losses.items())


def shares(e: Evidence) -> Verdict:
    """Each loss's share of the gradient at the end, over the seeds; alerts."""
    by_loss: dict[str, list[float]] = {}
    alerts = []
    for seed, folder in e.trainings("student").items():
        last = read_lines(folder / "metrics.jsonl")[-1]
        for name, share in last.get("shares", {}).items():
            by_loss.setdefault(name, []).append(share)
        alerts += [f"{seed}: {a}" for a in (read_json(folder / "training.json") or {}).get("alerts", [])]
    if alerts:
        return WARNING, "; ".join(alerts)
    if not by_loss:
        return WARNING, "nothing on record; trained by an older version"
    return KEPT, "at the end " + ", ".join(f"{name} {np.mean(s):.1%}" for name, s in by_loss.items())


def students(e: Evidence) -> Verdict:
    """A student's file holds the tensors of its network and no others."""
    folder = e.need("student", best_seed(e.need("student")))
    own = set(open_model(folder).state_dict())
    with safe_open(folder / "model.safetensors", framework="np") as file:
        further = set(file.keys()) - own
    return (BROKEN, f"{len(further)} tensors more") if further else (KEPT, f"{len(own)} tensors, all the network's own")


def absent(e: Evidence) -> Verdict:
    """Effect of random content in absent slots on the exported file."""
    subsets = _parity(e)["subsets"]
    changed = [name for name, facts in subsets.items() if not facts["absent_changes_nothing"]]
    if changed:
        return BROKEN, f"what is absent changes answers of: {', '.join(changed)}"
    return KEPT, f"no bit on {len(subsets)} subsets of the exported file"


def complete(e: Evidence) -> Verdict:
    """Every training that the recipe asks for, and the share of the rows that are quarantined."""
    e.need("student")
    longer = longer_trainings(e.run, read_json(e.run.path(CONVERGENCE)) or {"comparisons": {}})
    wanted = [*jobs(e.run), *longer]
    files = {f"{j.model} {j.seed}": e.run.path(j.model, f"seed-{j.seed}", "training.json") for j in wanted}
    missing = [name for name, file in files.items() if not file.exists()]
    quarantine = e.need("data", "quarantine.csv")
    with parsing(quarantine), quarantine.open(encoding="utf-8", newline="") as file:
        notes = sum(1 for _ in csv.reader(file)) - 1
    left_out = LeftOut.of_schema(read_json(e.need("data", "schema.json")) or {})
    trained = f"{len(files) - len(missing)} of {len(files)} trainings"
    state = BROKEN if missing else WARNING if left_out.share > HIGH_SHARE else KEPT
    return state, f"{trained}; quarantined: {left_out.sentence()}; {notes:,} notes in data/quarantine.csv"


def looks(e: Evidence) -> Verdict:
    """The number of evaluations on the test rows."""
    count = len(evaluations(e.run.folder))
    if count and not e.run.path(LOG).exists():
        return BROKEN, f"{LOG} is missing; {count} evaluation{'s are' if count > 1 else ' is'} on record in stamps"
    e.need("scores")
    if count == 1:
        return KEPT, "once"
    return WARNING, f"{count} times: what was changed after the first may have been chosen on test"


def baseline(e: Evidence) -> Verdict:
    """Seeds of student and baseline, their budgets, and comparisons that aren't settled."""
    student, baseline = e.trainings("student"), e.trainings("baseline")
    if set(student) != set(baseline):
        return BROKEN, f"student: {', '.join(student)}; baseline: {', '.join(baseline)}"
    state = KEPT if len(student) >= MIN_SEEDS else WARNING
    text = f"{len(student)} seeds each, {e.run.recipe.distill.train.epochs} epochs of as many steps at the most"
    compared = (read_json(e.run.path(CONVERGENCE)) or {"comparisons": {}})["comparisons"]
    if longest := max((length["epochs"] for facts in compared.values() for length in facts["lengths"]), default=0):
        text += f", longer baselines up to {longest} epochs"
    unsettled = [name for name, facts in compared.items() if not facts["settled"]]
    return (WARNING, f"{text}; not settled: {', '.join(unsettled)}") if unsettled else (state, text)


def scores(e: Evidence) -> Verdict:
    """The main score of the student, and what its scorecard lacks."""
    card = e.scores["student"]
    absent = [k for k in ("metrics", "parameters", "bytes") if k not in card]
    absent += [] if "calibration" in card or "calibrations" in card else ["calibration"]
    absent += [] if "agreement" in card else ["agreement"]
    absent += [] if "latency_ms" in e.scores.get("export", {}) else ["latency"]
    main = card["metrics"][card["main"]]
    text = f"{card['main']} {main['mean']:.4f} ({main['low']:.4f} to {main['high']:.4f})"
    return (WARNING, f"{text}; lacks {', '.join(absent)}") if absent else (KEPT, text)


def missing(e: Evidence) -> Verdict:
    """Whether scores without modalities were measured."""
    if len(e.run.recipe.student.encoders) < 2:
        return KEPT, "the student reads one modality"
    card = e.scores["student"]
    if card.get("missing"):
        facts = card["missing"]
        text = f"{len(facts['subsets'])} subsets and {len(facts['rates'])} rates of loss, on {facts['rows']:,} rows"
        return KEPT, text
    if not card.get("controls"):
        return WARNING, "not measured: `evaluate.controls` is off, and `evaluate.probes` doesn't ask for it"
    return KEPT, f"measured for {', '.join(e.run.recipe.student.encoders)}"


def parity(e: Evidence) -> Verdict:
    """The largest difference between file and network."""
    subsets, limit = _parity(e)["subsets"], e.run.recipe.export.tolerance
    worst = max(facts["difference"] for facts in subsets.values())
    return KEPT if worst <= limit else BROKEN, f"{worst:.1g} at the most on {len(subsets)} subsets, {limit:g} allowed"


def _parity(e: Evidence) -> dict:
    return read_json(e.need("export", "parity.json")) or {}


CHECKS: dict[str, Callable[[Evidence], Verdict]] = {
    "frozen": frozen, "scored": scored, "classes": classes, "overfit": overfit, "keys": keys,
    "fingerprint": fingerprint, "views": views, "encoding": encoding, "bytes": bytes_, "splits": splits,
    "matrix": matrix, "shares": shares, "students": students, "absent": absent, "complete": complete, "looks": looks,
    "baseline": baseline, "scores": scores, "missing": missing, "parity": parity,
    "chosen": chosen, "labels": labels, "pairs": pairs, "standardised": standardised,
}  # fmt: skip
