"""Parameters of every fusion: as many as its docstring says, and as the literature has where it is the same."""

from __future__ import annotations

import re

import pytest
from fusion_tools import OUTPUTS, TOKENS, Built, build, cases
from torch import nn

from suffuse import fusions
from suffuse.registry import load, settings
from suffuse.types import Sizes

TERM = r"[A-Z0-9()+\-^ ]*[A-Z0-9)]"


def value(expression: str, names: dict[str, int]) -> int:
    """``M (4 H^2 + 6 H)`` with numbers for the letters."""
    parts = re.findall(r"[A-Z]|\d+|[()+^-]", expression)
    before = ["+", *parts[:-1]]
    terms = ["*" + b if a not in "(+^-" and b not in ")+^-" else b for a, b in zip(before, parts, strict=True)]
    return eval("".join(terms).replace("^", "**"), {"__builtins__": {}}, names)  # noqa: S307 - as TERM allows


def letters(fusion: Built) -> dict[str, int]:
    """What a docstring's letters stand for."""
    vectors, tokens, chosen = fusion.sizes.vectors, fusion.sizes.tokens, fusion.chosen.model_dump()
    of = {"H": "width", "S": "score", "R": "rank", "P": "factor", "L": "layers", "B": "bottlenecks", "U": "hidden"}
    modulated = 1 if chosen.get("modulated") == "second" else 0
    return {
        **{letter: chosen[key] for letter, key in of.items() if key in chosen},
        "D": sum(vectors),
        "M": len(vectors),
        "T": sum(tokens),
        "K": sum(t > 0 for t in tokens),
        "W": sum(t or v for t, v in zip(tokens, vectors, strict=True)),
        "C": fusion.sizes.outputs,
        "Q": len(fusion.sizes.heads) or 1,
        "X": vectors[modulated],
        "Y": vectors[1 - modulated],
        **(_frame_letters(fusion) if fusion.for_frames else {}),
    }


def _frame_letters(fusion: Built) -> dict[str, int]:
    """Of a fusion for sequences, whose first modality is the recording."""
    wide = [t or v for t, v in zip(fusion.sizes.tokens, fusion.sizes.vectors, strict=True)]
    chosen, frames = fusion.chosen.model_dump(), fusion.sizes.frames
    return {
        "F": wide[0], "G": sum(wide[1:]), "K": chosen["kernel"], "N": len(wide) - 1, "V": frames.outputs,
        "Z": chosen["depth"],
    }  # fmt: skip


def conditions(fusion: Built) -> set[str]:
    """Which of the docstring's conditions hold."""
    chosen = fusion.chosen.model_dump()
    found = {name for name in ("gated", "hidden", "depth") if chosen.get(name)}
    found |= {"context"} if fusion.for_frames and len(fusion.sizes.vectors) > 1 else set()
    if fusion.chosen.kind == "weighted":
        return found | (set() if chosen["weights"] else {"learned"})
    return found | ({chosen["weights"]} if fusion.chosen.kind == "late" else set()) | {chosen.get("attention", "")}


@pytest.mark.parametrize("tokens", [TOKENS, (0, 0, 0), (0, 2, 9)])
@pytest.mark.parametrize(("kind", "count", "form"), cases())
def test_parameters_are_as_many_as_the_docstring_says(kind, count, form, tokens):
    if fusions.load_fusion(kind).FRAMES and not tokens[0]:
        with pytest.raises(ValueError, match="without tokens for the recording"):
            build(kind, count, form, tokens)
        return
    fusion = build(kind, count, form, tokens)
    text = " ".join((fusion.part.__doc__ or "").split())
    formula = re.search(rf"Parameters: ({TERM}) with (.*)", text)
    assert formula, f"{kind}: no line 'Parameters: FORMULA with ...'"
    names, hold = letters(fusion), conditions(fusion)
    expected = value(formula[1], names)
    more = re.findall(rf"({TERM}) more if (\w+)", formula[2])
    expected += sum(value(term, names) for term, condition in more if condition in hold)
    assert {"learned", "confidence", "gated", "hidden", "joint", "each"} & hold <= {condition for _, condition in more}
    assert sum(p.numel() for p in fusion.layers.parameters()) == expected


# The reference sizes: two vectors of 768 and 512, p = h = 256, 10 classes, rank 16.
D, P, C, M, R, H2 = 768 + 512, 256, 10, 2, 16, 256 * 256
PROJECTIONS, HEAD, BLOCK = D * P + M * P, P * C + C, 12 * H2 + 13 * P
# kind and settings; the literature's count with its head; what ours has beside it, and why
REFERENCE = {
    "concat": ({}, D * P + P + HEAD, M * P + D),  # which are present, as inputs; learned absent vectors
    "weighted": ({}, PROJECTIONS + M + HEAD, 0),
    "softmax_gate": ({}, PROJECTIONS + D * M + M + HEAD, M * M),  # which are present, as inputs of the gate
    "attention_pooling": ({}, PROJECTIONS + P * P // 2 + P // 2 + P // 2 + 1 + HEAD, -1),  # a bias of no effect
    "gated": ({}, D * P * (1 + M) + HEAD, M * M * P + 2 * M * P),  # which are present, as inputs; biases
    "film": ({}, 2 * 768 * 512 + 2 * 768 + 768 * C + C, 768),  # what stands in for the modulated modality
    "cross_attention": ({}, PROJECTIONS + M * (4 * H2 + 4 * P + 2 * P) + M * P * C + C, 0),
    "transformer": ({}, PROJECTIONS + 2 * BLOCK + P + M * P + HEAD, 0),
    "bottleneck": ({}, PROJECTIONS + M * 2 * BLOCK + 4 * P + HEAD, -2 * P),
    "low_rank": ({}, R * (D + M) * P + R + P + HEAD, 0),
    "queries": ({}, D * (1 + C) + M * C, 0),
    "late": ({"weights": "learned"}, D * C + M * C + M, 0),
    "tensor": ({"factor": 32, "width": C}, D * 32 + M * 32 + 33**2 * C + C, 0),
}
# cross_attention has no biases of keys (-M P), which the softmax takes out, and learned absent queries (+M P);
# blocks have no such biases either (-P each), and a norm after the last (+2 P)
PUBLISHED = {  # thousands of parameters; concat is the one with a hidden layer, low_rank is without its head
    "concat": 330.5,
    "weighted": 330.8,
    "softmax_gate": 333.3,
    "attention_pooling": 363.8,
    "gated": 985.6,
    "film": 795.7,
    "cross_attention": 860.7,
    "transformer": 1910,
    "bottleneck": 3490,
    "low_rank": 5250,
    "queries": 14.1,  # not published
    "late": 12.8,
    "tensor": 51.9,
}


def counted(kind: str, more: dict, outputs: int = C) -> int:
    """Parameters at the reference sizes, with a linear head where one follows."""
    part = load(fusions.TABLE, kind)
    wanted = {"width": P, "score": P // 2, "rank": R, "heads": 8, "layers": 2, "bottlenecks": 4, **more}
    chosen = settings(
        fusions.TABLE, {"kind": kind, **{k: v for k, v in wanted.items() if k in part.Settings.model_fields}}
    )
    sizes = Sizes((768, 512), (0, 0), outputs)
    layers = part.layers(chosen, sizes)
    own_head = fusions.headless(chosen) or part.width(chosen, sizes) == outputs
    head = 0 if own_head else sum(p.numel() for p in nn.Linear(part.width(chosen, sizes), outputs).parameters())
    return sum(p.numel() for p in layers.parameters()) + head


@pytest.mark.parametrize("kind", REFERENCE)
def test_parameters_are_those_of_the_literature_and_the_stated_extras(kind):
    more, expected, extras = REFERENCE[kind]
    found = counted(kind, more)
    assert found - extras == expected
    assert expected / 1000 == pytest.approx(PUBLISHED[kind], rel=2e-3)


def test_low_rank_straight_to_the_outputs():
    assert counted("low_rank", {"width": C}) == R * (D + M) * C + R + C == 205_146


def test_a_tensor_that_would_be_too_large_is_refused():
    part = load(fusions.TABLE, "tensor")
    with pytest.raises(
        ValueError, match=r"got 1,509,949,440 .* 6 modalities, expected 4,000,000 at most.*fusion.factor"
    ):
        part.layers(part.Settings(factor=15, width=90), Sizes((4,) * 6, (0,) * 6, OUTPUTS))
    part.layers(part.Settings(factor=15, width=90), Sizes((4,) * 3, (0,) * 3, OUTPUTS))
