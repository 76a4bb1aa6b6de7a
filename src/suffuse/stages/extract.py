"""extract: the teacher, once, over training and validation rows -> the knowledge store. Test rows never enter.

One process leads: it plans, compacts what all have done, and checks it. Others that were started beside it
(``torchrun``, ``accelerate launch``, on one machine or on several with a shared folder) do parts until there are none
left; should the leader die, one of them takes its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from ..data.columns import Columns
from ..engine.inference import score
from ..engine.runtime import settle
from ..errors import SuffuseError, UsageError
from ..files import read_json
from ..knowledge import builder as work
from ..knowledge import manifest
from ..knowledge.builder import LEADER, Ask, StoreBuild
from ..knowledge.chunks import Block, Part
from ..knowledge.compaction import Compaction
from ..knowledge.fingerprint import compare, fingerprint, viewer
from ..knowledge.leases import Leases
from ..knowledge.logit_encoding import INDEX, LOGITS, VALUES
from ..knowledge.row_reuse import find_keys
from ..progress import Tell, duration, progress, say
from ..run import Run
from ..teachers import Question
from ..teachers.factory import open_teachers
from ..teachers.teacher_seeds import TeacherSeeds, seed_folder

SPOT, FEWEST = 64, 8  # rows that are computed again: over all blocks, of each at least
NEAR = 4  # of them stand side by side
PER_ROW = 28  # bytes: key, hashes of content and draws, label
CLAIMS = ".claims"
TOLERANCE = 5e-3  # of a stored logit, relative to the largest: float16, and other company in the batch
SCORE_TOLERANCE = 5e-3  # of the validation accuracy: float16 may turn a tie


def extract(run: Run) -> None:
    """Write ``knowledge/``: hard labels, logits, fused and per-modality features, gates."""
    columns, teacher, ask = opened(run)
    before = teacher.fingerprint()
    with shared_work(run) as (claims, pool, tell):
        taps = teacher.answer(Question(columns.rows("train")[:1]))
        making = work.start_build(run, columns, (before, teacher.modalities, teacher.pieces), taps)
        claims.take(LEADER)  # this process has the run's lock
        forecast(making, ask)
        total = sum(making.counts)
        compaction = Compaction(making, run.partial("extract") / "knowledge")
        placed = [pool.submit(_share, compaction)]
        placed += [pool.submit(compaction.add, part) for part in follow(making, ask, (claims, pool, tell))]
        if teacher.fingerprint() != before:
            raise SuffuseError("the teacher changed while it was read", where=run.path("teacher"))
        finished = pool.submit(_finish, compaction, placed)
        again = spots(making, ask)  # while the last parts are put in their places
        finished.result()
        check(making, again, compaction.folder)
        check_score(making, compaction.folder)
        tell(1.0, f"{total:,} rows" + (f", {making.copied_count:,} of them from before" if making.copied_count else ""))


def _share(compaction: Compaction) -> None:
    making = compaction.build
    compaction.share(work.per_row(making.columns, making.rows, making.fingerprint))


def _finish(compaction: Compaction, placed: Sequence[Future]) -> None:
    for one in placed:
        one.result()
    compaction.finish()


def join(run: Run) -> None:
    """Do parts beside the process that leads, until there are none left or it is gone."""
    known = work.read_plan(run)
    if known is None:
        return
    columns, teacher, ask = opened(run)
    making = work.build_from_plan(run, columns, (teacher.fingerprint(), teacher.modalities, teacher.pieces), known)
    if run.partial("extract").exists():  # else all was done meanwhile
        with shared_work(run) as means:
            for _ in follow(making, ask, means):
                pass


@contextlib.contextmanager
def shared_work(run: Run) -> Iterator[tuple[Leases, Executor, Tell]]:
    """Claims that are kept alive, a thread that writes, and the progress."""
    claims = Leases(run.partial("extract") / CLAIMS)
    with claims.heartbeat(), ThreadPoolExecutor(1) as pool, progress("extract") as tell:
        yield claims, pool, tell


def follow(making: StoreBuild, ask: Ask, means: tuple[Leases, Executor, Tell]) -> Iterator[Part]:
    """Every part once it is there; tells how far it is."""
    claims, pool, tell = means
    total, done = sum(making.counts), 0
    for part in work.work(making, ask, claims, pool):
        yield part
        done += len(part.slots)
        tell(done / (total + 1), f"{done:,} rows")


def led(run: Run) -> bool:
    """Whether a process that leads is at work and has said what there is to do."""
    return work.read_plan(run) is not None and not Leases(run.partial("extract") / CLAIMS).is_dead(LEADER)


def opened(run: Run) -> tuple[Columns, TeacherSeeds, Ask]:
    """The data, the teachers, and how they are asked about rows of a block."""
    settle(run.recipe.compute.threads, run.recipe.compute)
    columns = Columns.open(run.path("data"))
    teacher, seen = open_teachers(run, columns), viewer(run.recipe)

    def ask(rows: np.ndarray, block: Block) -> dict[str, np.ndarray]:
        whole = block.subset == tuple(teacher.modalities)
        view = None if block.view is None or seen is None else (seen, block.view)
        return teacher.of(block.teacher).answer(Question(rows, None if whole else block.subset, view))

    return columns, teacher, ask


def forecast(making: StoreBuild, ask: Ask) -> None:
    """Answer a few rows, and say how much there is to do, how large it gets and how long it takes.

    Raises SuffuseError where the disk is too small, and UsageError where a view changes no answer.
    """
    rows, taken = making.rows[: min(SPOT, making.counts[-1])], 0.0
    answers: dict[str, np.ndarray] = {}
    left = sum(len(p.slots) for p in making.parts if p.previous_rows is None and not p.file(making.place).exists())
    for _ in range(2):  # the first is slow: nothing is in memory yet
        start = time.perf_counter()
        answers = ask(rows, making.blocks[0])
        taken = (time.perf_counter() - start) / len(rows)
        if taken * len(rows) > 1:
            break
    if making.blocks[-1].view is not None:
        first = making.blocks[0]
        _check_views_differ(making, ask(rows, dataclasses.replace(first, view=0)), ask(rows, first))
    size = sum(_bytes(making, answers, b) * c for b, c in zip(making.blocks, making.counts, strict=True))
    size += len(making.rows) * PER_ROW
    free = shutil.disk_usage(making.place).free
    if 2 * size > free:
        raise SuffuseError(
            "the disk is too small for the knowledge store", where=making.place, got=f"{free / 1e6:,.0f} MB free",
            expected=f"{2 * size / 1e6:,.0f} MB: it is written in parts, then as a whole",
            hint="extract.top_k, fewer extract.views or extract.subsets make it smaller",
        )  # fmt: skip
    already_done = making.queried_count - left
    words = [f"{sum(making.counts):,} answers", f"{len(making.blocks)} of subset and view" if making.blocks[1:] else ""]
    words += [
        f"{making.copied_count:,} from before" if making.copied_count else "",
        f"{already_done:,} there already" if already_done else "",
    ]
    words += [f"about {size / 1e6:,.1f} MB", f"about {duration(left * taken)}"]
    say(f"{'extract':<9} {', '.join(w for w in words if w)}")


def _check_views_differ(making: StoreBuild, view: dict[str, np.ndarray], plain: dict[str, np.ndarray]) -> None:
    if np.array_equal(view[LOGITS], plain[LOGITS], equal_nan=True):
        raise UsageError(
            "the teacher answers alike in every view", where="extract.views", got=making.fingerprint["views"]["count"],
            expected="0", hint="none of what it reads is augmented",
        )  # fmt: skip


def _bytes(making: StoreBuild, answers: dict[str, np.ndarray], block: Block) -> int:
    """Of one row in a block."""
    return sum(
        array[:1].nbytes for array in work.encode_taps(making, {n: a[:1] for n, a in answers.items()}, block).values()
    )


def spots(making: StoreBuild, ask: Ask) -> list[tuple[np.ndarray, np.ndarray]]:
    """Some rows of every block once more, in other company: their slots (B,), and logits (B, C). Neighbours go
    together: they may share a picture, which is encoded once, and where rows are shifted by one it shows."""
    random, found = np.random.default_rng(0), []
    each = max(FEWEST, SPOT // len(making.blocks))
    for block, count in zip(making.blocks, making.counts, strict=True):
        places = -(-count // NEAR)
        begin = np.sort(random.choice(places, min(-(-each // NEAR), places), replace=False)) * NEAR
        slots = (begin[:, None] + np.arange(NEAR)).reshape(-1)
        slots = slots[slots < count]
        found.append((slots, ask(making.rows[slots], block)[LOGITS]))
    return found


def check(making: StoreBuild, again: Sequence[tuple[np.ndarray, np.ndarray]], folder: Path) -> float:
    """Compare what is stored with rows that were computed again; the largest difference, as a share of what is
    tolerated. ``again``: as :func:`spots` gives them.

    Raises SuffuseError where they differ by more than the stated tolerance.
    """
    facts = manifest.read(folder)
    arrays, worst = manifest.load(folder, facts), 0.0
    for number, (block, (slots, fresh)) in enumerate(zip(making.blocks, again, strict=True)):
        here = {
            n: torch.from_numpy(arrays[n][facts["arrays"][n]["starts"][number] + slots])
            for n in (LOGITS, VALUES, INDEX) if n in arrays
        }  # fmt: skip
        kept = making.encoding.decode(here).float().numpy()
        encoded = making.encoding.encode(fresh)
        wanted = making.encoding.decode({n: torch.from_numpy(a) for n, a in encoded.items()}).float().numpy()
        if not making.encoding.dense:  # which of two classes that tie is kept may change: what they say, not where
            kept, wanted = np.sort(kept, 1), np.sort(wanted, 1)
        limit = TOLERANCE * max(1.0, float(np.abs(np.nan_to_num(kept)).max(initial=0)))
        silent = np.isnan(kept) & np.isnan(wanted)
        gap = np.where(silent, 0, np.abs(kept - wanted))
        found = float(gap.max(initial=0)) if not np.isnan(gap).any() else float("inf")
        if found > limit or (arrays["key"][slots] != making.columns.key[making.rows[slots]]).any():
            raise SuffuseError(
                "the store doesn't hold what the teacher says", where=folder, got=f"{found:.2g} ({block.name})",
                expected=f"{limit:.2g} at most",
            )  # fmt: skip
        worst = max(worst, found / limit)
    return worst


def check_score(making: StoreBuild, folder: Path) -> None:
    """The stored logits of each teacher must score on validation as it did when it was trained, where that was
    recorded.

    Raises SuffuseError where they don't: other weights, other preprocessing, or another order of labels.
    """
    columns, facts = making.columns, manifest.read(folder)
    rows, arrays = columns.labelled("validation"), manifest.load(folder, facts)
    place = find_keys(arrays["key"], columns.key[rows])
    stored = [n for n in (LOGITS, VALUES, INDEX) if n in arrays]
    for number, block in enumerate(making.blocks):
        if block.view is not None or block.subset != making.blocks[0].subset:
            continue
        teacher = making.run.path("teacher") if block.teacher is None else seed_folder(making.run.folder, block.teacher)
        recorded = (read_json(teacher / "training.json") or {}).get("validation")
        if not recorded:
            continue
        starts = {n: facts["arrays"][n]["starts"][number] for n in stored}
        logits = making.encoding.decode({n: torch.from_numpy(arrays[n][starts[n] + place]) for n in stored})
        found = next(iter(score(columns.spec, logits.float().numpy(), columns.target[rows]).values()))
        wanted = next(iter(recorded.values()))
        if abs(found - wanted) > SCORE_TOLERANCE:
            raise SuffuseError(
                "the teacher doesn't score as it did", where=teacher, got=f"{found:.4f}", expected=f"{wanted:.4f}"
            )


def verify(run: Run) -> dict:
    """Read every byte of a finished store, then compute some of its rows again with the teacher.

    Raises SuffuseError if a file changed after it was written, or if stored rows don't match the teacher's current
    output.
    """
    folder = run.path("knowledge")
    facts = manifest.read(folder)
    wrong = manifest.changed_arrays(folder, facts)
    if wrong:
        raise SuffuseError(
            "the knowledge store was changed after it was written", where=folder, got=f"{wrong[0]}.npy",
            expected="the content that its manifest has the hash of", hint="`suffuse extract` again",
        )  # fmt: skip
    columns, teacher, ask = opened(run)
    compare(facts["fingerprint"], fingerprint(run, columns.spec, teacher.modalities, teacher.fingerprint()), folder)
    known = {"teacher": teacher.fingerprint(), "older": None}
    making = work.build_from_plan(run, columns, (known["teacher"], teacher.modalities, teacher.pieces), known)
    keys = manifest.load(folder, facts, ["key"])["key"]
    order = find_keys(making.columns.key, keys)  # a store keeps its order when rows of it come from an older one
    if (order < 0).any() or len(order) != len(making.rows):
        raise SuffuseError("the knowledge store has other rows than the data", where=folder, hint="`suffuse extract`")
    making = dataclasses.replace(making, rows=order)
    worst = check(making, spots(making, ask), folder)
    return {"arrays": len(facts["arrays"]), "bytes": manifest.size(facts), "worst": worst}
