"""Parts of a user's own, as a file beside a recipe: one of every kind. Importing it leaves a mark."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from suffuse.losses import LossPart, Weight
from suffuse.modalities import ModalityPart
from suffuse.modalities.cell import Absent, Unreadable
from suffuse.registry import ModalitySettings, PartSettings, TeacherSettings
from suffuse.registry import Statistics as BaseStatistics

if Path(__file__).parent.name != "e2e":  # a copy
    Path(__file__).with_name("imported").touch()


class SquaredLogits(LossPart):
    """The mean squared difference of logits."""

    class Settings(PartSettings):
        weight: Weight = 1.0
        scale: float = 1.0

    HEADS = ("classes",)

    def loss(self, settings: Any, layers: Any, student: Any, teacher: Any, target: Any) -> Any:
        gap = student.logits - teacher["logits"].detach()
        known = ~gap.isnan().any(1)
        return settings.scale * gap[known].square().sum(1).mean() if known.any() else 0 * student.logits.sum()


class MeanColour:
    """A picture's mean colour, through one linear layer."""

    class Settings(PartSettings):
        width: int = 4

    MODALITIES = ("image",)
    EXAMPLES = (("image", {}),)

    @staticmethod
    def layers(settings: Any, field: Any) -> Any:
        from torch import nn

        return nn.ModuleDict({"linear": nn.Linear(3, settings.width)})

    @staticmethod
    def width(settings: Any, layers: Any) -> int:
        return settings.width

    @staticmethod
    def encode(settings: Any, layers: Any, x: Any) -> Any:
        from suffuse.types import Encoded

        return Encoded(layers["linear"](x.mean((2, 3))))


class MeanFusion:
    """The mean of equally wide vectors of what is present."""

    class Settings(PartSettings):
        width: int = 4

    TAKES = (1, 8)

    def layers(self, settings: Any, sizes: Any) -> Any:
        from torch import nn

        return nn.ModuleDict({str(m): nn.Linear(width, settings.width) for m, width in enumerate(sizes.vectors)})

    def width(self, settings: Any, sizes: Any) -> int:
        return settings.width

    def fuse(self, settings: Any, layers: Any, encoded: Any, present: Any) -> Any:
        import torch

        from suffuse.types import Fused

        mapped = [layers[str(m)](torch.where(present[:, m : m + 1], e.vector, 0)) for m, e in enumerate(encoded)]
        total = torch.stack([torch.where(present[:, m : m + 1], v, 0) for m, v in enumerate(mapped)]).sum(0)
        return Fused(total / present.sum(1, keepdim=True).clamp(min=1))


class TextSize(ModalityPart):
    """How many words and characters a text has, over the largest of the training texts."""

    class Settings(ModalitySettings):
        pass

    class Statistics(BaseStatistics):
        most: list[float]

    EXAMPLES = ({},)
    LAYOUT = "float32 (rows, 2): words and characters, over {most}"

    def load(self, settings: Any, value: Any, root: Any) -> tuple[str, str]:
        if value is None or value != value or not str(value).strip():
            raise Absent("empty")
        if isinstance(value, bytes):
            raise Unreadable("bytes, no text")
        item = str(value).strip()
        return hashlib.blake2b(item.encode(), digest_size=16).hexdigest(), item

    def stored(self, settings: Any) -> None:
        return None

    def blank(self, settings: Any) -> str:
        return ""

    def fit(self, settings: Any, items: Any) -> dict[str, Any]:
        return {"most": np.max([self._size(str(item)) for item in items], axis=0).tolist()}

    def encode(self, settings: Any, statistics: Any, items: Any) -> np.ndarray:
        sizes = [self._size(str(item)) for item in items]
        return (np.array(sizes, np.float32).reshape(-1, 2) / np.array(statistics["most"], np.float32)).astype(
            np.float32
        )

    def corrupt(self, settings: Any, statistics: Any, entries: np.ndarray, severity: int, seed: int) -> np.ndarray:
        return (entries * np.float32(1 - severity / 10)).astype(np.float32)

    def explain(self, settings: Any, statistics: Any) -> list[str]:
        return ["Its words and characters are counted."]

    def axes(self, statistics: Any) -> tuple[int]:
        return (2,)

    def examples(self, settings: Any) -> list[str]:
        return ["a", "two words", "three short words", "four words are longer", "and here are five words"]

    @staticmethod
    def _size(text: str) -> list[float]:
        return [float(len(text.split())), float(len(text))]


class Linear:
    """One linear layer over those two numbers."""

    class Settings(PartSettings):
        width: int = 4

    MODALITIES = ("own_parts.py:TextSize",)

    def layers(self, settings: Any, field: Any) -> Any:
        from torch import nn

        return nn.ModuleDict({"linear": nn.Linear(2, settings.width)})

    def width(self, settings: Any, layers: Any) -> int:
        return settings.width

    def encode(self, settings: Any, layers: Any, x: Any) -> Any:
        from suffuse.types import Encoded

        return Encoded(layers["linear"](x))


class CountRows:
    """A probe: how many test rows there are."""

    FIELDS = ("counted",)

    def probe(self, context: Any) -> dict[str, dict[str, Any]]:
        return {model.name: {"counted": len(context.rows)} for model in context.main_models()}


class FirstClass:
    """A teacher that is sure of the first class, whatever a row holds."""

    class Settings(TeacherSettings):
        certainty: float = 2.0

    def open(self, settings: Any, raw: Any, heads: Any, where: str) -> Any:
        class Source:
            outputs = heads[0].classes
            modalities = ("picture", "question")
            form = "logits"

            def fingerprint(self) -> str:
                return f"first class {settings.certainty}"

            def facts(self) -> dict[str, Any]:
                return {"parameters": 0, "bytes": 0}

            def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
                logits = np.zeros((len(rows), len(self.outputs)), np.float32)
                logits[:, 0] = settings.certainty
                return {"logits": logits if len(hidden) < 2 else np.full_like(logits, np.nan)}

        return Source()
