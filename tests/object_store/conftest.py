"""A store in memory, and one S3 server for all tests of a process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from s3_server import BUCKET, SECRETS, Proxy

from suffuse import object_store


@pytest.fixture(scope="session")
def s3_proxy() -> Iterator[Proxy]:
    """The proxy, with an empty bucket behind it; the SDK's environment points to it."""
    server_module = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    proxy = Proxy(server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_MAX_ATTEMPTS", "2")
        patch.setenv("AWS_RETRY_MODE", "standard")
        patch.setenv("AWS_ENDPOINT_URL_S3", proxy.start())
        patch.setattr(object_store, "BACKOFF", 0.01)
        object_store._opened.cache_clear()
        object_store._opened("s3", os.getpid()).mkdir(BUCKET)
        yield proxy
        object_store._opened.cache_clear()
    proxy.stop()
    server.stop()


@pytest.fixture
def s3(s3_proxy: Proxy) -> Iterator[Proxy]:
    """The proxy without faults and counts."""
    s3_proxy.faults.clear()
    s3_proxy.requests.clear()
    yield s3_proxy
    s3_proxy.faults.clear()


@pytest.fixture
def memory() -> Iterator[None]:
    """An empty store in memory."""
    import fsspec

    store = fsspec.filesystem("memory").store
    store.clear()
    yield
    store.clear()
