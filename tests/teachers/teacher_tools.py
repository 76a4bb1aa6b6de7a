"""A tiny teacher of each kind. What it says of a row is the same by name, whatever order its outputs stand in."""

from __future__ import annotations

import atexit
import csv
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import chat_server
import numpy as np
import pytest

from suffuse.errors import UsageError
from suffuse.recipe import make_recipe
from suffuse.run import Run
from suffuse.teachers import Question

os.environ.setdefault("KERAS_BACKEND", "torch")  # as the teacher does, before Keras is loaded

CLASSES = ("blue", "green", "red")
WEIGHT = {"blue": (-2.0, 0.3, 1.0), "green": (0.5, -0.2, 0.0), "red": (1.5, 0.7, -1.5)}  # of x1, x2 and 1


def recipe(source: Path, **changes) -> dict:
    """A recipe for the small table; its teacher is a table of answers that needn't be there."""
    encoders = {"picture": {"kind": "conv", "widths": [4]}, "words": {"kind": "gru", "embedding": 4, "width": 4}}
    return {
        "data": {"source": str(source), "target": "answer", "id": "id"},
        "modalities": {
            "picture": {"kind": "image", "column": "image", "size": 8},
            "words": {"kind": "text", "column": "text", "tokens": "words", "length": 6},
        },
        "teacher": {"kind": "table", "file": "answers.csv"},
        "student": {"encoders": encoders, "fusion": {"kind": "gated", "width": 4}},
        "distill": {"train": {"epochs": 1, "batch": 16}, "num_seeds": 1, "unimodal_baselines": False},
        "export": {"int8": "off", "teacher": False},
        "evaluate": {"resamples": 100},
        "compute": {"threads": 1},
        **changes,
    }


def refusal(raw: dict[str, Any], changes: dict[str, dict]) -> str:
    """The error of a recipe with these changes of its sections."""
    with pytest.raises(UsageError) as caught:
        make_recipe({**raw, **{section: {**raw[section], **facts} for section, facts in changes.items()}})
    return caught.value.line()


def raw_rows(run: Run) -> list[dict[str, str]]:
    """The table's rows."""
    with Path(run.recipe.data.source).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def linear(order: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, 2) and bias (C,) of the outputs in this order."""
    found = np.array([WEIGHT[name] for name in order], dtype=np.float32)
    return found[:, :2], found[:, 2]


def said(row: dict[str, str], order: Sequence[str]) -> np.ndarray:
    """Logits (C,) of the linear teacher."""
    weight, bias = linear(order)
    return weight @ np.array([float(row["x1"]), float(row["x2"])], dtype=np.float32) + bias


def softmax(logits: np.ndarray) -> np.ndarray:
    """(..., C) -> probabilities."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def write_answers(file: Path, rows: list[dict[str, str]], order: Sequence[str], silent: Sequence[str] = ()) -> Path:
    """A CSV of probabilities; empty cells for the ids that are silent."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["id", *order])
        for row in rows:
            p = softmax(said(row, order).astype(np.float64))
            writer.writerow([row["id"], *([""] * len(order) if row["id"] in silent else map(repr, p.tolist()))])
    return file


def table(folder: Path, order: Sequence[str], run: Run) -> dict:
    """Probabilities of the linear teacher."""
    file = write_answers(folder / "answers.csv", raw_rows(run), order)
    return {"kind": "table", "file": str(file)}


TORCH = """
import torch

def teacher(order, weight, bias):
    module = torch.nn.Sequential(torch.nn.Linear(2, len(order)), torch.nn.Dropout(0.5))
    module[0].weight.data, module[0].bias.data = torch.tensor(weight), torch.tensor(bias)
    return module, answer, order

def answer(module, records):
    if not all(record["x1"] for record in records):
        raise ValueError("no x1")
    return module(torch.tensor([[float(r["x1"]), float(r["x2"])] for r in records]))
"""


def torch(folder: Path, order: Sequence[str], run: Run) -> dict:
    """The linear teacher as a module, with dropout that must be off."""
    (folder / "own.py").write_text(TORCH, encoding="utf-8")
    weight, bias = linear(order)
    options = {"order": list(order), "weight": weight.tolist(), "bias": bias.tolist()}
    return {"kind": "torch", "adapter": f"{folder / 'own.py'}:teacher", "columns": ["x1", "x2"], "options": options}


SKLEARN = """
import numpy as np
from sklearn.linear_model import LogisticRegression

def teacher(order, weight, bias):
    random = np.random.default_rng(0)
    made = LogisticRegression(random_state=0).fit(random.normal(size=(30, 2)), np.resize(sorted(order), 30))
    made.classes_, made.coef_, made.intercept_ = np.array(order), np.array(weight), np.array(bias)
    return made, lambda records: np.array([[float(r["x1"]), float(r["x2"])] for r in records])
"""


def sklearn(folder: Path, order: Sequence[str], run: Run) -> dict:
    """The linear teacher as a logistic regression."""
    (folder / "forest.py").write_text(SKLEARN, encoding="utf-8")
    weight, bias = linear(order)
    options = {"order": list(order), "weight": weight.tolist(), "bias": bias.tolist()}
    return {
        "kind": "sklearn",
        "adapter": f"{folder / 'forest.py'}:teacher",
        "columns": ["x1", "x2"],
        "options": options,
    }


def onnx(folder: Path, order: Sequence[str], run: Run) -> dict:
    """The linear teacher, exported from torch."""
    (folder / "linear.onnx").write_bytes(linear_graph(tuple(order)))
    inputs = {"x": {"read": "numbers", "column": ["x1", "x2"]}}
    return {"kind": "onnx", "file": str(folder / "linear.onnx"), "inputs": inputs, "labels": list(order)}


@cache
def linear_graph(order: tuple[str, ...]) -> bytes:
    """The linear teacher as a file of ONNX."""
    import torch

    module = torch.nn.Linear(2, len(order))
    weight, bias = linear(order)
    module.weight.data, module.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
    program = torch.onnx.export(
        module.eval(), (torch.zeros(2, 2),), dynamo=True, input_names=["x"], output_names=["y"],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), verbose=False,
    )  # fmt: skip
    return program.model_proto.SerializeToString()


def huggingface(folder: Path, order: Sequence[str], run: Run) -> dict:
    """A BERT of random weights, its last layer's rows in this order, with a tokenizer of its own."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "thing", *CLASSES, *"0123456789"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]",
                                                             [("[CLS]", 2), ("[SEP]", 3)])  # fmt: skip
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(3)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=len(words), num_labels=3, **sizes)
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        torch.nn.init.normal_(model.classifier.weight)
        place = [CLASSES.index(name) for name in order]
        model.classifier.weight.copy_(model.classifier.weight[place].clone())
        model.classifier.bias.copy_(model.classifier.bias[place].clone())
    model.config.id2label = dict(enumerate(order))
    model.config.label2id = {name: n for n, name in enumerate(order)}
    model.save_pretrained(folder)
    return {"kind": "huggingface", "name": str(folder), "reads": "text", "column": "text"}


def keras(folder: Path, order: Sequence[str], run: Run) -> dict:
    """The linear teacher as a Keras model."""
    import keras

    made = keras.Sequential([keras.Input((2,), name="x"), keras.layers.Dense(len(order), activation="softmax")])
    weight, bias = linear(order)
    made.layers[-1].set_weights([weight.T, bias])
    made.save(folder / "linear.keras")
    inputs = {made.inputs[0].name: {"read": "numbers", "column": ["x1", "x2"]}}
    return {"kind": "keras", "file": str(folder / "linear.keras"), "inputs": inputs, "labels": list(order)}


def ensemble(folder: Path, order: Sequence[str], run: Run) -> dict:
    """A table and a module, weighed by confidence."""
    members = {"table": table(folder, order, run), "module": torch(folder, tuple(reversed(order)), run)}
    return {"kind": "ensemble", "members": members, "weights": "confidence"}


def tiny_clip(folder: Path) -> Path:
    """A CLIP of random weights with a tokenizer of words and a processor of its own."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    words = ["<pad>", "<start>", "<end>", "<unk>", "a", "of", "photo", "picture", "thing", ".", *CLASSES]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("<start>", 1), ("<end>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing("<start> $A <end>", special_tokens=special)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<start>", eos_token="<end>"
    ).save_pretrained(folder)
    square = {"height": 8, "width": 8}
    CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=square).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = {**sizes, "vocab_size": len(words), "max_position_embeddings": 12}
    text |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**sizes, "image_size": 8, "patch_size": 4}
    torch.manual_seed(11)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    with torch.no_grad():  # CLIP starts with weights so small that all vectors are nearly one
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.5)
            elif name == "logit_scale":
                weight.fill_(2.0)
    model.save_pretrained(folder)
    return folder


def zero_shot(folder: Path, order: Sequence[str], run: Run) -> dict:
    """The tiny CLIP; its outputs are in the run's order, whatever the order of the names."""
    names = {name: name for name in order}
    return {
        "kind": "zero_shot",
        "name": str(tiny_clip(folder)),
        "reads": "image",
        "column": "image",
        "class_names": names,
    }


SERVERS = ExitStack()  # which stay until the process ends
atexit.register(SERVERS.close)  # later there are no threads any more, and to wait for a server's would last for ever
PROMPT = "x1={x1} x2={x2}"
ASKED = re.compile(r"x1=(\S+) x2=(\S+)")


def linear_rule(text: str, before: int) -> chat_server.Said:
    """What the linear teacher says of the numbers in a question."""
    x1, x2 = ASKED.findall(text)[-1]
    p = softmax(said({"x1": x1, "x2": x2}, CLASSES).astype(np.float64))
    return chat_server.Said(CLASSES[int(p.argmax())], dict(zip(CLASSES, p.tolist(), strict=True)))


def probabilities(teacher: Any) -> np.ndarray:
    """(N, C), NaN of abstentions."""
    return np.exp(teacher.answer(Question(np.arange(len(teacher.covered))))["logits"])


def sometimes(failing: Callable[[str, int], chat_server.Failure | chat_server.Said | None]) -> chat_server.Rule:
    """The linear rule, but where another one says something."""
    return lambda text, before: failing(text, before) or linear_rule(text, before)


def by_number(text: str) -> int:
    """A number that goes with a question."""
    return int(text.rpartition("x2=")[2][-3:])


@cache
def linear_server() -> chat_server.ChatServer:
    """A server that stays, on which the linear teacher answers."""
    return SERVERS.enter_context(chat_server.serving(linear_rule))


def asked(folder: Path, order: Sequence[str], run: Run) -> dict:
    """The linear teacher behind an address."""
    return {"kind": "asked", "url": linear_server().url, "model": "linear", "prompt": PROMPT, "calibrate": False}


MAKERS: dict[str, Callable[[Path, Sequence[str], Run], dict]] = {
    "asked": asked,
    "table": table,
    "torch": torch,
    "sklearn": sklearn,
    "onnx": onnx,
    "huggingface": huggingface,
    "keras": keras,
    "ensemble": ensemble,
    "zero_shot": zero_shot,
}
