"""Models of transformers that lie on this machine, for teachers: nothing is downloaded, no code of a model's is run,
weights are safetensors."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..encoders.huggingface import local_folder, silence
from ..errors import UsageError
from ..registry import optional

if TYPE_CHECKING:
    from PIL import Image

    from ..modalities.cell import Root

LOCAL = {"local_files_only": True, "trust_remote_code": False}
EXTRA = "huggingface"


def open_pretrained(name: str, model: str, where: str) -> tuple[Any, list[str]]:
    """The model, of a class of transformers, and the names of weights that its files lack. It is frozen, in float32 and
    on the processor.

    Raises UsageError (``where``: the recipe's key) where it isn't on this machine, or transformers refuses it.
    """
    with _explained(name, where):
        loaded, facts = getattr(optional("transformers", EXTRA), model).from_pretrained(
            local_folder(name), use_safetensors=True, output_loading_info=True, **LOCAL
        )
    return loaded.float().requires_grad_(False).eval(), sorted(facts["missing_keys"])


def open_processor(name: str, processor: str, where: str) -> Any:
    """The model's tokenizer, or its extractor of features, by its class in transformers. Raises UsageError as
    :func:`open_pretrained` does."""
    with _explained(name, where):
        return getattr(optional("transformers", EXTRA), processor).from_pretrained(local_folder(name), **LOCAL)


@contextlib.contextmanager
def _explained(name: str, where: str) -> Generator[None]:
    try:
        with silence():
            yield
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        got = f"{name}, which transformers refuses: {str(error).strip().splitlines()[0][:200]}"
        raise UsageError("this teacher can't be opened", where=where, got=got) from None


def small_files_hash(folder: Path) -> str:
    """Hash of a model's configuration, tokenizer and processor."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in (".json", ".txt", ".model")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def read_picture(cell: Any, root: Root) -> Image.Image | None:
    """A cell's picture in RGB; None where it is empty or can't be read."""
    from PIL import Image

    from ..modalities.cell import Absent, Unreadable, content
    from ..modalities.image import FORMATS, MAX_PIXELS

    try:
        with Image.open(io.BytesIO(content(cell, root)), formats=FORMATS) as picture:
            return picture.convert("RGB") if picture.width * picture.height <= MAX_PIXELS else None
    except (Absent, Unreadable):
        return None
    except Exception:  # Pillow's decoders raise many kinds on broken files
        return None
