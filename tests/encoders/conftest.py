"""Tiny pretrained networks in folders, as users have them; nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def hugging_folder(tmp_path) -> Callable[..., Path]:
    """A maker of folders as transformers writes them: random weights, and what stands beside them."""

    def make(facts: dict, preprocessor: dict | None = None, name: str = "model") -> Path:
        from transformers import AutoConfig, AutoModel

        torch.manual_seed(11)
        kind = dict(facts)
        folder = tmp_path / name
        AutoModel.from_config(AutoConfig.for_model(kind.pop("model_type"), **kind)).save_pretrained(folder)
        if preprocessor:
            (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
        return folder

    return make


@pytest.fixture
def timm_folder(tmp_path) -> Callable[..., Path]:
    """A maker of folders as timm writes them."""

    def make(architecture: str, classes: int = 5, **options) -> Path:
        import timm
        from timm.models import save_for_hf

        torch.manual_seed(12)
        model = timm.create_model(architecture, num_classes=classes, **options)
        folder = tmp_path / architecture
        save_for_hf(model, folder, safe_serialization=True, model_args=options or None)
        return folder

    return make
