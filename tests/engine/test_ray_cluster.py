"""The connection to Ray, with a module in Ray's place that keeps what it is asked."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from suffuse import registry
from suffuse.engine import ray_cluster
from suffuse.engine.ray_cluster import LOOPBACK, OOM_RETRIES, connect, disconnect
from suffuse.errors import SuffuseError, UsageError
from suffuse.recipe.stage_settings import RaySettings

OWN = (LOOPBACK, "RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
VARIABLES = (*OWN, OOM_RETRIES)


class FakeRay(ModuleType):
    """A cluster of one node with this address."""

    def __init__(self, address: str = "127.0.0.1"):
        super().__init__("ray")
        self.address, self.inits, self.shutdowns, self.initialized = address, [], 0, False
        self.util = self

    def is_initialized(self) -> bool:
        return self.initialized

    def init(self, **options: Any) -> None:
        self.inits.append({**options, "variables": {name: os.environ.get(name) for name in VARIABLES}})
        self.initialized = True

    def shutdown(self) -> None:
        self.initialized = False
        self.shutdowns += 1

    def get_node_ip_address(self) -> str:
        return self.address

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True}, {"Alive": False}]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 3.0}

    def get_runtime_context(self) -> Any:
        return type("Context", (), {"gcs_address": "head:6379"})


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay()
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setattr(ray_cluster, "optional", lambda module, extra: fake)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield fake
    disconnect()


def test_a_ray_that_is_started_here_is_closed_to_others(ray: FakeRay, capsys: pytest.CaptureFixture[str]) -> None:
    assert connect(RaySettings(), 3) is ray and connect(RaySettings(), 3) is ray
    (init,) = ray.inits
    variables, folder = init["variables"], Path(init["_temp_dir"])
    assert variables[LOOPBACK] == "0" and variables["RAY_USAGE_STATS_ENABLED"] == "0"
    assert variables["RAY_AUTH_MODE"] == "token" and len(variables["RAY_AUTH_TOKEN"]) == 64
    assert init["address"] == "local" and init["num_cpus"] == 3 and init["include_dashboard"] is False
    assert len(str(folder)) + 63 <= 107 and folder.exists()  # with the path of a socket below it
    assert "3 CPUs, listens on 127.0.0.1 alone" in capsys.readouterr().err
    disconnect()
    assert ray.shutdowns == 1 and not folder.exists()
    assert not [name for name in VARIABLES if name in os.environ]


def test_a_ray_that_others_could_reach_is_ended(ray: FakeRay) -> None:
    ray.address = "192.0.2.7"
    with pytest.raises(SuffuseError, match="would listen to other machines") as refused:
        connect(RaySettings(), 1)
    assert refused.value.got == "192.0.2.7" and LOOPBACK in refused.value.hint
    assert ray.shutdowns == 1 and not Path(ray.inits[0]["_temp_dir"]).exists()


def test_the_user_s_own_token_stays(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    connect(RaySettings(), 1)
    assert ray.inits[0]["variables"]["RAY_AUTH_TOKEN"] is None
    disconnect()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_cluster_is_joined_as_it_is(ray: FakeRay, capsys: pytest.CaptureFixture[str]) -> None:
    connect(RaySettings(address="auto", retries=2), 1)
    assert ray.inits[0]["address"] == "auto"
    assert [ray.inits[0]["variables"][name] for name in OWN] == [None] * len(OWN)
    assert ray.inits[0]["variables"][OOM_RETRIES] == "2"  # else without end
    assert "cluster of 1 nodes at head:6379: 3 CPUs, 0 GPUs" in capsys.readouterr().err
    disconnect()
    assert ray.shutdowns == 1


def test_an_address_where_nobody_listens_is_an_error_at_once(ray: FakeRay) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SuffuseError, match="can't reach the Ray cluster") as refused:
            connect(RaySettings(address=address), 1)
    assert address in refused.value.got and "refused" in refused.value.got and not ray.inits


def test_a_connection_that_was_there_before_stays(ray: FakeRay) -> None:
    ray.initialized = True
    assert connect(RaySettings(), 1) is ray
    disconnect()
    assert not ray.inits and not ray.shutdowns


def test_without_the_package_connecting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing_module(module: str, extra: str) -> ModuleType:
        monkeypatch.setitem(sys.modules, "ray", None)
        return registry.optional(module, extra)

    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setattr(ray_cluster, "optional", missing_module)
    with pytest.raises(UsageError, match="ray isn't installed") as missing:
        connect(RaySettings(), 1)
    assert LOOPBACK not in os.environ
    assert missing.value.hint == "pip install 'suffuse[cluster]'"
