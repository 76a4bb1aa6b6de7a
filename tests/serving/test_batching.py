"""Rows of many requests go through the network together, and no row's answer depends on its company."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from serving_tools import MODEL, ask, client, record
from starlette.testclient import TestClient

from suffuse.predictor import Predictor
from suffuse.serving.batcher import Batcher
from suffuse.serving.http_error import Refusal
from suffuse.serving.row_batches import Rows, concatenate_rows, encode_records


def numbers(said: dict[str, Any]) -> list[float]:
    """All numbers of an answer."""
    each = said["answers"].values()
    return [
        v for one in each for v in (*one["probabilities"].values(), *([one["value"]] * (one["confidence"] is None)))
    ]


def values(said: dict[str, Any]) -> list:
    return [one["value"] for one in said["answers"].values() if one["confidence"] is not None]


def test_a_row_in_any_company_is_answered_as_alone(server: TestClient) -> None:
    alone = [ask(server, record(n))[0] for n in range(40)]
    together = ask(server, *[record(n) for n in range(40)])
    with ThreadPoolExecutor(16) as pool:
        beside = list(pool.map(lambda n: ask(server, record(n))[0], list(range(40)) * 3))
    for number, said in [*enumerate(together), *((n % 40, one) for n, one in enumerate(beside))]:
        assert values(said) == values(alone[number])
        np.testing.assert_allclose(numbers(said), numbers(alone[number]), atol=1e-6, rtol=1e-6)
        assert (said["used"], said["absent"], said["partly"]) == tuple(
            alone[number][k] for k in ("used", "absent", "partly")
        )


def test_requests_at_the_same_time_share_the_network_s_runs(predictor: Predictor) -> None:
    runs: list[int] = []

    class Slow(Predictor):
        def logits(self, entries: Any, present: np.ndarray) -> np.ndarray:
            runs.append(len(present))
            time.sleep(0.05)
            return super().logits(entries, present)

    slow = Slow(predictor.heads, predictor.inputs, predictor.session, predictor.derived, predictor.facts)
    with client({MODEL: slow}, threads=2) as server, ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda n: ask(server, record(n)), range(72)))
        text = server.get("/metrics").text
    assert sum(runs) == 72 and len(runs) < 36, runs
    assert max(runs) <= 64
    assert f'suffuse_batch_rows_count{{model="{MODEL}"}} {len(runs)}.0' in text
    assert f'suffuse_batch_rows_sum{{model="{MODEL}"}} 72.0' in text


def test_temperatures_are_each_row_s_own(predictor: Predictor) -> None:
    """Rows with other subsets of the modalities have other temperatures, also in one batch."""
    from dataclasses import replace

    hot = {"look+words+noise+facts+path": {"kind": 5.0}, "words": {"kind": 0.5}}
    facts = replace(predictor.facts, temperatures=hot)
    made = Predictor(predictor.heads, predictor.inputs, predictor.session, predictor.derived, facts)
    records = [record(0), {"note": "a thing"}, {"shop": "north"}]
    with client({MODEL: made}) as server:
        said = ask(server, *records)
    for one, wanted in zip(said, made.predict(records), strict=True):
        assert one["answers"]["kind"]["confidence"] == pytest.approx(wanted.answers["kind"].confidence, abs=1e-6)
    assert said[0]["answers"]["kind"]["confidence"] < predictor.predict(records[0]).answers["kind"].confidence - 0.01


def test_rows_side_by_side_are_padded_at_their_end(predictor: Predictor) -> None:
    parts = [
        encode_records(predictor, [{"note": text}, {"note": "b"}])
        for text in ("a thing", "a thing of the shop and more")
    ]
    entries, present = concatenate_rows(parts)
    assert present.shape == (4, 5) and len({len(e) for e in entries.values()}) == 1
    whole = encode_records(predictor, [{"note": t} for t in ("a thing", "b", "a thing of the shop and more", "b")])
    assert all((entries[name] == whole.entries[name]).all() for name in entries)


def rows(count: int, number: float) -> Rows:
    nothing: list[dict[str, str]] = [{} for _ in range(count)]
    return Rows({"x": np.full((count, 1), number)}, np.ones((count, 1), dtype=bool), nothing, nothing)


def run(batcher: Batcher, *jobs: tuple[Any, Any]) -> list[Any]:
    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(batcher.submit(*job, num_bytes=1) for job in jobs), return_exceptions=True)

    try:
        return asyncio.run(all_of_them())
    finally:
        batcher.close()


def test_one_job_s_failure_is_no_other_s() -> None:
    def forward(entries: Any, present: np.ndarray) -> np.ndarray:
        if (entries["x"] == 3).any():
            raise RuntimeError("the network can't run")
        return entries["x"]

    def refuse(cancelled: Any) -> Rows:
        raise Refusal(422, "no", "no")

    def fail(cancelled: Any) -> Rows:
        raise ValueError("a defect")

    def value(rows: Rows, found: np.ndarray) -> float:
        assert len(rows) == len(found)
        if found[0, 0] == 5:
            raise ValueError("a defect")
        return float(found[0, 0])

    jobs: list[tuple[Any, Any]] = [(lambda cancelled, n=n: rows(1 + n % 3, n), value) for n in range(20)]
    found = run(Batcher(forward, 2, 8, 0.002), *jobs, (refuse, value), (fail, value))
    for number, one in enumerate(found[:20]):
        if number in (3, 5):
            assert isinstance(one, Refusal) and one.status == 500
        else:
            assert one == number
    assert [one.code for one in found[20:]] == ["no", "defect"]


def test_a_job_larger_than_a_batch_runs_by_itself() -> None:
    sizes: list[int] = []

    def forward(entries: Any, present: np.ndarray) -> np.ndarray:
        sizes.append(len(present))
        return entries["x"]

    jobs: list[tuple[Any, Any]] = [
        (lambda cancelled, n=n: rows(20 if n == 2 else 1, n), lambda r, f: len(f)) for n in range(5)
    ]
    assert run(Batcher(forward, 1, 8, 0.002), *jobs) == [1, 1, 20, 1, 1]
    assert max(sizes) == 20 and sum(sizes) == 24


def test_a_slow_network_keeps_all_threads_at_work() -> None:
    """A second batch doesn't wait for the first one's end."""
    both = threading.Barrier(2, timeout=10)

    def forward(entries: Any, present: np.ndarray) -> np.ndarray:
        both.wait()  # passes only while two runs are under way
        return entries["x"]

    batcher = Batcher(forward, 2, 1, 0.002)
    jobs: list[tuple[Any, Any]] = [(lambda cancelled, n=n: rows(1, n), lambda r, f: float(f[0, 0])) for n in range(4)]
    assert run(batcher, *jobs) == [0, 1, 2, 3]
