"""The fusion of frames: which frame hears what, and what becomes of the end, of what is absent, and of other rates."""

from __future__ import annotations

import pytest
import torch

from suffuse import fusions
from suffuse.errors import UsageError
from suffuse.fusions.frames import at_frame_rate
from suffuse.model import FusionModel, open_model, save
from suffuse.recipe import Network
from suffuse.registry import settings
from suffuse.transcripts.units import certain_blank
from suffuse.types import Batch, Encoded, Field, Frames, Head, Sizes, Spec, blank_logits

T, V = 5, 3


def fused(tokens: torch.Tensor, real: torch.Tensor, present: torch.Tensor, frames: Frames, context=None):
    part = fusions.load_fusion("frames")
    torch.manual_seed(0)
    chosen = settings(fusions.TABLE, {"kind": "frames", "width": 8, "heads": 2, "depth": 2, "kernel": 3})
    vectors = (4, 6) if context is not None else (4,)
    layers = part.layers(chosen, Sizes(vectors, vectors, T * V, frames=frames)).eval()
    encoded = [Encoded(tokens.mean(1), tokens, real)]
    if context is not None:
        encoded.append(Encoded(context.mean(1), context, torch.ones(context.shape[:2], dtype=torch.bool)))
    return part.fuse(chosen, layers, encoded, present)


def logits_of(*args, **more) -> torch.Tensor:
    return fused(*args, **more).logits.unflatten(1, (T, V))  # type: ignore[union-attr]


def test_frames_after_the_end_are_blank_and_padding_changes_nothing():
    tokens, present = torch.randn(2, 4, 4), torch.ones(2, 1, dtype=torch.bool)
    real = torch.tensor([[True, True, True, True], [True, True, False, False]])
    logits = logits_of(tokens, real, present, Frames(0, T, V))
    assert certain_blank(logits).tolist() == [[False] * 4 + [True], [False] * 2 + [True] * 3]
    longer = torch.cat([tokens, torch.full((2, 3, 4), torch.nan)], 1)
    padded = logits_of(longer, torch.cat([real, torch.zeros(2, 3, dtype=torch.bool)], 1), present, Frames(0, T, V))
    torch.testing.assert_close(padded, logits)
    assert torch.equal(padded[1, 2:], logits[1, 2:])


def test_a_row_without_its_recording_is_blank_and_its_context_says_nothing():
    tokens, context = torch.randn(2, 4, 4), torch.randn(2, 3, 6)
    real = torch.ones(2, 4, dtype=torch.bool)
    logits = logits_of(tokens, real, torch.tensor([[False, True], [True, True]]), Frames(0, T, V), context=context)
    assert certain_blank(logits[0]).all() and not certain_blank(logits[1]).all()


def test_absent_context_adds_exactly_nothing():
    """The row's frames are those of the same weights without the attention."""
    tokens, context, real = torch.randn(1, 4, 4), torch.randn(1, 3, 6), torch.ones(1, 4, dtype=torch.bool)
    part = fusions.load_fusion("frames")
    chosen = settings(fusions.TABLE, {"kind": "frames", "width": 8, "heads": 2, "depth": 1, "kernel": 3})
    layers = part.layers(chosen, Sizes((4, 6), (4, 6), T * V, frames=Frames(0, T, V))).eval()
    encoded = [Encoded(tokens.mean(1), tokens, real), Encoded(context.mean(1), context, torch.ones(1, 3) > 0)]
    absent = part.fuse(chosen, layers, encoded, torch.tensor([[True, False]]))
    there = part.fuse(chosen, layers, encoded, torch.tensor([[True, True]]))
    assert not torch.equal(absent.logits, there.logits)  # type: ignore[arg-type]
    del layers["look"]
    alone = part.fuse(chosen, layers, encoded[:1], torch.tensor([[True]]))
    assert torch.equal(absent.logits, alone.logits)  # type: ignore[arg-type]


def test_frames_are_means_of_real_tokens_or_tokens_again():
    x = torch.arange(10.0).reshape(1, 5, 2)
    real = torch.tensor([[True, True, True, False, False]])
    pooled, there = at_frame_rate(x, real, Frames(0, T, V, pool=2))
    assert there.tolist() == [[True, True, False]]
    assert pooled.tolist() == [[[1.0, 2.0], [4.0, 5.0], [0.0, 0.0]]]
    repeated, there = at_frame_rate(x, real, Frames(0, T, V, repeat=2))
    assert repeated[0, :, 0].tolist() == [0, 0, 2, 2, 4, 4, 0, 0, 0, 0] and there.sum() == 6


def sound_spec(frame: float = 0.04, frames: int = 6) -> Spec:
    statistics = {"features": 4, "length": 24, "mean": [0.0] * 4, "std": [1.0] * 4, "step": 0.01}
    head = Head("words", "tokens", ("a", "b"), units="characters", frames=frames, frame=frame, length=3)
    return Spec((Field("sound", "audio", statistics),), (head,), blank_logits(head))


def network(fusion: str = "frames", **encoder) -> Network:
    facts = {"kind": "conv1d", "widths": [6, 6], **encoder}
    more = {"heads": 2, "width": 8} if fusion == "frames" else {}
    return Network.model_validate({"encoders": {"sound": facts}, "fusion": {"kind": fusion, **more}})


def sounds(lengths: list[int]) -> Batch:
    x = torch.zeros(len(lengths), max(lengths), 5)
    for row, length in enumerate(lengths):
        x[row, :length, :4], x[row, :length, 4] = torch.randn(length, 4), 1.0
    present = torch.ones(len(lengths), 1, dtype=torch.bool)
    return Batch({"sound": x}, {}, present, torch.zeros(len(lengths), 4), torch.arange(len(lengths)))


@pytest.mark.parametrize(("stride", "frame", "real"), [(2, 0.04, [6, 2]), (1, 0.04, [6, 2]), (2, 0.02, [12, 3])])
def test_a_network_gives_a_frame_for_every_stretch_of_the_recording(stride: int, frame: float, real: list[int]):
    """Two blocks of stride 2 make a token of 40 ms, of stride 1 one of 10 ms."""
    model = FusionModel(network(stride=stride), sound_spec(frame, round(0.24 / frame))).eval()
    logits = model(sounds([24, 6])).logits.unflatten(1, (-1, 3))
    counts = (~certain_blank(logits)).sum(1).tolist()
    assert counts[0] == real[0] and counts[1] in (real[1], real[1] + 1)  # a token that is repeated covers more


def test_a_token_that_makes_no_whole_frame_is_refused():
    with pytest.raises(UsageError, match="multiple or a fraction"):
        FusionModel(network(stride=2), sound_spec(0.06, 4))


@pytest.mark.parametrize("kind", ["concat", "late"])
def test_another_fusion_gives_no_transcript(kind: str):
    with pytest.raises(UsageError, match="isn't for these targets"):
        FusionModel(network(kind), sound_spec())


def test_an_encoder_without_tokens_is_refused():
    encoders = {"sound": {"kind": "cepstra", "cepstra": 3}}
    made = Network.model_validate({"encoders": encoders, "fusion": {"kind": "frames"}})
    with pytest.raises(UsageError, match="no tokens"):
        FusionModel(made, sound_spec())


def test_a_model_of_transcripts_survives_being_saved(tmp_path):
    model, batch = FusionModel(network(), sound_spec()).eval(), sounds([24, 7])
    save(model, tmp_path)
    opened = open_model(tmp_path)
    assert opened.spec == model.spec
    assert torch.equal(opened(batch).logits, model(batch).logits)
