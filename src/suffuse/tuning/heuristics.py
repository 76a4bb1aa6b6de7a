"""Heuristics: what diagnostics suggest to try first, and why.

Each finding is a sentence with its numbers, values to try, and possibly narrower bounds. None of them decides what is
selected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..data.training_views import COMPLEMENTARY
from ..engine.gradient_norms import DEAD
from ..types import NUMBER
from .diagnostics import Facts
from .loss_space import distillation_losses
from .samplers import SearchContext
from .training_space import EXTRA, MILD, extra_augmentation

OVERCONFIDENT, MISCALIBRATED = 0.02, 0.02  # confidence above accuracy, and expected calibration error, that count
CERTAIN = 0.99  # mean confidence on training rows from which soft labels add little to labels
LATE, EARLY = 0.9, 0.5  # position of the best epoch in a training
OVERFITTING = 0.05  # training score above validation score, of scores with maximum 1
FAITHFUL = 0.9  # share of training rows on which a student should predict what its teacher does
DRIFT = 0.1  # total variation distance of mean gates
FAR_BELOW = 0.05  # by how much more than on all modalities a subset's score is below the teacher's
WEAK = 0.01  # below a network of the remaining modalities
NOISY = 0.01  # standard deviation over seeds
FAINT = 0.01  # share of the gradient


@dataclass(frozen=True)
class Finding:
    """Why something is worth trying, the values to try, and bounds within which to search."""

    because: str
    tries: tuple[dict[str, Any], ...]
    narrow: dict[str, list] = field(default_factory=dict)


def findings(facts: Facts, context: SearchContext) -> list[Finding]:
    """All findings, the most promising rules first."""
    return [finding for rule in RULES for finding in rule(facts, context)]


def teacher_confidence(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """An overconfident teacher, or one so confident on training rows that soft labels add little to labels."""
    keys = _temperature_keys(context)
    teacher, card = facts["teacher"].get("validation_sure"), facts.get("scorecards", {}).get("teacher", {})
    if not keys or not teacher or "excess" not in teacher:
        return
    softer = tuple(dict.fromkeys(keys, high) for high in (4.0, 2.0))
    numbers = f"it says {teacher['confidence']:.3f} on the average and is right {teacher['score']:.3f} on validation"
    ece = max(teacher["ece"], card.get("ece", 0.0))
    where = ", on the scorecard" if card.get("ece", 0.0) > teacher["ece"] else ""
    train = facts["teacher"].get("train_sure", {}).get("confidence", 0.0)
    if teacher["excess"] > OVERCONFIDENT or (ece > MISCALIBRATED and teacher["excess"] > 0):
        why = f"the teacher is overconfident: {numbers} (ECE {ece:.3f}{where}): a higher temperature"
        yield Finding(why, softer, {key: [1.5, 8.0] for key in keys})
    elif train > CERTAIN:
        why = (
            f"the teacher is sure of its training rows (mean confidence {train:.4f}): soft labels say little more than"
        )
        yield Finding(f"{why} labels; a higher temperature, and its features", (*softer, *_feature_losses(context)))


def missing_modalities(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """A student that is worse without a modality than a network that never had it, or far below its teacher there."""
    student, unimodal = facts.get("student", {}), facts.get("floors", {})
    weaknesses = []
    for name, score in student.get("without", {}).items():
        others = [unimodal[other] for other in context.names if other != name and other in unimodal]
        if others and score < max(others) - WEAK:
            weaknesses.append(f"without {name} {score:.3f}, a network that never had it {max(others):.3f}")
    weaknesses += [f"on {subset} alone {words}, on the scorecard" for subset, words in _weak_subsets(facts)]
    if not weaknesses:
        return
    consistency = not any(loss.kind == "subset_consistency" for loss in context.recipe.distill.losses.values())
    tries: tuple[dict[str, Any], ...] = ({"modality_dropout": 0.2}, {"modality_dropout": "uniform"})
    if context.by_subsets:
        tries = ({"modality_dropout": COMPLEMENTARY}, *tries)
    if consistency:
        tries += ({"modality_dropout": "uniform", "subset_consistency": True},)
    why = f"the student is weak where a modality is missing: {'; '.join(weaknesses)}"
    remedy = f"dropout of modalities{', and consistency of subsets' if consistency else ''}"
    hint = "" if context.by_subsets else " (distill.train.checkpoint_metric: subsets would also choose by it)"
    yield Finding(f"{why}: {remedy}{hint}", tries)


def gate_drift(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """A student whose gates weight other modalities than its teacher's."""
    student, teacher = facts.get("student", {}).get("gates", {}), facts["teacher"].get("gates", {})
    shared = [name for name in student if name in teacher]
    total = sum(teacher[name] for name in shared)
    if len(shared) < 2 or not total:
        return
    drift = 0.5 * sum(abs(student[name] - teacher[name] / total) for name in shared)
    if drift > DRIFT:
        name = max(shared, key=lambda n: abs(student[n] - teacher[n] / total))
        numbers = f"{name} counts {student[name]:.2f} for the student, {teacher[name] / total:.2f} for its teacher"
        yield Finding(f"the gates drift apart ({numbers}): gate_transfer", ({"gate_transfer": True},))


def weak_loss(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """A loss with hardly any gradient: a larger weight, or none."""
    losses = context.recipe.distill.losses
    for name, share in facts.get("student", {}).get("shares", {}).items():
        loss = losses.get(name)
        if loss is None or share >= FAINT or loss.kind == "task" or name in distillation_losses(losses).values():
            continue
        word = "nothing" if share < DEAD else "hardly anything"
        why = f"the loss '{name}' teaches {word} ({share:.2%} of the gradient): heavier, or left out"
        yield Finding(why, ({f"{name}.kept": False}, {f"{name}.weight": 10 * float(loss.weight)}))


def training_length(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """A student whose best epoch is at the end of the training, or early in it."""
    student = facts.get("student")
    if not student:
        return
    train, best = context.recipe.distill.train, student["best_epochs"]
    epochs, mean_best = train.epochs, sum(best) / len(best)
    numbers = f"best epoch {', '.join(map(str, best))} of {epochs}"
    if mean_best >= LATE * epochs:
        tries = ({"epochs": 2.0}, {"epochs": 1.5, "ema": 0.99}, {"learning_rate": 2 * train.learning_rate})
        yield Finding(f"the student was still learning ({numbers}): more epochs, a higher rate", tries)
    elif mean_best <= EARLY * epochs:
        tries = ({"dropout": 0.3, "encoder.dropout": 0.3, "weight_decay": 0.1}, {"ema": 0.99}, {"epochs": 0.5})
        yield Finding(f"the student was at its best early ({numbers}): dropout, averaging, fewer epochs", tries)


def overfitting(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """A student that scores better on training rows: they should look different in each epoch."""
    student = facts.get("student", {})
    train, validation = student.get("train"), student.get("validation", {}).get("score")
    bounded = all(kind != NUMBER for kind, _ in context.heads)  # R2 has no comparable scale
    if train is None or validation is None or not bounded or train - validation <= OVERFITTING:
        return
    why = f"the student knows its training rows by heart ({train:.3f} there, {validation:.3f} on validation)"
    long = {"epochs": 2.0}
    tries = ({"augment": MILD, **long}, {"mixup": 0.3, **long}, {"augment": MILD, "mixup": 0.1, "ema": 0.99, **long})
    yield Finding(f"{why}: gentle augmentation, mixed rows, longer", tries)


def capacity(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """A student that disagrees with its teacher even on training rows."""
    agreement = facts.get("student", {}).get("agreement")
    if agreement is not None and agreement < FAITHFUL:
        wider = {f"{name}.width": 1.25 for name in context.names} | {"fusion.width": 1.25}
        deeper = [{f"{name}.depth": 1, f"{name}.width": 0.75} for name in context.names]
        where = f"on {agreement:.1%} of the training rows only"
        yield Finding(f"the student answers as its teacher {where}: capacity elsewhere, or more", (*deeper, wider))


def seed_noise(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """Seeds with very different scores."""
    spread = facts.get("student", {}).get("spread")
    if spread is not None and spread > NOISY:
        rate = context.recipe.distill.train.learning_rate / 2
        yield Finding(
            f"seeds differ by {spread:.3f} on validation (one deviation): averaged weights, a lower rate",
            ({"ema": 0.99}, {"learning_rate": rate, "ema": 0.98}),
        )


def unhelpful_teacher(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """A student that doesn't beat the labels-only baseline."""
    student, baseline = facts.get("student", {}).get("score"), facts.get("baseline", {}).get("score")
    if student is not None and baseline is not None and student <= baseline:
        numbers = f"{student:.4f}, on labels only {baseline:.4f} on validation"
        why = f"the teacher doesn't help yet ({numbers}): more of the labels, or its features"
        yield Finding(why, ({"labels.share": 0.5}, *_feature_losses(context)))


def generic(facts: Facts, context: SearchContext) -> Iterator[Finding]:
    """What often helps, whatever the diagnostics."""
    tries: tuple[dict[str, Any], ...] = ({"ema": 0.99, "epochs": 1.5}, {"epochs": 2.0})
    why = "these often pay: longer trainings, averaged weights, gentle augmentation, the teacher's features"
    if extra_augmentation(context):
        tries = ({"augment": EXTRA, "ema": 0.99, "epochs": 1.5}, {"augment": EXTRA}, *tries)
        why += ", voices faster and slower, higher and lower"
    yield Finding(why, (*tries, {"augment": MILD, "epochs": 2.0}, {"label_smoothing": 0.1}, *_feature_losses(context)))


RULES: tuple[Callable[[Facts, SearchContext], Iterator[Finding]], ...] = (
    missing_modalities, teacher_confidence, gate_drift, weak_loss, training_length, overfitting, capacity, seed_noise,
    unhelpful_teacher, generic,
)  # fmt: skip


def _temperature_keys(context: SearchContext) -> list[str]:
    """Names of the temperatures of the distillation losses, as the search space names them."""
    losses = context.recipe.distill.losses
    chosen = [(name, losses[name]) for name in distillation_losses(losses).values()]
    return [f"{name}.{loss.kind}.temperature" for name, loss in chosen if loss.has("temperature")]


def _feature_losses(context: SearchContext) -> tuple[dict[str, Any], ...]:
    """Losses on the teacher's features that the recipe doesn't use."""
    used = {loss.kind for loss in context.recipe.distill.losses.values()}
    return tuple({kind: True} for kind in ("hint", "modality_hints") if kind not in used)


def _weak_subsets(facts: Facts) -> Iterator[tuple[str, str]]:
    """Subsets of the modalities on a scorecard where the student is weak, and how: it is further below its teacher
    there than on all of them, or below the unimodal baseline of one of them."""
    cards = facts.get("scorecards", {})
    student, teacher = (_subset_scores(cards.get(name)) for name in ("student", "teacher"))
    full = max(student, key=lambda s: s.count("+"), default="")
    gaps = {s: teacher[s] - score for s, score in student.items() if s in teacher}
    for subset, score in student.items():
        if subset in (full, "nothing"):
            continue
        unimodal = [f for name, f in cards.get("floors", {}).items() if name in subset.split("+")]
        if subset in gaps and gaps[subset] > max(gaps.get(full, 0.0), 0.0) + FAR_BELOW:
            yield subset, f"{score:.3f} (teacher {teacher[subset]:.3f})"
        elif unimodal and score < max(unimodal) - WEAK:
            yield subset, f"{score:.3f} (a network of one modality {max(unimodal):.3f})"


def _subset_scores(card: Any) -> dict[str, float]:
    """Subset -> score, of those of a scorecard that are numbers, or have a mean."""
    subsets = (card or {}).get("missing")
    scores = {}
    for subset, value in subsets.items() if isinstance(subsets, dict) else ():
        value = value.get("mean") if isinstance(value, dict) else value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            scores[subset] = float(value)
    return scores
