"""The networks of a recipe, and how they are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from .. import fusions, teachers
from ..errors import did_you_mean
from ..registry import Settings, TeacherSettings, settings
from .part_kinds import Encoder, Fusion, Share


class Network(Settings):
    """One network: an encoder per modality, a fusion, a head."""

    encoders: dict[str, Encoder]
    modalities: tuple[str, ...] = ()  # modalities to use; default: all. The other encoders are left out
    fusion: Fusion  # without one: `gated` for one or two modalities, `transformer` for more
    hidden: int = Field(default=0, ge=0)  # width of the head's hidden layer; 0: none
    dropout: float = Field(default=0.0, ge=0, lt=1)
    unimodal_weight: float = Field(default=0.0, ge=0)  # of the losses of each modality's own head; 0: no such heads

    @property
    def unimodal_heads(self) -> bool:
        """Whether each modality has a head of its own beside the joint one."""
        return self.unimodal_weight > 0 and len(self.encoders) > 1

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, raw: Any) -> Any:
        """Drop the encoders of unused modalities, and write out the default fusion for their number."""
        if not isinstance(raw, dict):
            return raw
        encoders, modalities = raw.get("encoders"), raw.get("modalities")
        if isinstance(encoders, dict) and isinstance(modalities, (list, tuple)) and modalities:
            unknown = [name for name in modalities if name not in encoders]
            if unknown:
                raise ValueError(f"modalities: got '{unknown[0]}', expected some of: {', '.join(encoders)}")
            encoders = {name: encoder for name, encoder in encoders.items() if name in modalities}
            raw = {**raw, "encoders": encoders}
        if "fusion" in raw:
            return raw
        return {**raw, "fusion": {"kind": fusions.default_kind(len(encoders) if isinstance(encoders, dict) else 0)}}

    @model_validator(mode="after")
    def _fits(self) -> Network:
        """Refuse a fusion that doesn't take so many modalities, and a head after one that has its own."""
        count, kind, (low, high) = len(self.encoders), self.fusion.kind, fusions.takes(self.fusion)
        if count and not low <= count <= high:
            expected = str(low) if low == high else f"{low} to {high}"
            got = f"{count} {'modality' if count == 1 else 'modalities'}"
            raise ValueError(f"got {got} for fusion '{kind}', expected {expected}")
        if fusions.headless(self.fusion) and (self.hidden or self.dropout):
            raise ValueError(f"got hidden or dropout beside fusion '{kind}', expected neither: it has its own heads")
        return self

    def bare(self) -> Network:
        """The network without how it is trained."""
        return Network.model_validate(self.model_dump(include=set(Network.model_fields)))

    def only(self, name: str) -> Network:
        """The network on one modality; concatenation stands in for a fusion that takes more."""
        fusion = self.fusion
        if fusions.takes(fusion)[0] > 1:
            width = {"width": fusion.get("width")} if fusion.has("width") else {}
            fusion = settings(fusions.TABLE, {"kind": "concat", **width})
        return self.bare().model_copy(
            update={"encoders": {name: self.encoders[name]}, "modalities": (), "fusion": fusion}
        )

    def dropped(self, rate: float) -> Network:
        """The network with this dropout: of its head, or of its encoders where its fusion has heads of its own."""
        if not fusions.headless(self.fusion):
            return self.model_copy(update={"dropout": rate})
        encoders = {
            name: encoder.model_copy(update={"dropout": rate}) if encoder.has("dropout") else encoder
            for name, encoder in self.encoders.items()
        }
        return self.model_copy(update={"encoders": encoders})


class Training(Settings):
    """How a network is trained; the same for teacher and student."""

    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)  # not of biases, norms, embeddings, learned tokens
    warmup: float = Field(default=0.05, ge=0, lt=1)  # share of all steps
    clip: float = Field(default=1.0, gt=0)  # largest norm of the gradient
    accumulate: int = Field(default=1, ge=1, le=4096)  # batches that make one step of the optimiser
    mixup: float = Field(default=0.0, ge=0, le=10)  # alpha of Beta(alpha, alpha), of joint vectors; 0: none
    ema: float = Field(
        default=0.0, ge=0, lt=1
    )  # decay of the weights' moving average, which is judged and kept; 0: none
    patience: int = Field(default=0, ge=0)  # epochs without a better validation score before stopping; 0: never
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    modality_dropout: Literal["uniform", "complementary_subsets"] | Share | dict[str, Share] = (
        0.0  # complementary_subsets: see :mod:`suffuse.data.training_views`
    )
    also_full_input: bool = (
        False  # rows that lose modalities are learned whole too: losses on answers are the mean over both
    )
    augment: bool = False  # as the modalities' own ``augment`` says; frozen encoders see rows as they are
    checkpoint_metric: Literal["full_input", "subsets"] | None = (
        None  # chooses the epoch; None: `subsets` with complementary_subsets, else full_input
    )

    @property
    def by_subsets(self) -> bool:
        """Whether epochs, seeds and candidates are chosen by the mean score over subsets of the modalities."""
        return self.checkpoint_metric == "subsets" or (
            self.checkpoint_metric is None and self.modality_dropout == "complementary_subsets"
        )

    @field_validator("modality_dropout", mode="before")
    @classmethod
    def _dropout(cls, value: Any) -> Any:
        shares = value.values() if isinstance(value, dict) else [value]
        if value not in ("uniform", "complementary_subsets") and not all(
            isinstance(v, (int, float)) and 0 <= v <= 1 for v in shares
        ):
            expected = "a share from 0 to 1, `uniform`, `complementary_subsets`, or {modality: share}"
            raise ValueError(f"got {value!r}, expected {expected}")
        return value


class OwnTraining(Settings):
    """Training settings that may differ; None: as in the other training."""

    epochs: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    warmup: float | None = Field(default=None, ge=0, lt=1)
    mixup: float | None = Field(default=None, ge=0, le=10)
    ema: float | None = Field(default=None, ge=0, lt=1)

    def applied(self, training: Training) -> Training:
        """The other training with these settings."""
        return training.model_copy(update=self.model_dump(exclude_none=True))


class Portfolio(Settings):
    """Classical models (scikit-learn) of each modality beside the teacher's network: their late fusion teaches."""

    folds: int = Field(
        default=5, ge=2, le=20
    )  # parts of the training rows; each is answered by models fitted on the rest
    table_kinds: tuple[Literal["boosting", "trees", "linear", "kernel"], ...] = Field(
        default=("boosting", "trees", "linear", "kernel"), min_length=1
    )  # models of a table
    seconds: float | None = Field(
        default=None, ge=0
    )  # estimated, of all models; those that don't fit are skipped, but for the cheapest of each modality

    @field_validator("table_kinds")
    @classmethod
    def _different(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"got {', '.join(kinds)}, expected each kind once")
        return kinds


class Teacher(Network):
    """The strong model."""

    train: Training = Training()
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # of the labels
    num_seeds: int = Field(default=1, ge=1, le=20)  # trainings; the best on validation teaches, all are scored
    unimodal_baselines: bool = False  # also the teacher on each modality alone
    folds: int | None = Field(default=None, ge=2, le=20)  # training rows are answered by networks that didn't see them
    ensemble: bool = False  # all seeds teach together: the mean of their probabilities
    # train on frozen encoders, fine-tune from there, keep the better one on validation; a number: epochs of fine-tuning
    frozen_first: bool | Annotated[int, Field(ge=1)] = False
    portfolio: Portfolio | None = None  # classical models teach together with the network

    @model_validator(mode="after")
    def _several(self) -> Teacher:
        if self.ensemble and self.num_seeds < 2:
            raise ValueError("got an ensemble of one seed, expected num_seeds: 2 or more")
        if self.ensemble and self.folds is not None:
            raise ValueError("got an ensemble and folds, expected one of them: each says who answers the training rows")
        if self.frozen_first and not any(encoder.get("finetune") is not None for encoder in self.encoders.values()):
            raise ValueError("got frozen_first without an encoder that is fine-tuned (encoders.NAME.finetune)")
        return self


def _teacher(value: Any) -> Any:
    """The network that the run trains, or the external teacher that ``kind`` names."""
    if not isinstance(value, dict) or "kind" not in value:
        return value if isinstance(value, TeacherSettings) else Teacher.model_validate(value)
    if value["kind"] == "trained":
        return Teacher.model_validate({key: setting for key, setting in value.items() if key != "kind"})
    if not teachers.TABLE.knows(str(value["kind"])):
        names = ["trained", *teachers.TABLE.names()]
        raise ValueError(f"got kind '{value['kind']}', {did_you_mean(str(value['kind']), names)}")
    return settings(teachers.TABLE, value)


AnyTeacher = Teacher | TeacherSettings
if not TYPE_CHECKING:
    AnyTeacher = Annotated[SerializeAsAny[Settings], BeforeValidator(_teacher)]
