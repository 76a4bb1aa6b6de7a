"""What can be measured again in a run. Each check takes the evidence and says how its item stands, and by what number.

A check never repairs, and never takes a stage's word for what it can look at itself: hashes are computed again, rows
are found again, scores are taken from the stored answers.
"""

from __future__ import annotations

import csv
from collections.abc import Callable

import numpy as np
from safetensors import safe_open

from ..engine.inference import score
from ..engine.student_training import jobs
from ..engine.training_record import best_seed
from ..errors import SuffuseError
from ..evaluation.leak_free import leaked
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
from ..types import CLASSES, LABELS
from .evidence import Absent, Evidence
from .items import BROKEN, KEPT, UNCHECKED, WARNING
from .training_rows import chosen, labels, pairs, standardised
from .verification import strangers, verified

Verdict = tuple[str, str]
SCORE_TOLERANCE = 5e-3  # of the main metric: float16 may turn a tie
OVERFIT = 0.98  # share of right answers on training rows from which a teacher repeats their labels
TURNED = 1e-3  # share of answers that an encoding may change
SEEDS = 3
MOST_NAMED = 5  # files


def frozen(e: Evidence) -> Verdict:
    """The teacher's hash, computed again. One that a function of the user's own makes is opened only if asked."""
    chosen = e.run.recipe.teacher
    if isinstance(chosen, TeacherSettings) and not e.run_code and any(t.RUNS_CODE for t in chosen.everyone().values()):
        return UNCHECKED, "opening it runs the code that the recipe names; `suffuse doctor --run-code` does"
    made = e.manifest["fingerprint"]["teacher"]
    now = open_teacher(e.run, e.columns).fingerprint()
    return (KEPT, f"its hash is {now[:12]}, as in the store") if now == made else (
        BROKEN, f"its hash is {now[:12]}, the store was made with {made[:12]}"
    )  # fmt: skip


def scored(e: Evidence) -> Verdict:
    """Its score on validation, from the stored answers."""
    said = e.teacher.get("validation")
    if not said:
        return BROKEN, "nobody measured it"
    rows = e.columns.labelled("validation")
    stored = e.logits[find_keys(e.keys, e.columns.key[rows])]
    known = ~np.isnan(stored).any(1)
    if not known.any():
        return WARNING, "it answers no validation row"
    name, recorded = next(iter(said.items()))
    found = score(e.columns.spec, stored[known], e.columns.target[rows][known])[name]
    state = KEPT if abs(found - recorded) <= SCORE_TOLERANCE or not known.all() else BROKEN
    return state, f"{name} {recorded:.4f} when it was measured, {found:.4f} in the store"


def classes(e: Evidence) -> Verdict:
    """The names of the store's outputs."""
    made, here = e.manifest["fingerprint"]["classes"], list(e.columns.spec.classes)
    if made == here:
        return KEPT, f"all {len(here)} names, in order"
    return BROKEN, f"{len(set(made) ^ set(here))} names differ, or their order"


def overfit(e: Evidence) -> Verdict:
    """Its answers on the training rows."""
    spec, rows = e.columns.spec, e.columns.labelled("train")
    kinds = {head.kind for head in spec.heads}
    if not kinds & {CLASSES, LABELS}:
        return KEPT, "numbers have no such ceiling"
    stored = e.logits[find_keys(e.keys, e.columns.key[rows])]
    known = ~np.isnan(stored).any(1)
    if not known.any():
        return WARNING, "it answers no labelled training row"
    name, value = next(iter(score(spec, stored[known], e.columns.target[rows][known]).items()))
    folded = bool(e.run.recipe.trained and e.run.recipe.trained.folds)
    if value >= OVERFIT and not folded:
        way_out = "; out-of-fold targets: `teacher.folds: 5`" if e.run.recipe.trained else ""
        return WARNING, f"{name} {value:.4f} on its training rows{way_out}"
    return KEPT, f"{name} {value:.4f} on its training rows" + (", out of fold" if folded else "")


def keys(e: Evidence) -> Verdict:
    """Every training and validation row, found in the store."""
    rows = np.concatenate([e.columns.rows("train"), e.columns.rows("validation")])
    missing = int((find_keys(e.keys, e.columns.key[rows]) < 0).sum())
    double = len(e.keys) - len(np.unique(e.keys))
    state = BROKEN if missing or double else KEPT
    return state, f"{len(rows) - missing:,} of {len(rows):,} rows found, {double} keys twice"


def fingerprint(e: Evidence) -> Verdict:
    """What the store was made with against what the run has now."""
    made = e.manifest["fingerprint"]
    try:
        compare(made, expected(e.run, e.columns.spec, made), e.run.path("knowledge"))
    except SuffuseError as error:
        return BROKEN, error.line()
    return KEPT, f"{len(made)} parts: {', '.join(made)}"


def views(e: Evidence) -> Verdict:
    """Whether training changes rows in a way that the teacher didn't see."""
    stored = {b.view for b in manifest.blocks(e.manifest)} - {None}
    training = e.run.recipe.distill.train
    if stored:
        return KEPT, f"{len(stored)} views are stored, and replayed from their seed"
    if training.augment:
        return WARNING, "students see augmented rows, the teacher saw them as prepared; `extract.views` stores views"
    return KEPT, "none: student and teacher see rows as prepared"


def encoding(e: Evidence) -> Verdict:
    """The manifest's measured cost."""
    cost = e.manifest["encoding"]
    state = WARNING if cost["same_argmax"] < 1 - TURNED else KEPT
    return state, f"mean KL {cost['mean_kl']:.2g}, {cost['same_argmax']:.4%} of the answers stay"


def bytes_(e: Evidence) -> Verdict:
    """Every file's hash, computed again; what was verified before is not taken for it."""
    count, wrong = verified(e.run.folder)
    if not count:
        raise Absent("stamps")
    if wrong:
        return BROKEN, _first(wrong, "; ")
    unknown = strangers(e.run.folder)
    if unknown:
        return WARNING, f"{count} files; written by no stage: {_first(unknown, ', ')}"
    return KEPT, f"{count} files"


def _first(texts: list[str], between: str) -> str:
    more = f", and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return between.join(texts[:MOST_NAMED]) + more


def splits(e: Evidence) -> Verdict:
    """Test rows that the store knows, and groups on both sides."""
    test = e.columns.rows("test")
    known = int((find_keys(e.keys, e.columns.key[test]) >= 0).sum())
    pairs = np.unique(np.stack([e.columns.group, e.columns.split.astype(np.int64)], axis=1), axis=0)
    torn = len(pairs) - len(np.unique(pairs[:, 0]))
    same = int(leaked(e.columns, test).get("contents", np.zeros(1)).sum())
    said = f"{known} of {len(test):,} test rows in it, {torn} groups in two splits"
    said += f", {same} test rows with contents that stand in other splits" if same else ""
    return BROKEN if known or torn else WARNING if same else KEPT, said


def matrix(e: Evidence) -> Verdict:
    """The recipe was read, so its losses fit its targets."""
    return KEPT, ", ".join(f"{name}: {loss.kind}" for name, loss in e.run.recipe.distill.losses.items())


def shares(e: Evidence) -> Verdict:
    """Each loss's share of the gradient at the end, over the seeds; alerts."""
    found: dict[str, list[float]] = {}
    alerts = []
    for seed, folder in e.trainings("student").items():
        last = read_lines(folder / "metrics.jsonl")[-1]
        for name, share in last.get("shares", {}).items():
            found.setdefault(name, []).append(share)
        alerts += [f"{seed}: {a}" for a in (read_json(folder / "training.json") or {}).get("alerts", [])]
    if alerts:
        return WARNING, "; ".join(alerts)
    if not found:
        return WARNING, "nothing on record; trained by an older version"
    return KEPT, "at the end " + ", ".join(f"{name} {np.mean(s):.1%}" for name, s in found.items())


def students(e: Evidence) -> Verdict:
    """A student's file holds its own network's tensors and no other."""
    place = e.need("student", best_seed(e.need("student")))
    own = set(open_model(place).state_dict())
    with safe_open(place / "model.safetensors", framework="np") as file:
        more = set(file.keys()) - own
    return (BROKEN, f"{len(more)} tensors more") if more else (KEPT, f"{len(own)} tensors, all the network's own")


def absent(e: Evidence) -> Verdict:
    """Scrambled content in absent slots, on the exported file."""
    subsets = _parity(e)["subsets"]
    wrong = [name for name, facts in subsets.items() if not facts["absent_changes_nothing"]]
    if wrong:
        return BROKEN, f"what is absent changes answers of: {', '.join(wrong)}"
    return KEPT, f"no bit on {len(subsets)} subsets of the exported file"


def complete(e: Evidence) -> Verdict:
    """Every training that the recipe asks for, and the share of the rows that are quarantined."""
    e.need("student")
    places = {f"{j.who} {j.seed}": e.run.path(j.who, f"seed-{j.seed}", "training.json") for j in jobs(e.run)}
    lacking = [name for name, place in places.items() if not place.exists()]
    quarantine = e.need("data", "quarantine.csv")
    with parsing(quarantine), quarantine.open(encoding="utf-8", newline="") as file:
        aside = sum(1 for _ in csv.reader(file)) - 1
    left = LeftOut.of_schema(read_json(e.need("data", "schema.json")) or {})
    done = f"{len(places) - len(lacking)} of {len(places)} trainings"
    state = BROKEN if lacking else WARNING if left.share > HIGH_SHARE else KEPT
    return state, f"{done}; quarantined: {left.sentence()}; {aside:,} notes in data/quarantine.csv"


def looks(e: Evidence) -> Verdict:
    """How often the test rows were scored in this run."""
    count = len(evaluations(e.run.folder))
    if count and not e.run.path(LOG).exists():
        return BROKEN, f"{LOG} is missing; {count} evaluation{'s are' if count > 1 else ' is'} on record in stamps"
    e.need("scores")
    if count == 1:
        return KEPT, "once"
    return WARNING, f"{count} times: what was changed after the first may have been chosen on test"


def baseline(e: Evidence) -> Verdict:
    """Seeds of student and baseline, and their budgets."""
    taught, alone = e.trainings("student"), e.trainings("baseline")
    if set(taught) != set(alone):
        return BROKEN, f"student: {', '.join(taught)}; baseline: {', '.join(alone)}"
    state = KEPT if len(taught) >= SEEDS else WARNING
    return state, f"{len(taught)} seeds each, {e.run.recipe.distill.train.epochs} epochs of as many steps at the most"


def scores(e: Evidence) -> Verdict:
    """What stands in the student's scorecard."""
    card = e.scores["student"]
    lacking = [k for k in ("metrics", "parameters", "bytes") if k not in card]
    lacking += [] if "calibration" in card or "calibrations" in card else ["calibration"]
    lacking += [] if "agreement" in card else ["agreement"]
    lacking += [] if "latency_ms" in e.scores.get("export", {}) else ["latency"]
    main = card["metrics"][card["main"]]
    said = f"{card['main']} {main['mean']:.4f} ({main['low']:.4f} to {main['high']:.4f})"
    return (WARNING, f"{said}; lacks {', '.join(lacking)}") if lacking else (KEPT, said)


def missing(e: Evidence) -> Verdict:
    """What each modality is worth to the student."""
    if len(e.run.recipe.student.encoders) < 2:
        return KEPT, "the student reads one modality"
    card = e.scores["student"]
    if card.get("missing"):
        table = card["missing"]
        return (
            KEPT,
            f"{len(table['subsets'])} subsets and {len(table['rates'])} rates of loss, on {table['rows']:,} rows",
        )
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
