"""Parts of the int8 form, on graphs of a few nodes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from suffuse.checked_json import read_checked
from suffuse.errors import SuffuseError
from suffuse.exporters.int8 import accuracy_check as judging
from suffuse.exporters.int8.accuracy_check import AccuracyCheck, Limits
from suffuse.exporters.int8.operator_groups import Group, before_softmax, groups, quantised_softmax, with_node_names
from suffuse.exporters.int8.precision_selection import Tools, try_method
from suffuse.exporters.int8.quantize import DYNAMIC, STATIC, quantize, quantize_weights
from suffuse.exporters.onnx_session import LatencyCache, LatencyRatio, Session, latency_ratio

RANDOM = np.random.default_rng(0)


def weight(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(RANDOM.normal(size=shape).astype(np.float32), name)


def model(nodes: list, weights: list, reads: dict[str, tuple], out: tuple = ("b", "c")) -> bytes:
    """A graph from float inputs (``ids``: int64) to ``logits``."""
    kinds = {"ids": TensorProto.INT64}
    inputs = [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), shape) for n, shape in reads.items()]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, out)
    graph = helper.make_graph(nodes, "g", inputs, [output], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def attention() -> bytes:
    """x -> q, k, v -> softmax(q k') v + x -> logits: the residual reads what the products read."""
    nodes = [
        *(helper.make_node("MatMul", ["x", f"model.fusion.{n}"], [n], name=f"to_{n}") for n in "qkv"),
        helper.make_node("Transpose", ["k"], ["kt"], name="turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"], name="scores"),
        helper.make_node("Add", ["scores", "x_bias"], ["biased"], name="bias"),
        helper.make_node("Softmax", ["biased"], ["shares"], name="softmax", axis=-1),
        helper.make_node("MatMul", ["shares", "v"], ["mixed"], name="mix"),
        helper.make_node("Add", ["mixed", "x"], ["sum"], name="residual"),
        helper.make_node("MatMul", ["sum", "model.head.weight"], ["logits"], name="head"),
    ]
    weights = [*(weight(f"model.fusion.{n}", 16, 16) for n in "qkv"), weight("model.head.weight", 16, 16)]
    return model(nodes, [*weights, weight("x_bias", 4, 4)], {"x": ("b", 4, 16)}, ("b", 4, 16))


def run(content: bytes, **feed: np.ndarray) -> np.ndarray:
    return Session(content).run(feed)


def test_products_of_two_activations_are_no_candidates():
    found = groups(with_node_names(onnx.load_from_string(attention())))
    assert {(g.kind, g.part): set(g.nodes) for g in found} == {
        ("MatMul", "fusion"): {"to_q", "to_k", "to_v"},
        ("MatMul", "head"): {"head"},
    }
    assert [g.numbers for g in found] == [3 * 256, 256]


@pytest.mark.parametrize("how", [STATIC, DYNAMIC])
def test_nothing_in_int8_reaches_a_softmax_or_the_output(how):
    content = attention()
    chosen = groups(with_node_names(onnx.load_from_string(content)))
    x = RANDOM.normal(size=(6, 4, 16)).astype(np.float32)
    made = quantize(content, chosen, how, [{"x": x[:3]}, {"x": x[3:]}])
    graph = onnx.load_from_string(made).graph
    assert quantised_softmax(graph) == []
    residual = next(n for n in graph.node if n.name == "residual")
    assert list(residual.input) == ["mixed", "x"]  # as it was, though the products read x in int8
    kinds = [n.op_type for n in graph.node]
    assert kinds.count("MatMulInteger" if how == DYNAMIC else "QuantizeLinear") >= 2
    exact, got = run(content, x=x), run(made, x=x)
    assert 0 < np.abs(got - exact).max() < 0.1 * np.abs(exact).max()


def test_a_quantised_softmax_is_found():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="d"),
        helper.make_node("Transpose", ["d"], ["t"], name="t"),
        helper.make_node("Softmax", ["t"], ["logits"], name="softmax"),
    ]
    scale = [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(3), "z")]
    graph = onnx.load_from_string(model(nodes, scale, {"x": ("c", "b")})).graph
    assert quantised_softmax(graph) == ["q"]


def test_a_convolution_or_a_table_just_before_a_softmax_stays():
    nodes = [
        helper.make_node("Gather", ["model.encoders.words_encoder.table", "ids"], ["rows"], name="rows"),
        helper.make_node("Conv", ["x", "model.encoders.picture_encoder.w"], ["map"], name="conv"),
        helper.make_node("Softmax", ["rows"], ["a"], name="one"),
        helper.make_node("Relu", ["map"], ["relu"], name="relu"),
        helper.make_node("Softmax", ["relu"], ["b"], name="two"),
        helper.make_node("ReduceMean", ["b", "axes"], ["c"], name="mean", keepdims=0),
        helper.make_node("MatMul", ["c", "model.head.w"], ["d"], name="head"),
        helper.make_node("Add", ["d", "a"], ["logits"], name="add"),
    ]
    weights = [
        weight("model.encoders.words_encoder.table", 40, 8),
        weight("model.encoders.picture_encoder.w", 8, 4, 3, 3),
    ]
    weights += [weight("model.head.w", 64, 8), numpy_helper.from_array(np.array([1, 2]), "axes")]
    content = model(nodes, weights, {"x": ("b", 4, 10, 66), "ids": ("b",)}, ("b", 8))
    graph = onnx.load_from_string(content).graph
    assert {"rows", "conv"} <= before_softmax(graph)
    assert [g.kind for g in groups(with_node_names(onnx.load_from_string(content)))] == ["MatMul"]


def test_nodes_get_names_of_their_own():
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Relu", ["a"], ["b"], name="n0")]
    nodes += [helper.make_node("Relu", ["b"], ["logits"], name="n0")]
    made = with_node_names(onnx.load_from_string(model(nodes, [], {"x": ("b", "c")})))
    assert len({n.name for n in made.graph.node}) == 3 and all(n.name for n in made.graph.node)


def test_a_table_in_int8_is_exact_to_half_a_step_and_keeps_zero():
    nodes = [
        helper.make_node("Gather", ["model.encoders.words_encoder.table", "ids"], ["rows"], name="rows"),
        helper.make_node("Transpose", ["rows"], ["turned"], name="turned"),
        helper.make_node("Transpose", ["turned"], ["logits"], name="back"),
    ]
    table = RANDOM.normal(size=(40, 8)).astype(np.float32)
    table[0] = 0
    content = model(nodes, [numpy_helper.from_array(table, "model.encoders.words_encoder.table")], {"ids": ("b",)})
    with pytest.raises(SuffuseError, match="would reach a softmax"):  # a table is the output here
        quantize(content, [Group("Gather", "words", ("rows",), 320)], STATIC, [])
    stored = onnx.load_from_string(content)
    quantize_weights(stored, {"rows"})
    made = stored.SerializeToString()
    got = run(made, ids=np.arange(40))
    assert np.abs(got - table).max() <= 0.5001 * np.abs(table).max() / 127
    assert (got[0] == 0).all() and (got < -0.5).any()  # negative numbers survive what ONNX Runtime makes of the graph
    assert len(made) < len(content)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_a_cell_in_int8_is_nearly_itself(kind):
    gates, size = (3, 8) if kind == "GRU" else (4, 8)
    nodes = [
        helper.make_node(kind, ["x", "model.encoders.a_encoder.w", "r"], ["states"], name="cell", hidden_size=size),
        helper.make_node("ReduceSum", ["states", "axes"], ["logits"], name="sum", keepdims=0),
    ]
    weights = [weight("model.encoders.a_encoder.w", 1, gates * size, 6), weight("r", 1, gates * size, size)]
    weights += [numpy_helper.from_array(np.array([0, 1]), "axes")]
    content = model(nodes, weights, {"x": ("l", "b", 6)})
    found = groups(with_node_names(onnx.load_from_string(content)))
    assert [(g.kind, g.part) for g in found] == [(kind, "a")]
    made = quantize(content, found, STATIC, [])
    x = RANDOM.normal(size=(5, 7, 6)).astype(np.float32)
    exact, got = run(content, x=x), run(made, x=x)
    assert 0 < np.abs(got - exact).max() < 0.1  # of sums of five states
    one = run(made, x=np.ascontiguousarray(x[:, :1]))
    np.testing.assert_allclose(one, got[:1], atol=1e-6)


# what is chosen


GROUPS = [Group("Conv", "picture", ("c",), 500), Group("Gemm", "head", ("g",), 500), Group("GRU", "words", ("r",), 500)]


def tools(sizes: dict[str, int], worst: set[str] = frozenset(), times: dict[str, LatencyRatio] | None = None) -> Tools:
    """A form is the names of its groups, padded to 1000 bytes less what each saves; ``worst`` are beyond the limits."""
    even = LatencyRatio(0.98, 1.0, 1.02)

    def made(kept):
        names = ",".join(g.name for g in kept).encode()
        return names.ljust(1000 - sum(sizes[g.name] for g in kept), b".")

    return Tools(
        b"." * 1000,
        made,
        agrees=lambda content: 0.9 if any(w.encode() in content for w in worst) else 0.99,
        beyond=lambda content: "too far" if any(w.encode() in content for w in worst) else "",
        timed=lambda content, name: next((r for n, r in (times or {}).items() if name.endswith(n)), even),
    )


SIZES = {"Conv of picture": 200, "Gemm of head": 100, "GRU of words": 100}


def kept(tried) -> set[str]:
    return {name for name, facts in tried.groups.items() if facts["kept"]}


def test_what_is_smaller_stays_and_ships():
    tried = try_method("static", GROUPS, tools(SIZES))
    assert tried.ships and kept(tried) == set(SIZES) and tried.why == "40% smaller" and len(tried.content) == 600


def test_a_group_that_makes_the_model_slow_or_larger_is_left():
    slow = {"Conv of picture": LatencyRatio(1.5, 2.0, 3.0)}
    tried = try_method("static", GROUPS, tools({**SIZES, "Gemm of head": -5}, times=slow))
    assert kept(tried) == {"GRU of words"} and tried.ships
    assert tried.groups["Conv of picture"]["why"] == "slower"
    assert tried.groups["Gemm of head"]["why"] == "neither smaller nor faster"


def test_a_group_that_agrees_least_is_given_up():
    tried = try_method("static", GROUPS, tools(SIZES, worst={"Conv of picture"}))
    assert tried.ships and kept(tried) == {"Gemm of head", "GRU of words"}
    assert "given up" in tried.groups["Conv of picture"]["why"]


def test_where_all_are_beyond_the_limits_nothing_ships():
    tried = try_method("static", GROUPS, tools(SIZES, worst=set(SIZES)))
    assert not tried.ships and tried.why == "too far" and not tried.content


def test_a_form_that_is_neither_smaller_nor_faster_isn_t_shipped():
    tried = try_method("static", GROUPS, tools(dict.fromkeys(SIZES, 12)))
    assert not tried.ships and tried.why == "neither smaller nor faster than fp32"
    quick = dict.fromkeys([*SIZES, "static"], LatencyRatio(0.5, 0.6, 0.7))
    assert try_method("static", GROUPS, tools(dict.fromkeys(SIZES, -12), times=quick)).why == "faster"
    assert not try_method("static", [], tools(SIZES)).ships


def test_a_group_that_can_t_be_made_is_told_and_left():
    given = tools(SIZES)

    def made(chosen):
        if chosen[0].kind == "Conv":
            raise SuffuseError("ONNX Runtime can't quantise this model", got="no")
        return given.make(chosen)

    tried = try_method("static", GROUPS, Tools(given.fp32, made, given.agrees, given.beyond, given.timed))
    assert tried.ships and "can't quantise" in tried.groups["Conv of picture"]["why"]


# how it is judged


class Fake:
    """Logits of the rows' targets, some of them changed."""

    def __init__(self, columns, wrong: float):
        self.columns, self.wrong, self.at = columns, wrong, 0

    def logits(self, entries, present):
        rows = len(present)
        found = np.zeros((rows, 3), dtype=np.float32)
        found[np.arange(rows), entries["question"][:, 0] % 3] = 2
        bad = np.arange(rows) < self.wrong * rows
        found[bad] = np.roll(found[bad], 1, axis=1)
        return found


def test_agreement_and_what_is_lost_have_intervals(make_columns):
    columns = make_columns(rows=900, absent=0.0)
    columns.target[:] = columns.entries["question"][columns.entry[:, 1], 0] % 3
    rows = columns.labelled("validation")
    judge = AccuracyCheck.of(Fake(columns, 0), columns, rows, [(True, True), (False, True)], (500, 0.95))  # type: ignore
    same, off = judge(Fake(columns, 0)), judge(Fake(columns, 0.1))  # type: ignore[arg-type]
    full = same["picture+question"]
    assert full["agreement"] == {"mean": 1.0, "low": 1.0, "high": 1.0} and full["lost"]["mean"] == 0
    assert full["metric"] == "accuracy" and full["fp32"] == full["int8"] == 1
    facts = off["question"]
    assert facts["agreement"]["mean"] == pytest.approx(0.9, abs=0.01)
    assert facts["agreement"]["low"] < 0.9 < facts["agreement"]["high"]
    assert facts["lost"]["low"] < facts["lost"]["mean"] < facts["lost"]["high"]
    assert facts["lost"]["mean"] == pytest.approx(0.1, abs=0.01)
    assert judging.limit_exceeded(same, Limits(1.0, 0.0)) == ""
    assert "may agree with fp32 on" in judging.limit_exceeded(
        off, Limits(0.9, 1.0)
    )  # the mean would do, its interval doesn't
    assert "may lose" in judging.limit_exceeded(off, Limits(0.0, 0.1))
    assert judging.limit_exceeded(off, Limits(0.8, 0.2)) == ""
    nothing = {"x": {"agreement": {"low": float("nan")}, "lost": {"high": 0.0}, "metric": "accuracy"}}
    assert judging.limit_exceeded(nothing, Limits(0.0, 1.0))  # type: ignore[arg-type]


# how long it takes


def test_times_are_measured_once(tmp_path, monkeypatch):
    nodes = [helper.make_node("Relu", ["x"], ["logits"], name="r")]
    one, two = model(nodes, [], {"x": ("b", "c")}), attention()
    given = {"x": np.zeros((1, 4, 16), dtype=np.float32)}
    one = model(nodes, [], {"x": ("b", 4, 16)}, ("b", 4, 16))
    times = LatencyCache(tmp_path / "times.json", given)
    found = times.ratio(two, one, "attention")
    assert 0 < found.low <= found.median <= found.high
    stored = read_checked(tmp_path / "times.json") or {}
    assert [facts["of"] for facts in stored.values()] == ["attention"]
    monkeypatch.setattr("suffuse.exporters.onnx_session.latency_ratio", lambda *_: pytest.fail("measured twice"))
    assert times.ratio(two, one, "attention") == found


def test_a_slower_model_is_slower():
    nodes = [helper.make_node("Relu", ["x"], ["logits"], name="r")]
    chain = [helper.make_node("Tanh", ["x" if not n else f"v{n}"], [f"v{n + 1}"], name=f"t{n}") for n in range(60)]
    chain.append(helper.make_node("Relu", ["v60"], ["logits"], name="last"))
    shape = {"x": ("b", 4000)}
    quick, slow = (Session(model(each, [], shape, ("b", 4000))) for each in (nodes, chain))
    assert latency_ratio(slow, quick, {"x": np.ones((1, 4000), dtype=np.float32)}, 0.5).low > 2


def test_a_file_that_is_no_model_is_one_line():
    with pytest.raises(SuffuseError, match="can't load this model"):
        Session(b"nothing")
