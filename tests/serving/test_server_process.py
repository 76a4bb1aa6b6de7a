"""Real processes: an end that loses nothing, connections that can't be held open, and what the command line says."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from e2e_tools import suffuse
from process_tools import Process, running
from serving_tools import MODEL, as_json, record

from suffuse.serving.server_process import accept_queued, listen

ROUTE = f"/v1/models/{MODEL}/predict"


def connect(server: Process) -> socket.socket:
    place = urlsplit(server.url)
    assert place.hostname and place.port
    return socket.create_connection((place.hostname, place.port), timeout=20)


def until_closed(line: socket.socket) -> bytes:
    """All that the server sends."""
    found = b""
    with contextlib.suppress(ConnectionResetError):  # what it didn't read of a request that it refused
        while piece := line.recv(65536):
            found += piece
    return found


def test_no_accepted_request_is_lost(export: Path, tmp_path: Path) -> None:
    """Eight clients at work, and one whose body is half there, when the signal comes."""
    body = json.dumps({"records": [as_json(record(0))]}).encode()
    answers: list[int] = []
    cut: list[str] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as client:
            while not over.is_set():
                try:
                    found = client.post(server.url + ROUTE, content=body, headers={"content-type": "application/json"})
                    answers.append(found.status_code)
                except httpx.ConnectError:
                    return  # it takes no more connections: nothing was accepted
                except httpx.TransportError as error:
                    cut.append(repr(error))
                    return

    with running(tmp_path / "log", f"{MODEL}={export}", "--limit", "grace=1.5") as server:
        clients = [threading.Thread(target=ask) for _ in range(8)]
        for one in clients:
            one.start()
        head = (
            f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with connect(server) as slow:
            slow.sendall(head.encode() + body[:100])
            while len(answers) < 40:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            ready = httpx.get(f"{server.url}/v2/health/ready")
            assert (ready.status_code, ready.json()) == (503, {"ready": False})
            before = len(answers)
            time.sleep(0.5)
            assert len(answers) > before  # while others are told, requests are still taken
            time.sleep(2)  # now it takes no connections any more
            slow.sendall(body[100:])
            assert until_closed(slow).startswith(b"HTTP/1.1 200")
        assert server.process.wait(20) == 0
        over.set()
        for one in clients:
            one.join()
        assert not cut and set(answers) == {200}
        assert "every request that came in was answered" in server.log.read_text()


def test_connections_made_while_it_stops_listening_are_served_or_refused(export: Path, tmp_path: Path) -> None:
    """Clients that open a connection for every request, in many threads, while the socket closes: none is reset."""
    cut: list[str] = []
    served: list[int] = []

    def connect_often() -> None:
        while True:
            try:
                with connect(server) as line:
                    line.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    served.append(line.recv(15) == b"HTTP/1.1 200 OK")
            except ConnectionRefusedError:
                return
            except OSError as error:
                cut.append(repr(error))
                return

    with running(tmp_path / "log", f"{MODEL}={export}", "--limit", "grace=0.1") as server:
        clients = [threading.Thread(target=connect_often) for _ in range(16)]
        for one in clients:
            one.start()
        while len(served) < 100:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        for one in clients:
            one.join(30)
        assert server.process.wait(20) == 0
    assert not cut and all(served)


@pytest.mark.slow
@pytest.mark.long
def test_a_server_that_was_held_up_hears_what_was_sent_meanwhile(export: Path, tmp_path: Path) -> None:
    """At its end it waits for connections that have sent nothing yet; a machine that stands still for longer than that
    must not make it close one whose request has come."""
    body = json.dumps({"records": [as_json(record(0))]}).encode()
    head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with running(tmp_path / "log", f"{MODEL}={export}", "--limit", "grace=0.1") as server:
        with connect(server) as line:
            httpx.get(f"{server.url}/v2/health/ready")  # the connection before this one has been taken, too
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.6)
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(3)
            line.sendall(head.encode() + body)
            server.process.send_signal(signal.SIGCONT)
            assert until_closed(line).startswith(b"HTTP/1.1 200")
        assert server.process.wait(20) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_queued_connections_are_accepted(host: str) -> None:
    with listen(host, 0) as listening, socket.create_connection(listening.getsockname()[:2], timeout=5) as client:
        client.sendall(b"a request")
        (line,) = accept_queued(listening)
        with line:
            assert line.recv(100) == b"a request"
            line.sendall(b"an answer")
        assert client.recv(100) == b"an answer"


def test_a_second_signal_ends_at_once(export: Path, tmp_path: Path) -> None:
    with running(tmp_path / "log", f"{MODEL}={export}", "--limit", "grace=60") as server:
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert server.process.poll() is None
        assert server.stop(10) == 0


@pytest.mark.slow
@pytest.mark.long
def test_idle_connections_and_slow_bodies_are_closed(export: Path, tmp_path: Path) -> None:
    """One that sends nothing after a good request, and one whose body doesn't come.

    Both limits are tested by the order of events in the server, since a bound in seconds fails on a busy machine: the
    limit between requests (1 s) closes a connection while the body's (6 s) has not passed, and by default it is longer
    than 6 s.
    """
    limits = ("--limit", "keep_alive=1", "--limit", "body_seconds=6")
    with running(tmp_path / "log", f"{MODEL}={export}", *limits) as server:
        with connect(server) as body, connect(server) as idle:
            body.sendall(f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode())
            body.sendall(b"Content-Length: 100\r\n\r\n{")
            idle.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert until_closed(idle).count(b"HTTP/1.1 200") == 1
            assert select.select([body], [], [], 0)[0] == []  # not refused yet
            response = until_closed(body)
            assert response.startswith(b"HTTP/1.1 408") and b"slow_body" in response and b"after 6 seconds" in response
        assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
        assert server.stop() == 0


def test_what_is_no_http_and_a_client_that_goes_away(export: Path, tmp_path: Path) -> None:
    with running(tmp_path / "log", f"{MODEL}={export}") as server:
        with connect(server) as line:
            line.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            assert until_closed(line).startswith(b"HTTP/1.1 400")
        for _ in range(5):
            with connect(server) as line:
                line.sendall(f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode())
                line.sendall(b"Content-Length: 100\r\n\r\n{")
        with connect(server) as line:
            line.sendall(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert until_closed(line).startswith(b"HTTP/1.1 431")
        time.sleep(0.3)
        text = httpx.get(f"{server.url}/metrics").text
        assert "suffuse_requests_inside 0.0" in text and "suffuse_bytes_inside 0.0" in text
        assert 'code="5' not in text
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


def test_it_listens_on_this_machine_alone_unless_told_otherwise(export: Path, tmp_path: Path) -> None:
    with running(tmp_path / "log", export) as server:
        assert urlsplit(server.url).hostname == "127.0.0.1"
        assert httpx.get(f"{server.url}/v1/models").json() == {"models": [server_name(export)]}
        port = str(urlsplit(server.url).port)
        done = failing("serve", str(export), "--port", port)
        assert done.startswith("error: can't listen there") and "hint: --port 0" in done


def server_name(export: Path) -> str:
    return export.parent.name if export.name == "export" else export.name


def failing(*args: str) -> str:
    """What a command that must fail says: it does so before there is a server."""
    done = suffuse(*args)
    assert done.code in (1, 2) and "Traceback" not in done.err and "defect" not in done.err
    return done.err


def test_what_it_can_t_serve(export: Path, tmp_path: Path) -> None:
    assert "this folder is no export" in failing("serve", str(tmp_path))
    assert "two models have one name" in failing("serve", f"a={export}", f"a={export}")
    assert "can't be a model's name" in failing("serve", f"a/b={export}")
    assert "Missing argument" in failing("serve")


def test_without_the_extra_it_says_how_to_get_it(export: Path) -> None:
    code = f"import runpy, sys; sys.modules['uvicorn'] = None; sys.argv = ['suffuse', 'serve', {str(export)!r}]\n"
    code += "runpy.run_module('suffuse', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "pip install 'suffuse[serve]'" in done.stderr, done.stderr


def test_the_server_loads_none_of_what_trains() -> None:
    code = "import suffuse.serving.server_process, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "suffuse.serving.server_process" in loaded
    assert not loaded & {"torch", "pandas", "sklearn", "scipy"}
