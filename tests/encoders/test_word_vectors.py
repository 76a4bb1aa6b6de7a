"""Word vectors: every format gives the same numbers to the same words, and anything else is refused."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest
from torch import nn

from suffuse.encoders.word_vectors import load_embedding, read, vectors_of
from suffuse.modalities import text

WORDS = {"cat": [1.0, 2.0, 3.0], "dog": [4.0, 5.0, 6.0], "café": [0.25, -1.0, 1e-3], "猫": [7.0, 8.0, 9.0]}


def as_text(header: bool) -> bytes:
    lines = [f"{len(WORDS)} 3"] if header else []
    return "\n".join([*lines, *(" ".join([w, *map(str, v)]) for w, v in WORDS.items())]).encode() + b"\n"


def as_binary(newline: bytes = b"\n") -> bytes:
    rows = [w.encode() + b" " + np.array(v, dtype="<f4").tobytes() + newline for w, v in WORDS.items()]
    return f"{len(WORDS)} 3\n".encode() + b"".join(rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glove.txt", as_text(header=False)),
        ("fasttext.vec", as_text(header=True)),
        ("word2vec.bin", as_binary()),
        ("word2vec-google.bin", as_binary(b"")),
        ("glove.txt.gz", gzip.compress(as_text(header=False), mtime=0)),
        ("word2vec.bin.gz", gzip.compress(as_binary(), mtime=0)),
    ],
)
def test_every_format_gives_the_same_vectors(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    found = read(tmp_path / name, {"cat", "café", "猫", "horse"})
    assert set(found) == {"cat", "café", "猫"}
    for word, vector in found.items():
        np.testing.assert_array_equal(vector, np.array(WORDS[word], dtype=np.float32))
        assert vector.dtype == np.float32


def test_a_large_binary_file_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("suffuse.encoders.word_vectors.CHUNK", 11)
    (tmp_path / "v.bin").write_bytes(as_binary())
    found = read(tmp_path / "v.bin", set(WORDS))
    assert {w: v.tolist() for w, v in found.items()} == {w: np.array(v, "f4").tolist() for w, v in WORDS.items()}


def test_words_with_blanks_in_them_are_passed_over(tmp_path):
    (tmp_path / "glove.txt").write_text("dog 1 2\ncat and dog 3 4\ncat 5 6\n")
    assert read(tmp_path / "glove.txt", {"cat"})["cat"].tolist() == [5, 6]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("kv.kv", pickle.dumps({"cat": [1.0]}), "save_word2vec_format"),
        ("short.txt", b"dog 1 2 3\ncat 1 2\n", "expected 3 finite"),
        ("nan.txt", b"dog 1 2\ncat 1 nan\n", "finite"),
        ("words.txt", b"dog 1 2\ncat is nice\n", "expected numbers"),
        ("cut.bin", as_binary()[:-30], "ends too early"),
        ("lie.bin", b"9 3\n" + as_binary().partition(b"\n")[2], "ends too early"),
    ],
)
def test_what_is_no_such_file_is_refused(name, content, says, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read(tmp_path / name, {"cat", "dog", "猫"})


@pytest.mark.parametrize("tokens", ["words", "bpe"])
def test_words_of_a_tokenizer_get_their_vectors_and_its_parts_don_t(tokens, tmp_path):
    (tmp_path / "v.txt").write_bytes(as_text(header=False))
    settings = text.Settings(column="q", tokens=tokens, vocabulary=400)
    statistics = text.fit(settings, ["the cat and the dog in the café 猫"] * 20 + ["concat"] * 5)
    embedding = nn.Embedding(statistics["vocabulary"], 3, padding_idx=0)
    before = embedding.weight.detach().clone()
    said = load_embedding(tmp_path / "v.txt", statistics, embedding)
    ids = text.encode(settings, statistics, ["cat", "dog", "café"])
    for row, word in enumerate(("cat", "dog", "café")):
        assert (ids[row] != 0).sum() == 1
        assert embedding.weight[int(ids[row, 0])].tolist() == np.array(WORDS[word], dtype=np.float32).tolist()
    same = (embedding.weight == before).all(1)
    assert same.sum() == len(before) - 4 and "4 of" in said and not embedding.weight[0].any()


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        ({"▁cat": 5, "cat": 6, "▁dog": 7}, {5: 1.0, 7: 4.0}),
        ({"cat": 5, "##cat": 6, "dog": 7}, {5: 1.0, 7: 4.0}),
        ({"Ġcat": 5, "cat": 6, "ĠcafÃ©": 7}, {5: 1.0, 7: 0.25}),
    ],
)
def test_marks_of_where_words_begin_are_understood(tokens, wanted, tmp_path):
    (tmp_path / "v.txt").write_bytes(as_text(header=False))
    ids, vectors = vectors_of(tmp_path / "v.txt", tokens)
    assert dict(zip(ids.tolist(), vectors[:, 0].tolist(), strict=True)) == wanted


def test_another_width_and_no_common_word_are_errors(tmp_path):
    (tmp_path / "v.txt").write_bytes(as_text(header=False))
    settings = text.Settings(column="q", tokens="words")
    statistics = text.fit(settings, ["the cat and the dog"])
    with pytest.raises(ValueError, match=r"embedding 4, expected 3"):
        load_embedding(tmp_path / "v.txt", statistics, nn.Embedding(statistics["vocabulary"], 4))
    with pytest.raises(ValueError, match="none of"):
        load_embedding(tmp_path / "v.txt", text.fit(settings, ["nothing here"]), nn.Embedding(9, 3))
