"""Settings of the stages after the teacher."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ..registry import KindTable, PartSettings, Settings
from .goal import byte_size
from .networks import OwnTraining, Training
from .part_kinds import Loss, listed


class Schedule(Settings):
    """Final weight and temperature of a loss; one that isn't named stays constant."""

    weight: float | None = Field(default=None, ge=0)
    temperature: float | None = Field(default=None, gt=0)
    shape: Literal["linear", "cosine"] = "linear"

    def done(self, share: float) -> float:
        """How much of the way from the first value to the last, after this share (0 to 1) of the training."""
        return share if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * share))

    def factor(self, first: float, share: float) -> float:
        """The factor of a weight that began as ``first``."""
        return 1.0 if self.weight is None else 1 + (self.weight / first - 1) * self.done(share)

    def settings(self, first: PartSettings, share: float) -> PartSettings:
        """The loss's settings at this moment."""
        if self.temperature is None:
            return first
        start = first.temperature  # pyright: ignore
        return first.model_copy(update={"temperature": start + (self.temperature - start) * self.done(share)})


def _subsets(value: Any) -> Any:
    """A word, or a list of lists of names (one name may stand without a list)."""
    if value in ("full", "each", "all"):
        return value
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(s, (str, list, tuple)) for s in value):
        raise ValueError(f"got {value!r}, expected full, each, all, or a list of lists of modalities")
    lists = [(s,) if isinstance(s, str) else tuple(s) for s in value]
    if not all(s and all(isinstance(name, str) for name in s) and len(set(s)) == len(s) for s in lists):
        raise ValueError(f"got {value!r}, expected in each list one or more modalities, each once")
    return tuple(lists)


class Extract(Settings):
    """What is stored of the teacher."""

    subsets: Annotated[Literal["full", "each", "all"] | tuple[tuple[str, ...], ...], BeforeValidator(_subsets)] = "full"
    views: int = Field(default=0, ge=0, le=1000)  # augmented views of every training row that are answered too
    top_k: int = Field(default=0, ge=0)  # classes of an answer that are kept, and the others' sum; 0: all
    dtype: Literal["float16", "float32"] = "float16"


def _rival(value: Any) -> Any:
    """``true`` is the usual cap, ``false`` none."""
    return {True: 20, False: None}[value] if isinstance(value, bool) else value


Times = Annotated[int, Field(ge=2, le=1000)]
Fraction = Annotated[float, Field(gt=0, le=1)]


Fractions = Annotated[tuple[Fraction, ...], Field(min_length=1)]


class Baseline(Settings):
    """Settings of the labels-only baseline that differ from the student's. It has as many steps as the student; where
    the comparison isn't settled, it is trained longer too."""

    # auto: the student's, and 2, 4 and 8 times as many where the comparison isn't settled; a number: so many, no others
    epochs: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    train: OwnTraining = OwnTraining()
    dropout: float | None = Field(default=None, ge=0, lt=1)  # of the head; where the fusion has heads: of the encoders
    augment: dict[str, Any] = Field(default_factory=dict)  # modality -> its ``augment`` here; of others the student's


class Distill(Settings):
    """Training of the student, and the networks that it is compared with."""

    teacher_input: Literal["full", "masked"] = "full"  # for a row that lost modalities: the answer with or without them
    train: Training = Training()
    losses: dict[str, Loss] = Field(default_factory=dict, validate_default=False)  # by the targets where none is named
    schedules: dict[str, Schedule] = Field(default_factory=dict)  # loss -> what it ends with
    balance_losses: Literal["gradient_norm"] | None = (
        None  # losses' weights as shares of the gradient norm at the start
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # of the labels, for the baseline
    baseline: Baseline | None = None  # what else is its own
    num_seeds: int = Field(default=3, ge=1, le=20)
    teachers: Literal["one", "each"] = "one"  # each: every seed learns from the teacher's seed of the same number
    label_fractions: tuple[
        Annotated[float, Field(gt=0, lt=1)], ...
    ] = ()  # also with this share of the labels, e.g. [0.05]
    compute_matched_baseline: Annotated[Times | None, BeforeValidator(_rival)] = None  # see docs; `true` is 20
    unimodal_baselines: bool | Annotated[int, Field(ge=1)] = True  # also the student on each modality alone; a number:
    # with so many epochs
    weak_teacher: Literal["warn", "stop"] = "warn"  # where it scores below the labels-only baseline, on validation

    @property
    def longer_baselines(self) -> bool:
        """Whether baselines of comparisons that aren't settled are trained longer too."""
        return self.baseline is None or self.baseline.epochs == "auto"


# probe -> module with ``probe(context)``, in the order in which they run
PROBES = KindTable(
    "probes",
    Settings,
    {
        "ranking": "suffuse.evaluation.ranking_metrics",
        "agreement": "suffuse.evaluation.agreement",
        "missing": "suffuse.evaluation.missing_modalities",
        "temperature": "suffuse.evaluation.calibration",
        "contribution": "suffuse.evaluation.contribution",
        "robustness": "suffuse.evaluation.robustness",
        "explained": "suffuse.evaluation.explained_rows",
        "size": "suffuse.evaluation.size",
        "latency": "suffuse.evaluation.latency",
    },
)


def _probes(value: Any) -> Any:
    """``all``, or names of probes."""
    names = ("all",) if value == "all" else listed(value)
    if not isinstance(names, (list, tuple)) or not all(PROBES.knows(str(n)) for n in names if value != "all"):
        raise ValueError(f"got {value!r}, expected all, or some of: {', '.join(PROBES.names())}")
    return value if value == "all" else tuple(names)


class Evaluate(Settings):
    """Confidence intervals, slices and probes."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=1000, ge=100, le=100_000)
    slice_by: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()  # columns: scores for each of their values too
    label_curve: Fractions | None = None  # also with these shares of the labels, e.g. [0.05, 0.1, 0.25, 0.5]
    classical_baselines: bool = True  # also scikit-learn models on each modality, and their late fusion
    controls: bool = True  # also teacher and student with each modality blank, and shuffled among the test rows
    probes: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_probes)] = (
        "all"  # what else is measured, e.g. [agreement, missing]
    )
    probe_rows: int = Field(default=2000, ge=64)  # test rows that costly probes look at: missing, contribution, ...


def _off(value: Any) -> Any:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


class Limits(Settings):
    """Limits of one record, and of the records of one request, to an exported model; larger ones are refused."""

    pixels: int = Field(default=64_000_000, ge=1)  # of a picture, before it is made smaller
    seconds: float = Field(default=600.0, gt=0)  # of a sound
    characters: int = Field(default=100_000, ge=1)  # of a text
    cell_bytes: int = Field(default=134_217_728, ge=1)  # of a picture's or a sound's file
    records: int = Field(default=1000, ge=1)  # of one request to a server


class Export(Settings):
    """Tolerances of the exported file, and additional exports."""

    tolerance: float = Field(default=1e-4, gt=0)  # largest difference of a probability from torch
    int8: Annotated[Literal["auto", "static", "dynamic", "off"], BeforeValidator(_off)] = "auto"
    agreement: float = Field(default=0.9, ge=0, le=1)  # least share of int8 answers equal to fp32's, on every subset
    max_metric_drop: float = Field(
        default=0.02, ge=0, le=1
    )  # most of the main metric that int8 may lose, on every subset
    torch: bool = False  # also the network, as model.safetensors and config.json, for FusionModel.from_pretrained
    limits: Limits = Limits()
    teacher: bool = True  # also the teacher that the run trained, to compare size and time with
    examples: int = Field(default=0, ge=0, le=5)  # validation rows that the export carries, for the page of `serve`


class RaySettings(Settings):
    """The Ray cluster that trainings run on, and what each training takes of it."""

    address: str | None = None  # HOST:PORT, or auto: the cluster that this machine belongs to; None: one started here
    cpus: float = Field(default=1, gt=0, le=256)
    gpus: float = Field(default=0, ge=0, le=64)  # parts of one may be shared: 0.25
    memory: Annotated[int | None, BeforeValidator(byte_size)] = None  # bytes that Ray reserves; None: none
    retries: int = Field(default=3, ge=0, le=100)  # of a training whose node or process is lost

    @field_validator("address")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("ray://"):
            expected = "auto or HOST:PORT, with suffuse started on a node of the cluster"
            raise ValueError(f"got {value!r} (Ray Client), expected {expected}")
        if value not in (None, "auto") and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}", value):
            raise ValueError(f"got {value!r}, expected auto or HOST:PORT")
        return value

    @model_validator(mode="after")
    def _divisible(self) -> RaySettings:
        """Ray shares parts of one GPU, not of several."""
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus: got {self.gpus:g}, expected a whole number, or a part of one")
        return self


class Compute(Settings):
    """Device, threads and processes; results depend on device and ``threads`` in their last bits."""

    device: str = "auto"  # auto, cpu, cuda, cuda:N, mps, xpu: see :func:`suffuse.engine.runtime.device_of`
    deterministic: bool | None = None  # kernels that give the same bits each time; None: on the processor alone
    threads: int = Field(default=2, ge=1, le=256)
    processes: int = Field(default=1, ge=1, le=256)  # that share each training, and the threads
    tracker: Literal["mlflow", "wandb"] | None = (
        None  # gets epochs, recipe and test scores: see :mod:`suffuse.tracking`
    )
    tensorboard: bool = False  # also write the trainings' curves to `tensorboard/` in the run folder, as they go on
    executor: Literal["local", "ray"] = "local"  # where the trainings of teach and distill run
    ray: RaySettings | None = None  # of executor ray; None: its defaults

    @property
    def cluster(self) -> RaySettings | None:
        """The Ray cluster that trainings run on; None where they run on this machine alone."""
        return (self.ray or RaySettings()) if self.executor == "ray" else None

    @field_validator("device")
    @classmethod
    def _named(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?|mps|xpu", value):
            raise ValueError(f"got {value!r}, expected auto, cpu, cuda, cuda:N, mps or xpu")
        return value

    @model_validator(mode="after")
    def _placed(self) -> Compute:
        """What goes with the executor."""
        cluster = self.cluster
        if cluster is None:
            if self.ray is not None:
                raise ValueError("ray: got it with executor local, expected executor: ray")
            return self
        if self.processes > 1:
            raise ValueError(f"processes: got {self.processes} with executor ray, where each training has one process")
        if self.device == "cpu" and cluster.gpus:
            raise ValueError(f"ray.gpus: got {cluster.gpus:g} with device cpu, expected 0")
        if self.device not in ("auto", "cpu") and not cluster.gpus:
            raise ValueError(f"device: got {self.device} with executor ray, expected ray.gpus above 0 beside it")
        if ":" in self.device:
            raise ValueError(f"device: got {self.device} with executor ray, which chooses the device: expected cuda")
        return self
