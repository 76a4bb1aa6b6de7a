"""Vectors of frozen encoders: once for every entry, found again, and the same training as without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from suffuse import losses
from suffuse.data.columns import Columns
from suffuse.data.sampler import Sampler
from suffuse.engine import checkpoint, feature_cache, loop
from suffuse.engine.feature_cache import compute, fingerprint, ready
from suffuse.engine.inference import logits
from suffuse.engine.loop import Plan, fit
from suffuse.engine.objective import Objective
from suffuse.engine.runtime import seed, settle
from suffuse.engine.validation import scorer
from suffuse.errors import SuffuseError
from suffuse.files import write_bytes
from suffuse.model import FusionModel
from suffuse.recipe import Network, Training
from suffuse.registry import settings

BERT = {
    "model_type": "bert", "vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip


class Killed(Exception):
    """What ends the work in these tests."""


@pytest.fixture
def model(columns, hugging_folder) -> FusionModel:
    """A frozen network for texts, a small one that learns for pictures."""
    settle(1)
    return FusionModel(network(hugging_folder(BERT)), columns.spec).initialise().eval()


def network(folder, **more) -> Network:
    return Network.model_validate(
        {
            "encoders": {
                "picture": {"kind": "conv", "widths": [4]},
                "question": {"kind": "huggingface", "name": str(folder), "frozen": True},
            },
            "fusion": {"kind": "concat", "width": 6},
            **more,
        }
    )


def test_vectors_are_the_encoder_s_own(columns, model, tmp_path):
    found = ready(columns, model, tmp_path)
    assert found.ready == {"question"} and found.entries["picture"] is columns.entries["picture"]
    entries = torch.from_numpy(columns.entries["question"]).long()
    with torch.inference_mode():
        alone = torch.cat([model.encoder("question")(e[None]).vector for e in entries]).numpy()
    assert found.entries["question"].dtype == np.float32
    np.testing.assert_allclose(found.entries["question"], alone, atol=1e-6)


def test_answers_are_the_same_with_them(columns, model, tmp_path):
    rows = np.arange(60)
    np.testing.assert_allclose(
        logits(model, ready(columns, model, tmp_path), rows), logits(model, columns, rows), atol=1e-5
    )


def test_each_entry_is_computed_once_and_found_again(columns, model, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(model.encoder("question"), "vectors", spy(model.encoder("question"), seen))
    first = ready(columns, model, tmp_path / "kept")
    assert sum(seen) == len(columns.entries["question"]) and max(seen) == 4
    again = ready(columns, model, tmp_path / "kept")
    assert sum(seen) == len(columns.entries["question"])
    np.testing.assert_array_equal(first.entries["question"], again.entries["question"])
    assert sorted(p.suffix for p in (tmp_path / "kept").iterdir()) == [".json", ".keys", ".npy"]


def spy(encoder, seen: list):
    inside = encoder.vectors

    def vectors(x):
        seen.append(len(x))
        return inside(x)

    return vectors


@pytest.mark.parametrize("parts", [0, 1, 3, 7])
def test_killed_and_called_again_the_bits_are_the_same(columns, model, tmp_path, monkeypatch, parts):
    whole = ready(columns, model, tmp_path / "whole").entries["question"]
    written, write = [], feature_cache.write_bytes

    def dies(path, content) -> None:
        if len(written) == parts:
            raise Killed
        written.append(path)
        write(path, content)

    monkeypatch.setattr(feature_cache, "write_bytes", dies)
    with pytest.raises(Killed):
        ready(columns, model, tmp_path / "cut")
    monkeypatch.setattr(feature_cache, "write_bytes", write)
    seen: list[int] = []
    monkeypatch.setattr(model.encoder("question"), "vectors", spy(model.encoder("question"), seen))
    np.testing.assert_array_equal(ready(columns, model, tmp_path / "cut").entries["question"], whole)
    assert sum(seen) == len(whole) - 4 * parts


def test_killed_while_the_parts_are_joined(columns, model, tmp_path, monkeypatch):
    whole = ready(columns, model, tmp_path / "whole").entries["question"]
    make = feature_cache.new_array

    def dies(*given):
        make(*given)
        raise Killed

    monkeypatch.setattr(feature_cache, "new_array", dies)
    with pytest.raises(Killed):
        ready(columns, model, tmp_path / "cut")
    monkeypatch.setattr(feature_cache, "new_array", make)
    np.testing.assert_array_equal(ready(columns, model, tmp_path / "cut").entries["question"], whole)


def with_texts(columns: Columns, texts: np.ndarray) -> Columns:
    """The same rows, reading from other distinct texts."""
    place = columns.entry.copy()
    place[:, columns.spec.names.index("question")] %= len(texts)
    return replace(columns, entries={**columns.entries, "question": texts}, entry=place)


def new_texts(columns: Columns, count: int) -> np.ndarray:
    """Texts that no row has."""
    known = columns.entries["question"]
    made = np.zeros((count, known.shape[1]), known.dtype)
    made[:, :3] = [[11, 1 + n, 11] for n in range(count)]
    assert not (made[:, None] == known[None]).all(2).any()
    return made


def test_of_a_longer_table_only_the_new_entries_are_computed(columns, model, tmp_path, monkeypatch):
    texts, more = columns.entries["question"], new_texts(columns, 6)
    before = ready(columns, model, tmp_path).entries["question"]
    order = np.random.default_rng(0).permutation(len(texts) + 6)
    longer = with_texts(columns, np.concatenate([texts, more])[order])
    seen: list[int] = []
    monkeypatch.setattr(model.encoder("question"), "vectors", spy(model.encoder("question"), seen))
    found = ready(longer, model, tmp_path).entries["question"]
    assert sum(seen) == 6
    old = order < len(texts)
    np.testing.assert_array_equal(found[old], before[order[old]])
    np.testing.assert_allclose(found, ready(longer, model, tmp_path / "anew").entries["question"], atol=1e-6)
    assert sum(seen) == 6 + len(order)
    few = ready(with_texts(columns, np.concatenate([more[:2], texts[:5]])), model, tmp_path).entries["question"]
    assert sum(seen) == 6 + len(order)  # of a shorter one none; they stand in two files
    np.testing.assert_array_equal(few[2:], before[:5])


def test_another_encoder_takes_no_vectors_of_the_first(columns, model, hugging_folder, tmp_path, monkeypatch):
    ready(columns, model, tmp_path)
    pooled = network(hugging_folder(BERT)).model_dump()
    pooled["encoders"]["question"]["pool"] = "cls"
    other = FusionModel(Network.model_validate(pooled), columns.spec).initialise().eval()
    seen: list[int] = []
    monkeypatch.setattr(other.encoder("question"), "vectors", spy(other.encoder("question"), seen))
    ready(columns, other, tmp_path)
    assert sum(seen) == len(columns.entries["question"])


@pytest.mark.parametrize("dies_at", ["part", "join", "keys"])
def test_a_longer_table_killed_and_called_again(columns, model, tmp_path, monkeypatch, dies_at):
    longer = with_texts(columns, np.concatenate([new_texts(columns, 6), columns.entries["question"]]))
    for place in ("whole", "cut"):
        ready(columns, model, tmp_path / place)
    whole = ready(longer, model, tmp_path / "whole").entries["question"]
    make, write = feature_cache.new_array, feature_cache.write_bytes

    def dies(path, content) -> None:
        write(path, content)
        if (dies_at == "keys") == path.name.endswith(feature_cache.KEYS):
            raise Killed

    def joins(*given):
        make(*given)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(feature_cache, *(("new_array", joins) if dies_at == "join" else ("write_bytes", dies)))
        ready(longer, model, tmp_path / "cut")
    seen: list[int] = []
    monkeypatch.setattr(model.encoder("question"), "vectors", spy(model.encoder("question"), seen))
    np.testing.assert_array_equal(ready(longer, model, tmp_path / "cut").entries["question"], whole)
    assert sum(seen) == (2 if dies_at == "part" else 0)  # six entries are two parts
    left = {p.name for p in (tmp_path / "cut").iterdir()}
    assert left == {p.name for p in (tmp_path / "whole").iterdir()} and not any(n.startswith(".") for n in left)


def test_the_hash_is_of_what_decides_the_vectors_and_of_nothing_else(columns, model, hugging_folder, tmp_path):
    def hashed(some: FusionModel, of: Columns = columns) -> str:
        return fingerprint(some.encoder("question"), of, "question", tmp_path)

    here, folder = hashed(model), tmp_path / "model"
    other = FusionModel(network(folder, hidden=9, fusion={"kind": "gated"}), columns.spec).initialise()
    assert hashed(other) == here  # another head, another fusion
    assert hashed(model, replace(columns, target=columns.target[::-1].copy())) == here
    first = FusionModel(network(folder), columns.spec)
    assert hashed(first) != here  # other weights
    pooled = network(folder).model_dump()
    pooled["encoders"]["question"]["pool"] = "cls"
    assert hashed(FusionModel(Network.model_validate(pooled), columns.spec).initialise()) != here
    words = columns.entries["question"].copy()
    words[3, 0] = 12 - words[3, 0]
    assert hashed(model, replace(columns, entries={**columns.entries, "question": words})) != here


def test_a_column_on_disk_is_hashed_again_only_when_it_changed(columns, tmp_path, monkeypatch):
    def stored(values: np.ndarray) -> Columns:
        np.save(tmp_path / "q.npy", values)
        return replace(columns, entries={**columns.entries, "question": np.load(tmp_path / "q.npy", mmap_mode="c")})

    first = stored(columns.entries["question"])
    here = feature_cache.column_hash(first, "question", tmp_path)
    assert here == feature_cache.column_hash(columns, "question", tmp_path)  # as it is in memory
    batches = feature_cache._batches
    monkeypatch.setattr(feature_cache, "_batches", lambda *a: pytest.fail("read again"))
    assert feature_cache.column_hash(first, "question", tmp_path) == here
    monkeypatch.setattr(feature_cache, "_batches", batches)
    assert feature_cache.column_hash(stored(columns.entries["question"][::-1].copy()), "question", tmp_path) != here


def test_a_modality_that_no_row_has(columns, model, tmp_path):
    empty = replace(
        columns,
        entries={**columns.entries, "question": columns.entries["question"][:0]},
        present=columns.present & [True, False], entry=columns.entry * [1, 0],
    )  # fmt: skip
    found = ready(empty, model, tmp_path)
    assert found.entries["question"].shape == (0, 8)
    assert np.isfinite(logits(model, found, np.arange(60))).all()


def test_encoders_that_learn_are_left_alone(columns, make_network, tmp_path):
    found = ready(columns, FusionModel(make_network(), columns.spec), tmp_path)
    assert not found.ready and not list(tmp_path.iterdir())


def test_rows_with_ready_vectors_are_not_kept_together(columns, model, tmp_path):
    only = columns.of(["question"])
    assert len(set(only.shared())) < 60
    assert len(set(only.with_ready({"question": np.zeros((30, 8), "f4")}).shared())) == 60


def train(columns: Columns, model: FusionModel, folder, gather=None):
    """A training of some steps."""
    settle(1)
    task = settings(losses.TABLE, {"kind": "task"})
    seed(3)
    objective = Objective(model, {"labels": task}, {})
    rows = columns.rows("train")
    sampler = Sampler(rows, np.arange(len(rows)), 8, 3)
    plan = Plan(
        Training(epochs=3, batch=8, learning_rate=0.02), sampler, every=sampler.steps,
        gather=gather or (lambda picked, turn: (columns.batch(picked), {})),
        validate=scorer(columns, columns.labelled("validation")), folder=folder, tell=lambda share, words: None,
    )  # fmt: skip
    return fit(objective, plan), objective.state_dict()


def test_training_is_the_same_with_them(columns, model, hugging_folder, tmp_path):
    """But for the order in which some numbers were added: rows shared entries before, and their vectors now."""
    start = {k: v.clone() for k, v in model.state_dict().items()}
    _, plain = train(columns, model, tmp_path / "plain")
    model.load_state_dict(start)
    _, quick = train(ready(columns, model, tmp_path / "features"), model, tmp_path / "quick")
    for name, value in plain.items():
        torch.testing.assert_close(quick[name], value, atol=2e-4, rtol=1e-3, msg=name)
    trained = {n.removeprefix("model."): v for n, v in quick.items() if n.startswith("model.")}
    assert any((value != start[name]).any() for name, value in trained.items())
    for name in model.frozen():
        assert torch.equal(quick[f"model.{name}"], start[name])


@pytest.mark.parametrize("step", [2, 9])
def test_a_checkpoint_leaves_frozen_weights_out_and_goes_on(columns, model, tmp_path, monkeypatch, step):
    from safetensors import safe_open

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    columns = ready(columns, model, tmp_path / "features")
    start, begun = {k: v.clone() for k, v in model.state_dict().items()}, []
    expected = train(columns, model, tmp_path / "whole")

    def gather(rows, turn):
        if len(begun) == step:
            raise Killed
        begun.append(rows)
        return columns.batch(rows), {}

    model.load_state_dict(start)
    with pytest.raises(Killed):
        train(columns, model, tmp_path / "cut", gather)
    with safe_open(tmp_path / "cut" / "checkpoints" / "last.safetensors", "pt") as file:
        assert not any("question_encoder" in key for key in file.keys())  # noqa: SIM118
        assert any("picture_encoder" in key for key in file.keys())  # noqa: SIM118
    model.load_state_dict(start)
    found = train(columns, model, tmp_path / "cut")
    assert found[0] == expected[0]
    for name, value in expected[1].items():
        assert torch.equal(found[1][name], value), name


def test_nothing_of_it_needs_the_frozen_weights_twice(columns, model, tmp_path):
    """The best weights are kept without them too."""
    keep = checkpoint.Checkpoint(tmp_path, objective := Objective(model, {}, {}), torch.optim.SGD(model.parameters()))
    assert keep.best and not set(keep.best) & model.frozen()
    with torch.no_grad():
        model.head[-1].weight.add_(1)  # type: ignore[operator]
    keep.restore_best()
    assert torch.equal(objective.model.head[-1].weight, keep.best["head.0.weight"])  # type: ignore[union-attr]


def test_a_failing_encoder_leaves_no_file(columns, model, tmp_path, monkeypatch):
    def fails(x):
        raise RuntimeError("no")

    monkeypatch.setattr(model.encoder("question"), "vectors", fails)
    with pytest.raises(RuntimeError):
        compute(model.encoder("question"), columns, tmp_path / "question-1.npy", lambda share, words: None)
    assert not (tmp_path / "question-1.npy").exists()


@pytest.mark.parametrize("kind", [".npy", ".keys"])
@pytest.mark.parametrize("kept", [0, 7, 0.9])
def test_a_damaged_file_is_told_in_one_line(columns, model, tmp_path, make_columns, kind, kept):
    """And what is to be done; removed, the vectors are there again."""
    whole = ready(columns, model, tmp_path)
    (file,) = tmp_path.glob(f"*{kind}")
    content = file.read_bytes()
    write_bytes(file, content[: int(kept * len(content)) if kept < 1 else kept])  # a new file: the old one is mapped
    other = columns if kind == ".npy" else make_columns(rows=70, absent=0.2)
    with pytest.raises(SuffuseError, match=f"a file was changed after it was written .*{file.name}") as caught:
        ready(other, model, tmp_path)
    assert "\n" not in caught.value.line() and "remove it" in caught.value.hint
    file.unlink()
    ready(other, model, tmp_path)
    np.testing.assert_array_equal(
        ready(columns, model, tmp_path).entries["question"], whole.entries["question"], strict=True
    )
