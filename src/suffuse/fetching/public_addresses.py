"""Connections that lead nowhere but into the public Internet.

A table may come from anybody, and an address in it must not reach what stands behind the firewall (server-side request
forgery). A name is resolved once, all its addresses are judged, and the connection goes to one of these: a second
answer of the name server changes nothing. Redirections open connections of the same kind.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

NAT64 = ipaddress.ip_network("64:ff9b::/96")  # the last 32 bits are an address of IPv4


class Refused(Exception):
    """An address leads to a private, a loopback or another network that isn't public."""


def is_public(text: str) -> bool:
    """Whether an IP address is a public one; of an IPv6 address that holds one of IPv4, whether that is."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif int(address) >> 32 == 0 and int(address) > 1:  # an old form of the same
            inner = ipaddress.IPv4Address(int(address))
        if inner is not None:
            return is_public(str(inner))
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host. Raises Refused where one of them isn't public."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if private := [address for address in addresses if not is_public(address)]:
        raise Refused(f"{host} is {private[0]}, which isn't public")
    return addresses


def pool_manager(connections: int, allow_private: bool) -> urllib3.PoolManager:
    """Connections to servers, so many to each that are kept. ``allow_private``: to any address."""
    manager = urllib3.PoolManager(num_pools=4 * connections, maxsize=connections)
    if not allow_private:
        manager.pool_classes_by_scheme = {"http": _PublicPool, "https": _PublicTLSPool}
    return manager


def _connect(connection: Any) -> socket.socket:
    """A connection to one of the host's addresses, as urllib3 makes one to its name."""
    host, problem = connection.host, OSError("no address")
    try:
        addresses = resolve(host, connection.port)
    except socket.gaierror as error:
        raise NameResolutionError(host, connection, error) from error
    except UnicodeError:
        raise Refused(f"{host[:60]} is no name of a host") from None
    for address in addresses:
        try:
            return create_connection(
                (address, connection.port), connection.timeout,
                source_address=connection.source_address, socket_options=connection.socket_options,
            )  # fmt: skip
        except OSError as error:
            problem = error
    if isinstance(problem, TimeoutError):
        raise ConnectTimeoutError(connection, f"connection to {host} timed out") from problem
    raise NewConnectionError(connection, f"no connection to {host}: {problem}") from problem


class _PublicConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _PublicTLSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:  # the certificate is that of the name, not of the address
        return _connect(self)


class _PublicPool(HTTPConnectionPool):
    ConnectionCls: Any = _PublicConnection


class _PublicTLSPool(HTTPSConnectionPool):
    ConnectionCls: Any = _PublicTLSConnection
