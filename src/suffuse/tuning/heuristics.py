"""What the evidence makes worth trying first, and why. Each finding is a sentence with its numbers, values to try, and
maybe narrower bounds; none of them decides what is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..data.training_views import HALVES
from ..engine.gradient_norms import DEAD
from ..types import NUMBER
from .diagnostics import Facts
from .loss_space import answering
from .search_context import Ground
from .training_space import MILD, MORE, further

SURE, CALIBRATED = 0.02, 0.02  # confidence above accuracy, and expected calibration error, that count
CERTAIN = 0.99  # mean confidence on training rows from which soft labels say little more than labels
LATE, EARLY = 0.9, 0.5  # where in a training its best epoch was
BY_HEART = 0.05  # better on training than on validation rows, of scores of which 1 is the most
FAITHFUL = 0.9  # share of training rows on which a student should answer as its teacher
DRIFT = 0.1  # total variation of mean gates
FAR = 0.05  # further below the teacher on a subset of the modalities than on all
WEAK = 0.01  # below the same network on the other modalities alone
NOISY = 0.01  # deviation of seeds
FAINT = 0.01  # share of the gradient


@dataclass(frozen=True)
class Finding:
    """Why something is worth trying, what to try, and within which bounds to search."""

    because: str
    tries: tuple[dict[str, Any], ...]
    narrow: dict[str, list] = field(default_factory=dict)


def findings(facts: Facts, ground: Ground) -> list[Finding]:
    """All that the evidence says, the strongest leads first."""
    return [found for rule in RULES for found in rule(facts, ground)]


def temperature(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """A teacher that is surer than it is right; or one so sure of its training rows that it says little."""
    keys = _temperatures(ground)
    teacher, card = facts["teacher"].get("validation_sure"), facts.get("scorecards", {}).get("teacher", {})
    if not keys or not teacher or "excess" not in teacher:
        return
    softer = tuple(dict.fromkeys(keys, high) for high in (4.0, 2.0))
    said = f"it says {teacher['confidence']:.3f} on the average and is right {teacher['score']:.3f} on validation"
    ece = max(teacher["ece"], card.get("ece", 0.0))
    where = ", on the scorecard" if card.get("ece", 0.0) > teacher["ece"] else ""
    train = facts["teacher"].get("train_sure", {}).get("confidence", 0.0)
    if teacher["excess"] > SURE or (ece > CALIBRATED and teacher["excess"] > 0):
        why = f"the teacher is overconfident: {said} (ECE {ece:.3f}{where}): a higher temperature"
        yield Finding(why, softer, {key: [1.5, 8.0] for key in keys})
    elif train > CERTAIN:
        why = (
            f"the teacher is sure of its training rows (mean confidence {train:.4f}): soft labels say little more than"
        )
        yield Finding(f"{why} labels; a higher temperature, and its features", (*softer, *_features(ground)))


def dropout(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """A student that is worse without a modality than a network that never had it, or far below its teacher there."""
    student, floors = facts.get("student", {}), facts.get("floors", {})
    found = []
    for name, left in student.get("without", {}).items():
        others = [floors[other] for other in ground.names if other != name and other in floors]
        if others and left < max(others) - WEAK:
            found.append(f"without {name} {left:.3f}, a network that never had it {max(others):.3f}")
    found += [f"on {subset} alone {said}, on the scorecard" for subset, said in _missing(facts)]
    if found:
        there = {loss.kind for loss in ground.recipe.distill.losses.values()}
        more = {} if "subset_consistency" in there else {"subset_consistency": True}
        tries: tuple[dict[str, Any], ...] = ({"modality_dropout": 0.2}, {"modality_dropout": "uniform"})
        if ground.by_subsets:
            tries = ({"modality_dropout": HALVES}, *tries)
        tries += ({"modality_dropout": "uniform", **more},) if more else ()
        why = f"the student is weak where a modality is missing: {'; '.join(found)}"
        judged = "" if ground.by_subsets else " (distill.train.select: subsets would also choose by it)"
        yield Finding(f"{why}: dropout of modalities{', and consistency of subsets' if more else ''}{judged}", tries)


def gates(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """A student that leans on other modalities than its teacher."""
    ours, theirs = facts.get("student", {}).get("gates", {}), facts["teacher"].get("gates", {})
    both = [name for name in ours if name in theirs]
    total = sum(theirs[name] for name in both)
    if len(both) < 2 or not total:
        return
    drift = 0.5 * sum(abs(ours[name] - theirs[name] / total) for name in both)
    if drift > DRIFT:
        name = max(both, key=lambda n: abs(ours[n] - theirs[n] / total))
        said = f"{name} counts {ours[name]:.2f} for the student, {theirs[name] / total:.2f} for its teacher"
        yield Finding(f"the gates drift apart ({said}): gate_transfer", ({"gate_transfer": True},))


def dead(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """A loss that hardly pulls: heavier, or left out."""
    for name, share in facts.get("student", {}).get("shares", {}).items():
        loss = ground.recipe.distill.losses.get(name)
        if (
            loss is None
            or share >= FAINT
            or loss.kind == "task"
            or name in answering(ground.recipe.distill.losses).values()
        ):
            continue
        word = "nothing" if share < DEAD else "hardly anything"
        why = f"the loss '{name}' teaches {word} ({share:.2%} of the gradient): heavier, or left out"
        yield Finding(why, ({f"{name}.kept": False}, {f"{name}.weight": 10 * float(loss.weight)}))


def length(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """A student that was still getting better, or long past its best."""
    student = facts.get("student")
    if not student:
        return
    epochs, best = ground.recipe.distill.train.epochs, student["best_epochs"]
    middle = sum(best) / len(best)
    said = f"best epoch {', '.join(map(str, best))} of {epochs}"
    if middle >= LATE * epochs:
        rate = 2 * ground.recipe.distill.train.learning_rate
        tries = ({"epochs": 2.0}, {"epochs": 1.5, "ema": 0.99}, {"learning_rate": rate})
        yield Finding(f"the student was still learning ({said}): more epochs, a higher rate", tries)
    elif middle <= EARLY * epochs:
        tries = ({"dropout": 0.3, "encoder.dropout": 0.3, "weight_decay": 0.1}, {"ema": 0.99}, {"epochs": 0.5})
        yield Finding(f"the student was at its best early ({said}): dropout, averaging, fewer epochs", tries)


def memory(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """A student that knows its training rows by heart: they should look different each time."""
    student = facts.get("student", {})
    train, held = student.get("train"), student.get("validation", {}).get("score")
    shares = all(kind != NUMBER for kind, _ in ground.heads)
    if train is None or held is None or not shares or train - held <= BY_HEART:
        return
    why = f"the student knows its training rows by heart ({train:.3f} there, {held:.3f} on validation)"
    long = {"epochs": 2.0}
    tries = ({"augment": MILD, **long}, {"mixup": 0.3, **long}, {"augment": MILD, "mixup": 0.1, "ema": 0.99, **long})
    yield Finding(f"{why}: gentle augmentation, mixed rows, longer", tries)


def capacity(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """A student that can't follow its teacher even on training rows."""
    agreed = facts.get("student", {}).get("agreement")
    if agreed is not None and agreed < FAITHFUL:
        wider = {f"{name}.width": 1.25 for name in ground.names} | {"fusion.width": 1.25}
        deeper = [{f"{name}.depth": 1, f"{name}.width": 0.75} for name in ground.names]
        why = (
            f"the student answers as its teacher on {agreed:.1%} of the training rows only: capacity elsewhere, or more"
        )
        yield Finding(why, (*deeper, wider))


def noise(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """Seeds that come out far apart."""
    spread = facts.get("student", {}).get("spread")
    if spread is not None and spread > NOISY:
        rate = ground.recipe.distill.train.learning_rate / 2
        yield Finding(
            f"seeds differ by {spread:.3f} on validation (one deviation): averaged weights, a lower rate",
            ({"ema": 0.99}, {"learning_rate": rate, "ema": 0.98}),
        )


def useless(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """A student that its teacher doesn't help."""
    ours, theirs = facts.get("student", {}).get("score"), facts.get("baseline", {}).get("score")
    if ours is not None and theirs is not None and ours <= theirs:
        why = (
            f"the teacher doesn't help yet ({ours:.4f}, on labels only {theirs:.4f} on validation): more of the labels"
        )
        yield Finding(f"{why}, or its features", ({"labels.share": 0.5}, *_features(ground)))


def common(facts: Facts, ground: Ground) -> Iterator[Finding]:
    """What often pays, whatever the evidence."""
    tries: tuple[dict[str, Any], ...] = ({"ema": 0.99, "epochs": 1.5}, {"epochs": 2.0})
    why = "these often pay: longer trainings, averaged weights, gentle augmentation, the teacher's features"
    if further(ground):
        tries = ({"augment": MORE, "ema": 0.99, "epochs": 1.5}, {"augment": MORE}, *tries)
        why += ", voices faster and slower, higher and lower"
    yield Finding(why, (*tries, {"augment": MILD, "epochs": 2.0}, {"smoothing": 0.1}, *_features(ground)))


RULES: tuple[Callable[[Facts, Ground], Iterator[Finding]], ...] = (
    dropout, temperature, gates, dead, length, memory, capacity, noise, useless, common,
)  # fmt: skip


def _temperatures(ground: Ground) -> list[str]:
    """Names of the temperatures of the losses on the teacher's answers, as the search space calls them."""
    chosen = ground.recipe.distill.losses
    return [
        f"{n}.{chosen[n].kind}.temperature" for n in answering(chosen).values() if hasattr(chosen[n], "temperature")
    ]


def _features(ground: Ground) -> tuple[dict[str, Any], ...]:
    """The teacher's features, where they are stored and not yet used."""
    there = {loss.kind for loss in ground.recipe.distill.losses.values()}
    return tuple({kind: True} for kind in ("hint", "modality_hints") if kind not in there)


def _missing(facts: Facts) -> Iterator[tuple[str, str]]:
    """Subsets of the modalities on a scorecard where the student is weak, and how: it is further below its teacher
    there than on all of them, or below the same network on one of them alone."""
    cards = facts.get("scorecards", {})
    ours, theirs = ({s: _number(v) for s, v in _subsets(cards.get(who))} for who in ("student", "teacher"))
    whole = max(ours, key=lambda s: s.count("+"), default="")
    gaps = {s: theirs[s] - ours[s] for s in ours if s in theirs and None not in (ours[s], theirs[s])}  # pyright: ignore
    for subset, score in ours.items():
        if subset in (whole, "nothing") or score is None:
            continue
        floors = [f for n, f in cards.get("floors", {}).items() if n in subset.split("+")]
        if subset in gaps and gaps[subset] > max(gaps.get(whole, 0.0), 0.0) + FAR:
            yield subset, f"{score:.3f} (teacher {theirs[subset]:.3f})"
        elif floors and score < max(floors) - WEAK:
            yield subset, f"{score:.3f} (a network of one modality {max(floors):.3f})"


def _subsets(card: Any) -> Iterator[tuple[str, Any]]:
    """Of a scorecard, as far as it has any."""
    found = (card or {}).get("missing")
    yield from found.items() if isinstance(found, dict) else ()


def _number(value: Any) -> float | None:
    """A score, or the mean of one."""
    value = value.get("mean") if isinstance(value, dict) else value
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
