"""Which addresses are public, and that nothing else is connected to."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from fetch_tools import Server

from suffuse.fetching import public_addresses
from suffuse.fetching.public_addresses import Refused, is_public, pool_manager, resolve

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]"])
def test_a_name_of_this_machine_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(Refused, match="isn't public"):
        resolve(host, 80)


def found(*addresses: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found("8.8.8.8", "10.0.0.1"))
    with pytest.raises(Refused, match=r"example\.org is 10\.0\.0\.1"):
        resolve("example.org", 80)


def test_the_judged_address_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([found("8.8.8.8"), found("127.0.0.1")])  # another one on a second question
    opened: list[str] = []

    def connect(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        opened.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: next(answers))
    monkeypatch.setattr(public_addresses, "create_connection", connect)
    with pytest.raises(Exception, match=r"no connection to example\.org"):
        pool_manager(1, allow_private=False).request("GET", "http://example.org/x.png", retries=False)
    assert opened == ["8.8.8.8"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_request_reaches_this_machine_unasked(server: Server, scheme: str) -> None:
    address = server.address("picture/1.png").replace("http:", f"{scheme}:")
    with pytest.raises(Refused):
        pool_manager(1, allow_private=False).request("GET", address, retries=False)
    assert not server.requests
