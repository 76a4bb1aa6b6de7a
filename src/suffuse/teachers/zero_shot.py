"""A pretrained model that never saw this run's classes as the teacher: it compares a row's picture or text with prompts
that name the classes (CLIP: Radford et al. 2021; SigLIP: Zhai et al. 2023).

With the unit vectors x of a row and t_k of the K prompts of a class (each name in each template):

    w = mean_k t_k / |mean_k t_k|          prompt ensembling (Radford et al. 2021, section 3.1.4)
    logit = s <x, w>                       s: the model's own logit scale, or 1 / temperature

SigLIP adds a bias to its logits, the same for all classes, which changes no probability here and is left out.

``reads: image`` takes a model with vectors of pictures and texts in one space: transformers' CLIP, SigLIP and the like,
or a folder of open_clip's.
``reads: text`` also takes any encoder of sentences; its vectors are pooled over real tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from .. import temperature_scaling
from ..encoders.huggingface import placed_model
from ..errors import UsageError, did_you_mean
from ..registry import NameList, TeacherSettings
from ..types import CLASSES, Head
from .embedding_model import EmbeddingModel, open_model
from .matching import LOGITS
from .open_clip_model import OpenClipModel, is_open_clip, open_folder
from .pretrained import read_picture

if TYPE_CHECKING:
    from ..modalities.cell import Root
    from ..prepare.raw_cells import RawRows
    from ..recipe.stage_settings import Compute

LABEL = "{label}"
TEMPLATES = {"image": ("a photo of a {label}.",), "text": (LABEL,)}  # where the recipe has none
FEWEST_FITTED, MOST_FITTED = 20, 1000  # labelled validation rows that a temperature is fitted on
TEXT_TEMPERATURE = 0.05  # of texts: sentence encoders are trained with cosines times 20 (sentence-transformers)


def _text_keys(value: Any) -> Any:
    """Class names that YAML reads as numbers, as texts."""
    is_map = isinstance(value, dict)
    return {str(key): words for key, words in cast("dict[Any, Any]", value).items()} if is_map else value


ClassNames = Annotated[dict[str, NameList], BeforeValidator(_text_keys)]


class Settings(TeacherSettings):
    """Which model, what it reads, and how the classes are put into words."""

    kind: Literal["zero_shot"] = "zero_shot"
    FILES: ClassVar = ("name",)
    name: str = Field(description="A folder, `package:NAME`, or a name in the Hugging Face cache.")
    reads: Literal["image", "text"] = Field(
        description="Kind of input. `image` needs a model such as CLIP or SigLIP; `text` also takes sentence encoders."
    )
    column: str = Field(description="Column that it reads.")
    templates: NameList = Field(
        default=(),
        max_length=1000,
        description="Prompts, each with `{label}`; a class's vector is the mean over them. Default: `a photo of a "
        "{label}.` for pictures, `{label}` for texts.",
    )
    class_names: ClassNames = Field(
        default_factory=dict[str, NameList],
        description="Class to the words that prompts call it by: one text, or several. Default: its own name.",
    )
    temperature: Annotated[float, Field(gt=0, le=100)] | Literal["fitted"] | None = Field(
        default=None,
        description="What cosines are divided by; `fitted`: what gives labelled validation rows the least log loss. "
        "Default: of pictures the model's own logit scale, of texts 0.05.",
        examples=["fitted"],
    )
    pool: Literal["mean", "cls"] = Field(
        default="mean", description="Vector of a sentence encoder: `mean` over real tokens, or `cls` (first token)."
    )
    length: int | None = Field(
        default=None, ge=2, description="Largest number of tokens of a text. Default: the model's limit."
    )
    batch: int = Field(default=32, ge=1, description="Rows per batch.")

    @field_validator("templates")
    @classmethod
    def _with_label(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for template in value:
            if LABEL not in template:
                raise ValueError(f"got the template '{template}', expected {LABEL} in it: where a class's name stands")
        return value

    @field_validator("class_names")
    @classmethod
    def _in_words(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, words in value.items():
            if not words or not all(text.strip() for text in words):
                raise ValueError(f"got no words for '{name}', expected a text, or several")
        return value

    def placed(self, base: Path) -> Settings:
        """A folder's path from ``base``; other names stay names."""
        return self.model_copy(update={"name": placed_model(self.name, base)})


@dataclass(frozen=True)
class ZeroShotSource:
    """A model, and the prompts of each class."""

    settings: Settings
    model: EmbeddingModel | OpenClipModel
    raw: RawRows
    outputs: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]  # of each output
    where: str  # the recipe's key
    form: str = LOGITS

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modality of its column."""
        return self.raw.named((self.settings.column,))

    @cached_property
    def scale(self) -> float:
        """What cosines are multiplied by. Raises UsageError where it is to be fitted, on too few rows."""
        temperature = self.settings.temperature
        if isinstance(temperature, float):
            return 1 / temperature
        own = self.model.logit_scale if self.settings.reads == "image" else None
        scale = own or 1 / TEXT_TEMPERATURE
        return scale if temperature is None else scale / self._fitted(scale)

    def _fitted(self, scale: float) -> float:
        """The temperature of logits with this scale (Guo et al. 2017) on validation rows, of many the first."""
        from ..data.columns import Columns

        columns = Columns.open(self.raw.run.path("data"))
        rows = columns.labelled("validation")[:MOST_FITTED]
        cosines = self._cosines(rows, frozenset())
        answered = ~np.isnan(cosines).any(1)
        if answered.sum() < FEWEST_FITTED:
            raise UsageError(
                "too few labelled validation rows to fit a temperature", where=f"{self.where}.temperature",
                got=int(answered.sum()), expected=f"{FEWEST_FITTED} or more that the teacher can read",
            )  # fmt: skip
        fitted = temperature_scaling.fit(columns.spec, scale * cosines[answered], columns.target[rows[answered]])
        return fitted[columns.spec.heads[0].name]

    @cached_property
    def class_vectors(self) -> np.ndarray:
        """(T, D) float32 unit vectors: the mean over the prompts of each class."""
        texts = [prompt for prompts in self.prompts for prompt in prompts]
        size = self.settings.batch
        vectors = np.concatenate([self.model.texts(texts[at : at + size]) for at in range(0, len(texts), size)])
        ends = np.cumsum([len(prompts) for prompts in self.prompts])[:-1]
        means = np.stack([unit_vectors(part).mean(0) for part in np.split(vectors, ends)])
        return unit_vectors(means)

    def fingerprint(self) -> str:
        """Hash of the model, its processors, the prompts and what is read."""
        facts = self.settings.model_dump(mode="json", include={"reads", "column"})
        facts |= {"prompts": self.prompts, "outputs": self.outputs, "scale": self.scale}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update(self.model.fingerprint().encode())
        return digest.hexdigest()

    def facts(self) -> dict:
        """Its number of parameters and of prompts, and a temperature that was fitted."""
        fitted = {"temperature": 1 / self.scale} if self.settings.temperature == "fitted" else {}
        return {"parameters": self.model.parameters, "prompts": sum(map(len, self.prompts)), **fitted}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """Logits; NaN for a row whose cell is empty or can't be read."""
        return {"logits": np.float32(self.scale) * self._cosines(rows, hidden)}

    def _cosines(self, rows: np.ndarray, hidden: frozenset[str]) -> np.ndarray:
        """(B, C) float32 of each row with each class, a batch at a time; NaN where :meth:`answer` has it."""
        cosines = np.full((len(rows), len(self.outputs)), np.nan, np.float32)
        is_image = self.settings.reads == "image"
        read: Callable[[Any, Root], Any] = read_picture if is_image else read_text
        embed: Callable[[list[Any]], np.ndarray] = self.model.pictures if is_image else self.model.texts
        for start in range(0, len(rows), self.settings.batch):
            piece = rows[start : start + self.settings.batch]
            records = self.raw.records((self.settings.column,), piece, hidden)
            items: list[Any] = [read(record[self.settings.column], self.raw.root) for record in records]
            usable = [n for n, item in enumerate(items) if item is not None]
            if usable:
                vectors = unit_vectors(embed([items[n] for n in usable]))
                cosines[[start + n for n in usable]] = vectors @ self.class_vectors.T
        return cosines


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, D) of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def read_text(cell: Any, root: Root) -> str | None:
    """A cell's text; None where it is empty. ``root`` isn't used: a text is no file."""
    text = "" if cell is None else str(cell)
    return text if text.strip() else None


def class_prompts(classes: Sequence[str], settings: Settings, where: str) -> tuple[tuple[str, ...], ...]:
    """The prompts of each class: each of its names in each template.

    Raises UsageError where ``class_names`` has a class that the run hasn't, or a class has no name in words.
    """
    for name in settings.class_names:
        if name not in classes:
            raise UsageError(
                "no such class", where=f"{where}.class_names", got=f"'{name}'", hint=did_you_mean(name, classes)
            )
    templates = settings.templates or TEMPLATES[settings.reads]
    prompts: list[tuple[str, ...]] = []
    for name in classes:
        words = settings.class_names.get(name, (name,))
        if name not in settings.class_names and not any(character.isalpha() for character in name):
            raise UsageError(
                "a class has no name in words", where=f"{where}.class_names", got=f"'{name}'",
                hint=f'class_names: {{"{name}": "what it is"}} says how prompts call it',
            )  # fmt: skip
        prompts.append(tuple(template.replace(LABEL, text) for text in words for template in templates))
    return tuple(prompts)


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> ZeroShotSource:
    """Load the model from this machine. Raises UsageError where it isn't there, doesn't read what is asked for, or the
    run's target isn't one of classes."""
    kinds = [head.kind for head in heads]
    if kinds != [CLASSES]:
        got = f"{len(heads)} targets" if len(heads) > 1 else ", ".join(kinds)
        raise UsageError("a zero-shot teacher needs a single target of classes", where=f"{where}.kind", got=got)
    prompts = class_prompts(heads[0].classes, settings, where)
    model = _open_model(settings, raw.run.recipe.compute, where)
    return ZeroShotSource(settings, model, raw, heads[0].classes, prompts, where)


def _open_model(settings: Settings, compute: Compute, where: str) -> EmbeddingModel | OpenClipModel:
    if is_open_clip(settings.name):
        if settings.length is not None:
            got = f"{settings.length} for a model of open_clip, which has one length"
            raise UsageError("this can't be set", where=f"{where}.length", got=got, hint="leave it out")
        return open_folder(settings.name, compute, where)
    return open_model(settings.name, settings.reads, settings.pool, settings.length, compute, where)
