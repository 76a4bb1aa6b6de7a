"""ARPA files: what is written is read, and what is no whole one is told by its line."""

from __future__ import annotations

import math
from itertools import product

import pytest

from suffuse import UsageError
from suffuse.transcripts import arpa_file
from suffuse.transcripts.arpa_file import read_arpa, write_arpa
from suffuse.transcripts.ngram_language_model import END, NEVER, train

# as KenLM writes one, with a back-off after every n-gram but the longest
FILE = """\\data\\
ngram 1=5
ngram 2=4

\\1-grams:
-1.0\t<unk>\t0
0\t<s>\t-0.30
-0.5\t</s>\t0
-0.6\ta\t-0.25
-0.7\tb\t0

\\2-grams:
-0.2\t<s> a
-0.4\ta b
-0.9\ta </s>
-0.1\tb </s>

\\end\\
"""


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "lm.arpa"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_probabilities_are_those_of_the_file(written):
    model = read_arpa(written(FILE))
    decades = {
        ("", "a"): -0.2, ("", "b"): -0.3 - 0.7, ("", END): -0.3 - 0.5, ("", "zzz"): -0.3 - 1.0, ("a", "b"): -0.4,
        ("a", "a"): -0.25 - 0.6, ("b", "a"): -0.6, ("b", END): -0.1, ("zzz", "a"): -0.6, ("ab", END): -0.1,
    }  # fmt: skip
    for (history, unit), expected in decades.items():
        before = ["zzz"] if history == "zzz" else list(history)
        assert model.score(before, unit) == pytest.approx(expected * math.log(10))
    assert model.order == 2 and model.vocabulary == ("<s>", "</s>", "<unk>", "a", "b")


def test_spaces_for_tabs_comments_and_windows_line_ends_are_read(written):
    text = "made by hand\n\n" + FILE.replace("\t", "  ").replace("\n", "\r\n")
    assert read_arpa(written(text)) == read_arpa(written(FILE))


def test_without_an_unknown_unit_it_has_no_probability(written):
    text = FILE.replace("-1.0\t<unk>\t0\n", "").replace("ngram 1=5", "ngram 1=4")
    assert read_arpa(written(text)).score("b", "zzz") == pytest.approx(NEVER)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("texts", [["a b", "ba ab", "", "a"], [], ["été 打开", "打开"]], ids=["spaces", "none", "wide"])
def test_what_is_written_is_read(tmp_path, order, texts):
    model, path = train(texts, order), tmp_path / "deep" / "lm.arpa"
    write_arpa(model, path)
    again = read_arpa(path)
    assert again.order == order and set(again.vocabulary) == set(model.vocabulary)
    for history, unit in product(["", "a", "ab", " ", "été", "x"], [*model.vocabulary, "x"]):
        assert again.score(history, unit) == pytest.approx(model.score(history, unit), abs=1e-9)
    assert ("<space>" in path.read_text(encoding="utf-8")) == any(" " in text for text in texts)
    write_arpa(again, tmp_path / "again.arpa")
    assert sorted((tmp_path / "again.arpa").read_text().splitlines()) == sorted(path.read_text().splitlines())


@pytest.mark.parametrize("unit", ["two words", "<space>", "", "a\n"])
def test_a_unit_that_an_arpa_file_can_t_hold_is_refused(tmp_path, unit):
    with pytest.raises(UsageError, match="can't hold this unit"):
        write_arpa(train([("a", unit)], 2), tmp_path / "lm.arpa")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("before", "after", "line", "words"), [
    ("\\data\\", "", 5, "expected \\data\\ first"),
    ("ngram 1=5\nngram 2=4", "", 4, "expected ngram 1=COUNT"),
    ("ngram 2=4", "ngram 3=4", 3, "expected ngram 2=COUNT"),
    ("ngram 2=4", "ngram 2=3", 16, "got more n-grams of 2 units, expected 3"),
    ("ngram 2=4", "ngram 2=5", 18, "got 4 n-grams of 2 units, expected 5"),
    ("-0.6\ta\t-0.25", "-0.6\ta\tmuch", 9, "got 'much', expected a logarithm"),
    ("-0.6\ta\t-0.25", "nan\ta\t-0.25", 9, "got 'nan', expected a logarithm"),
    ("-0.6\ta\t-0.25", "-0.6\ta\tinf", 9, "got 'inf', expected a logarithm"),
    ("-0.6\ta\t-0.25", "0.6\ta\t-0.25", 9, "got 0.6, expected a logarithm of a probability"),
    ("-0.6\ta\t-0.25", "-0.6", 9, "expected a logarithm, 1 units"),
    ("-0.7\tb\t0", "-0.7\ta\t0", 10, "got 'a' once more"),
    ("-0.4\ta b", "-0.4\ta c", 14, "got 'c', expected a unit that stands among the 1-grams"),
    ("-0.4\ta b", "-0.4\ta b b b", 14, "got -0.4"),
    ("\\2-grams:", "\\3-grams:", 12, "got \\3-grams:, expected \\2-grams:"),
    ("\\end\\", "", 18, "got the end of the file"),
    ("\\end\\", "\\3-grams:", 18, "expected \\end\\"),
    ("-0.7\tb", "-0.7\tb" + "b" * 20_000, 10, "more than 16,384 bytes"),
])  # fmt: skip
def test_a_damaged_file_is_told_by_its_line(written, before, after, line, words):
    assert before in FILE
    with pytest.raises(UsageError) as caught:
        read_arpa(written(FILE.replace(before, after)))
    told = caught.value.line()
    assert f"lm.arpa:{line})" in told and words in told
    assert caught.value.exit_code == 2 and "lmplz" in caught.value.hint


def test_a_beginning_that_is_missing_is_told(written):
    text = FILE.replace("ngram 2=4", "ngram 2=4\nngram 3=1").replace("\\end\\", "\\3-grams:\n-1\tb a b\n\\end\\")
    with pytest.raises(UsageError, match="got 'b a b', expected that its beginning stands among the 2-grams"):
        read_arpa(written(text))


@pytest.mark.parametrize("unit", ["<s>", "</s>"])
def test_a_model_without_sentence_ends_is_told(written, unit):
    with pytest.raises(UsageError, match=f"lacks a unit that every one has .*expected {unit}"):
        read_arpa(written(FILE.replace(unit, "c")))


@pytest.mark.parametrize(("content", "words"), [
    (b"", "the end of the file"),
    (b"\x80\x81\\data\\", "expected UTF-8"),
    (b"\\data\\\n" + b"".join(b"ngram %d=1\n" % n for n in range(1, 30)), "of at most 20 units"),
])  # fmt: skip
def test_what_is_no_arpa_file_is_told(written, content, words):
    with pytest.raises(UsageError, match=words):
        read_arpa(written(content))


def test_a_file_that_is_too_large_is_not_read(written, monkeypatch):
    monkeypatch.setattr(arpa_file, "LARGEST_FILE", 100)
    with pytest.raises(UsageError, match=r"too large.*got 1.. bytes, expected at most 100"):
        read_arpa(written(FILE))


def test_a_folder_and_no_file(tmp_path):
    with pytest.raises(UsageError, match="got a folder"):
        read_arpa(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_arpa(tmp_path / "none.arpa")
