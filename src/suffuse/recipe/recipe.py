"""The whole recipe, and the consistency of its sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from .. import fusions
from ..registry import ModalitySettings, PartSettings, Settings, TeacherSettings
from ..types import TIMED, TRANSCRIPTS
from . import sequence_targets
from .data_settings import Data
from .goal import Goal
from .networks import AnyTeacher, Network, Teacher, Training
from .part_kinds import RESERVED, Modality
from .stage_settings import Compute, Distill, Evaluate, Export, Extract
from .student import Student

FUSED = "fused"
TAP_KEYS = ("tap", "taps", "map", "modalities")  # of losses: what the student has, and the teacher too
TEACHER_TAP_KEYS = ("teacher_tap", "teacher")  # what the teacher has instead


class Recipe(Settings):
    """All settings of a run."""

    version: Literal[1] = 1
    name: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    seed: int = Field(default=0, ge=0, lt=2**31)
    data: Data
    modalities: dict[str, Modality] = Field(min_length=1)
    teacher: AnyTeacher
    student: Student
    extract: Extract = Extract()
    distill: Distill = Distill()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    goal: Goal = Goal()
    compute: Compute = Compute()

    @property
    def trained(self) -> Teacher | None:
        """The teacher that the run trains; None where it comes from outside."""
        return self.teacher if isinstance(self.teacher, Teacher) else None

    @property
    def needs_training_labels(self) -> bool:
        """Whether some training row must have a label: the teacher is trained, or they say which classes there are."""
        return self.trained is not None or not all(self.data.task(name).classes for name in self.data.targets)

    @property
    def networks(self) -> dict[str, Network]:
        """Who -> network, of those that the run trains."""
        return {**({"teacher": self.trained} if self.trained else {}), "student": self.student}

    @property
    def fractions(self) -> tuple[float, ...]:
        """The shares of the labels, besides all, with which students and baselines are trained too."""
        shares = (*self.distill.label_fractions, *(self.evaluate.label_curve or ()))
        return tuple(dict.fromkeys(f for f in shares if f < 1))

    def alone(self, network: Network) -> tuple[str, ...]:
        """The modalities of a network that it is also trained on alone; of a transcript its recordings."""
        if not sequence_targets.is_sequence(self.data):
            return tuple(network.encoders)
        return tuple(name for name in network.encoders if self.modalities[name].kind in TIMED)

    def with_student(self, network: Network) -> Recipe:
        """The recipe with this student and no candidates. Raises ValidationError where it doesn't fit the rest."""
        return Recipe.model_validate({**self.model_dump(mode="json"), "student": network.model_dump(mode="json")})

    @property
    def num_teachers(self) -> int:
        """Number of teachers that the seeds of a student learn from."""
        return self.trained.num_seeds if self.trained and self.distill.teachers == "each" else 1

    @model_validator(mode="before")
    @classmethod
    def _losses(cls, raw: Any) -> Any:
        """Write the default losses out: what the targets are decides them."""
        if not isinstance(raw, dict) or not isinstance(raw.get("data"), dict):
            return raw
        raw = sequence_targets.filled(raw)
        distill = raw.get("distill") or {}
        if not isinstance(distill, dict) or distill.get("losses"):
            return raw
        return {**raw, "distill": {**distill, "losses": default_losses(raw["data"], raw.get("teacher"))}}

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        known = ", ".join(self.modalities)
        for owner, network in self.networks.items():
            if not network.encoders or not set(network.encoders) <= set(self.modalities):
                got = ", ".join(network.encoders) or "none"
                raise ValueError(f"{owner}.encoders: got {got}, expected some of: {known}")
        trainings = {"teacher": self.trained.train} if self.trained else {}
        for owner, training in {**trainings, "distill": self.distill.train}.items():
            self._check_training(owner, training)
            self._check_finetuning(owner, training)
        self._check_schedules()
        self._check_modalities()
        sequence_targets.check(self.data, self.networks, self.modalities)
        sequence_targets.check_teacher(self.data, self.teacher, self.modalities)
        return self

    def _check_training(self, owner: str, training: Training) -> None:
        """Raise ValueError where settings of the training of the teacher, or of the student ("distill"), conflict."""
        known = ", ".join(self.modalities)
        augmented = any(_varies(part.get("augment")) for part in self.modalities.values())
        if training.augment and not augmented:
            raise ValueError(
                f"{owner}.train.augment: got true, expected a modality with augment (modalities.NAME.augment): "
                "no view would differ from its row"
            )
        if isinstance(training.modality_dropout, dict) and not set(training.modality_dropout) <= set(self.modalities):
            got = ", ".join(training.modality_dropout)
            raise ValueError(f"{owner}.train.modality_dropout: got {got}, expected some of: {known}")
        if training.also_full_input and (training.mixup or not training.modality_dropout):
            got = "with mixup, which has answers of its own" if training.mixup else "without modality_dropout"
            raise ValueError(f"{owner}.train.also_full_input: got it {got}")
        if training.modality_dropout == "complementary_subsets" and (training.also_full_input or training.mixup):
            got = f"complementary_subsets with {'mixup' if training.mixup else 'also_full_input'}"
            raise ValueError(f"{owner}.train.modality_dropout: got {got}, expected one of the two")
        if training.mixup and fusions.headless(self.networks["student" if owner == "distill" else owner].fusion):
            raise ValueError(f"{owner}.train.mixup: got it beside a fusion with heads of its own, which mixes answers")

    def _check_finetuning(self, owner: str, training: Training) -> None:
        """Raise ValueError where a training ends before an encoder that it fine-tunes is unfrozen. A teacher that is
        frozen first doesn't wait."""
        section = "student" if owner == "distill" else owner
        if section == "teacher" and self.trained and self.trained.frozen_first:
            return
        for name, encoder in self.networks[section].encoders.items():
            finetune = encoder.get("finetune")
            if finetune is not None and finetune.unfreeze_after >= training.epochs:
                got = f"{finetune.unfreeze_after} with {owner}.train.epochs: {training.epochs}"
                raise ValueError(f"{section}.encoders.{name}.finetune.unfreeze_after: got {got}, expected fewer")

    def _check_schedules(self) -> None:
        """Raise ValueError where a schedule names no loss, or a temperature for a loss that has none."""
        for name, schedule in self.distill.schedules.items():
            if name not in self.distill.losses:
                raise ValueError(f"distill.schedules: got '{name}', expected some of: {', '.join(self.distill.losses)}")
            if schedule.temperature is not None and not self.distill.losses[name].has("temperature"):
                raise ValueError(f"distill.schedules.{name}: got a temperature for a loss that has none")

    def _check_modalities(self) -> None:
        """Raise ValueError where a modality has no encoder or a reserved name, or a teacher covers an unknown one."""
        known = ", ".join(self.modalities)
        has_selection = any(network.modalities for network in self.networks.values())  # then others may be left out
        for name in self.modalities:
            if not has_selection and not any(name in network.encoders for network in self.networks.values()):
                owner = " or ".join(self.networks)
                raise ValueError(f"modalities.{name}: got an encoder in no network, expected one in {owner}")
        for name in self.modalities:
            if not name.isidentifier():
                raise ValueError(f"modalities.{name}: expected a plain word")
            if name in RESERVED:
                raise ValueError(f"modalities.{name}: this name is reserved, expected another, say column_{name}")
        if isinstance(self.teacher, TeacherSettings):
            for key, part in self.teacher.everyone().items():
                for name in part.covers:
                    if name not in self.modalities:
                        where = ".".join(filter(None, ("teacher", key, "covers")))
                        raise ValueError(f"{where}: got '{name}', expected some of: {known}")

    @model_validator(mode="after")
    def _candidates(self) -> Recipe:
        """Each candidate must fit the rest of the recipe, as the student does; transcripts have none."""
        if self.student.candidates and sequence_targets.is_sequence(self.data):
            raise ValueError("student.candidates: got some for a target of kind tokens, expected none")
        for name, network in self.student.candidates.items():
            try:
                self.with_student(network.bare())
            except ValidationError as error:
                message = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"student.candidates.{name}: {message}") from None
        return self

    @model_validator(mode="after")
    def _teacher_for_each_seed(self) -> Recipe:
        """A teacher for each seed of the student: as many seeds, each a teacher of its own."""
        if self.distill.teachers == "one":
            return self
        if self.trained is None:
            raise ValueError("distill.teachers: got each, expected one: the run trains no teacher")
        if self.trained.ensemble or self.trained.folds is not None:
            got = "an ensemble" if self.trained.ensemble else "teacher.folds"
            raise ValueError(f"distill.teachers: got each beside {got}, which has one answer of all its networks")
        if self.trained.num_seeds != self.distill.num_seeds or self.distill.num_seeds < 2:
            got = f"{self.trained.num_seeds} for {self.distill.num_seeds} seeds of the student"
            raise ValueError(
                f"teacher.num_seeds: got {got}, expected the same number, 2 or more (distill.teachers: each)"
            )
        return self

    @model_validator(mode="after")
    def _alone(self) -> Recipe:
        """The labels-only baseline's own settings must fit the same student."""
        baseline, train = self.distill.baseline, self.distill.train
        if (
            baseline
            and baseline.train.mixup
            and (train.also_full_input or train.modality_dropout == "complementary_subsets")
        ):
            got = "also_full_input" if train.also_full_input else "modality_dropout complementary_subsets"
            raise ValueError(f"distill.baseline.train.mixup: got it beside distill.train.{got}")
        if baseline and baseline.train.mixup and fusions.headless(self.student.fusion):
            raise ValueError("distill.baseline.train.mixup: got it beside a fusion with heads of its own")
        if baseline and baseline.epochs != "auto" and baseline.epochs < train.epochs:
            expected = f"auto, or at least the student's {train.epochs} (distill.train.epochs)"
            raise ValueError(f"distill.baseline.epochs: got {baseline.epochs}, expected {expected}")
        own_epochs = baseline.train.epochs if baseline else None
        if own_epochs is not None and own_epochs < train.epochs:
            expected = f"at least the student's {train.epochs} (distill.train.epochs)"
            raise ValueError(f"distill.baseline.train.epochs: got {own_epochs}, expected {expected}")
        if own_epochs is not None and baseline and baseline.epochs != "auto":
            raise ValueError(f"distill.baseline.train.epochs: got {own_epochs} beside distill.baseline.epochs")
        able = [n for n in self.student.encoders if self.modalities[n].has("augment")]
        for name, augment in (baseline.augment if baseline else {}).items():
            where = f"distill.baseline.augment.{name}"
            if name not in able:
                expected = f"some of: {', '.join(able)}" if able else "none: no modality of the student has views"
                raise ValueError(f"distill.baseline.augment: got '{name}', expected {expected}")
            if self.student.encoders[name].get("frozen"):
                raise ValueError(f"{where}: got it beside a frozen encoder, which sees rows as they are")
            try:
                _augmented(self.modalities[name], augment)
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(str(p) for p in (where, *first["loc"][1:]))
                message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
                known = {"extra_forbidden": f"a key of modalities.{name}.augment"}.get(first["type"], message)
                raise ValueError(f"{place}: got {first['input']!r}, expected {known}") from None
        return self

    def viewed_modalities(self, distilled: bool) -> dict[str, ModalitySettings]:
        """The modalities with the augmentation of a student's views: the recipe's for the distilled student; for the
        baseline that of ``distill.baseline.augment`` where it names a modality, else the distilled student's."""
        overrides = None if distilled or self.distill.baseline is None else self.distill.baseline.augment
        if not overrides:
            return self.modalities
        off = {} if self.distill.train.augment else {n: type(m).model_fields for n, m in self.modalities.items()}
        changed = {n: fields["augment"].default for n, fields in off.items() if "augment" in fields} | overrides
        return {n: _augmented(m, changed[n]) if n in changed else m for n, m in self.modalities.items()}

    def baseline_modalities(self) -> dict[str, ModalitySettings]:
        """The modalities that ``distill.baseline.augment`` names, with that augmentation."""
        baseline = self.distill.baseline
        return {n: _augmented(self.modalities[n], a) for n, a in (baseline.augment if baseline else {}).items()}

    @model_validator(mode="after")
    def _tapped(self) -> Recipe:
        """Features that losses read must exist."""
        teacher = tuple(self.trained.encoders) if self.trained else None
        columns = {name: modality.columns for name, modality in self.modalities.items()}
        _check_taps(self.distill.losses, tuple(self.student.encoders), teacher, columns)
        return self

    @model_validator(mode="after")
    def _stored(self) -> Recipe:
        """The store must contain what the student's training reads."""
        sequence_targets.check_frames(
            self.distill.losses,
            {name: self.modalities[name] for name in self.student.encoders},
            self.distill.train.augment,
            self.extract.views,
        )
        for name in {n for s in self.extract.subsets if not isinstance(s, str) for n in s}:
            if name not in self.modalities:
                raise ValueError(f"extract.subsets: got {name}, expected some of: {', '.join(self.modalities)}")
        if self.distill.teacher_input == "masked" and self.distill.train.modality_dropout == "complementary_subsets":
            raise ValueError(
                "distill.train.modality_dropout: got complementary_subsets beside distill.teacher_input masked, "
                "expected full"
            )
        if self.distill.teacher_input == "masked" and self.distill.train.also_full_input:
            raise ValueError("distill.train.also_full_input: got it beside distill.teacher_input masked, expected full")
        if self.distill.teacher_input == "masked" and self.extract.subsets == "full":
            raise ValueError(
                "distill.teacher_input: got masked with extract.subsets full, expected subsets: all, each or a list"
            )
        if self.extract.views:
            augmented = [n for n, m in self.modalities.items() if _varies(m.get("augment"))]
            if not augmented or not self.distill.train.augment:
                raise ValueError(
                    f"extract.views: got {self.extract.views}, expected 0 without distill.train.augment and a modality "
                    "with augment: the student would see no view"
                )
            for name in augmented:
                if name in self.student.encoders and self.student.encoders[name].get("frozen"):
                    raise ValueError(
                        f"extract.views: got {self.extract.views}, expected 0: the student's encoder of {name} is "
                        "frozen and sees rows as they are"
                    )
        return self


def _varies(augment: Any) -> bool:
    """Whether a modality's ``augment`` makes any view differ."""
    return any(augment.model_dump().values()) if isinstance(augment, BaseModel) else bool(augment)


def _augmented(modality: ModalitySettings, augment: Any) -> ModalitySettings:
    """The modality with another ``augment``. Raises ValidationError where it can't have that."""
    return type(modality).model_validate({**modality.model_dump(), "augment": augment})


def default_losses(data: dict, teacher: Any = None) -> dict[str, dict]:
    """Losses on labels and on the teacher's logits, by the kinds of the targets and what the teacher is (as raw
    YAML)."""
    names = [data.get("target")] if isinstance(data.get("target"), str) else data.get("target") or []
    tasks: Any = data.get("tasks")
    settings = [tasks[n] if isinstance(tasks, dict) and isinstance(tasks.get(n), dict) else {} for n in names]
    kinds = {task.get("kind", "classes") for task in settings}
    losses: dict[str, dict] = {"labels": {"kind": "task", "weight": 0.1}}
    if kinds == {"tokens"}:
        facts = teacher if isinstance(teacher, dict) else {}
        is_text = facts.get("form") == TRANSCRIPTS or facts.get("kind") == "recogniser"
        kind = "sequence_kd" if is_text else "ctc_kd"
        return {"labels": {"kind": "task", "weight": 0.5}, "soft": {"kind": kind, "weight": 0.5}}
    if "classes" in kinds or not kinds & {"labels", "number"}:
        losses["soft"] = {"kind": "kd", "weight": 0.9, "temperature": 2.0}
    if "labels" in kinds:
        losses["soft_labels"] = {"kind": "multilabel_kd", "weight": 0.9}
    if "number" in kinds:
        losses["soft_numbers"] = {"kind": "regression_kd", "weight": 0.9}
    return losses


def _check_taps(
    losses: Mapping[str, PartSettings],
    student: Sequence[str],
    teacher: Sequence[str] | None,
    columns: Mapping[str, Any],
) -> None:
    """Raise ValueError where a loss names a feature of a modality that the student, or the teacher, doesn't read.

    ``student``, ``teacher``: the modalities that they read; None of a teacher from outside, whose features are known
    when it is there. ``columns``: modality -> what it is read from; forms of one input are read from the same.
    """
    for name, loss in losses.items():
        for key in filter(loss.has, TAP_KEYS):
            value, where = loss.get(key), f"distill.losses.{name}"
            own_key = next(filter(loss.has, TEACHER_TAP_KEYS), "")
            own_tap = loss.get(own_key, "")
            for tap in (value,) if isinstance(value, str) else value:
                _known(f"{where}.{key}", tap, "student", student, key)
                if teacher is None:
                    continue
                forms = [form for form in teacher if columns.get(form) == columns.get(tap)] if tap != FUSED else []
                hint = (
                    f"; the teacher reads that as {forms[0]}: add `{own_key}: {forms[0]}`" if forms and own_key else ""
                )
                _known(f"{where}.{own_key if own_tap else key}", own_tap or tap, "teacher", teacher, key, hint)


def _known(where: str, tap: str, owner: str, modalities: Sequence[str], key: str, hint: str = "") -> None:
    known = (*((FUSED,) if key in ("tap", "taps") else ()), *modalities)
    if tap not in known:
        raise ValueError(f"{where}: got '{tap}', which the {owner} hasn't, expected some of: {', '.join(known)}{hint}")
