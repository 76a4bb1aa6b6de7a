"""The connection to Ray: to a cluster that is there, or to one that is started here and ends with the command.

A node may run trainings if it has the resources of one, sees the run's folder under the driver's path, and has the
driver's versions of suffuse, torch and Python.
"""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from typing import Any

from .. import __version__
from ..environment import processor
from ..errors import SuffuseError, UsageError, listed
from ..progress import say
from ..recipe.stage_settings import RaySettings
from ..registry import optional

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # 0: Ray takes 127.0.0.1, as it does by itself on macOS and Windows
OOM_RETRIES = "RAY_task_oom_retries"  # of a task that Ray ended since its node ran out of memory; else without end
STORE_BYTES = 80 * 2**20  # of Ray's shared memory, the least that it takes: tasks and results are small
TEMPORARY_LENGTH = 20  # characters: below it stand UNIX sockets, whose paths have at most 107
CONNECT_SECONDS = 10.0
NODE_SECONDS = 120.0  # in which every node answers; a busy one starts a process first
SHARED = "put the run on a file system that all nodes mount at the same path, and start suffuse with that path"

Facts = dict[str, Any]
_ends: list[contextlib.ExitStack] = []  # what ends the connection that was made here


@contextlib.contextmanager
def session() -> Generator[None]:
    """Inside, trainings may :func:`connect`; afterwards the connection ends.

    Raises UsageError as :func:`require_available` does.
    """
    require_available()
    try:
        yield
    finally:
        disconnect()


def require_available() -> None:
    """Raise UsageError where trainings can't use Ray: below a launcher, and where it isn't installed."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "a launcher's processes don't go with Ray", where="compute.executor", got="ray", expected="local",
            hint="start suffuse once, without the launcher: Ray starts the processes",
        )  # fmt: skip
    if find_spec("ray") is None:
        raise UsageError("ray isn't installed", where="compute.executor", hint="pip install 'suffuse[cluster]'")


def connect(settings: RaySettings, cores: int) -> Any:
    """The module ray, connected. Where this process has no connection yet one is made, until :func:`disconnect`:
    without an address to a Ray of ``cores`` CPUs that is started here and listens on the loopback interface alone.

    Raises UsageError where ray isn't installed; SuffuseError where there is no connection.
    """
    alone, stack = settings.address is None, contextlib.ExitStack()
    try:
        if "ray" not in sys.modules:
            retries = {OOM_RETRIES: str(settings.retries)} if OOM_RETRIES not in os.environ else {}
            _set_variables(retries | (_own_variables() if alone else {}), stack)
        ray: Any = optional("ray", "cluster")
        if ray.is_initialized():
            stack.close()
            return ray
        _start(ray, cores, stack) if alone else _join(ray, settings.address, stack)
    except Exception as error:
        stack.close()
        if isinstance(error, SuffuseError) or os.environ.get("SUFFUSE_DEBUG"):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise SuffuseError(
            "can't start Ray" if alone else "can't reach the Ray cluster", where="compute.ray.address",
            got=lines[0] if alone else f"{settings.address}: {lines[0]}",
            hint="" if alone else "`ray start --head` starts one, `ray status` shows it; address null starts Ray here",
        ) from None  # fmt: skip
    _ends.append(stack)
    atexit.register(disconnect)
    return ray


def disconnect() -> None:
    """End a connection that :func:`connect` made, and the Ray that it started. One that the caller had before stays."""
    while _ends:
        _ends.pop().close()


def _start(ray: Any, cores: int, stack: contextlib.ExitStack) -> None:
    """Start Ray on this machine, without a dashboard."""
    base = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="suffuse-ray-", dir=base if len(base) <= TEMPORARY_LENGTH else "/tmp")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    stack.callback(ray.shutdown)
    with contextlib.redirect_stdout(sys.stderr):  # what Ray prints is talk
        ray.init(
            address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False, configure_logging=False,
            object_store_memory=STORE_BYTES, _temp_dir=folder,
        )  # fmt: skip
    address = ray.util.get_node_ip_address()
    if not ipaddress.ip_address(address).is_loopback:
        raise SuffuseError(
            "Ray would listen to other machines", where="compute.ray.address: null", got=address,
            expected="127.0.0.1", hint=f"{LOOPBACK}=0 in the environment, before ray is imported",
        )  # fmt: skip
    say(f"ray       started here with {cores} CPUs, listens on {address} alone")


def _join(ray: Any, address: str | None, stack: contextlib.ExitStack) -> None:
    if address != "auto":
        host, _, port = str(address).rpartition(":")
        # where nobody listens Ray itself tries again for many minutes
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    stack.callback(ray.shutdown)
    with contextlib.redirect_stdout(sys.stderr):
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    resources: Mapping[str, float] = ray.cluster_resources()
    total = ", ".join(f"{resources.get(name, 0):g} {name}s" for name in ("CPU", "GPU"))
    say(f"ray       cluster of {len(nodes)} nodes at {ray.get_runtime_context().gcs_address}: {total}")


def _own_variables() -> dict[str, str]:
    """Environment variables of a Ray that is started here, which are read when ray is imported: loopback, no usage
    statistics, and a token of its own for whoever connects."""
    variables = {LOOPBACK: "0", "RAY_USAGE_STATS_ENABLED": "0"}
    if "RAY_AUTH_MODE" not in os.environ:
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return variables


def _set_variables(variables: Mapping[str, str], stack: contextlib.ExitStack) -> None:
    """Set environment variables until the stack ends."""
    before = {name: os.environ.get(name) for name in variables}

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    os.environ.update(variables)
    stack.callback(restore)


def node_facts(marker: str, token: str) -> Facts:
    """What decides whether this node may train: its name and versions, and whether it reads ``token`` in the file
    ``marker``."""
    try:
        sees = Path(marker).read_text(encoding="utf-8") == token
    except OSError:
        sees = False
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = "none"
    versions = {"suffuse": __version__, "torch": torch, "Python": python_version()}
    return {"node": socket.gethostname(), "sees": sees, "versions": versions, "processor": processor()}


def require_node(facts: Facts, own: Facts, folder: object) -> None:
    """Raise SuffuseError where a node can't train for this process. ``own``: this process's :func:`node_facts`."""
    where = f"node {facts['node']}"
    if not facts["sees"]:
        raise SuffuseError("a node doesn't see the run's folder", where=where, got=folder, hint=SHARED)
    different = [name for name, version in own["versions"].items() if facts["versions"].get(name) != version]
    if different:
        raise SuffuseError(
            "a node has other versions than the driver", where=where,
            got=", ".join(f"{name} {facts['versions'].get(name)}" for name in different),
            expected=", ".join(f"{name} {own['versions'][name]}" for name in different),
            hint="the same environment on all nodes, such as one container image",
        )  # fmt: skip


def usable_nodes(nodes: Sequence[Facts], needs: Mapping[str, float]) -> list[Facts]:
    """The living nodes that can hold one training. ``nodes``: as ``ray.nodes()`` lists them; ``needs``: resource ->
    amount.

    Raises SuffuseError where there is none: Ray would wait for one for ever.
    """
    alive = [node for node in nodes if node["Alive"]]
    usable = [n for n in alive if all(n["Resources"].get(name, 0) >= amount for name, amount in needs.items())]
    if not usable:
        raise SuffuseError(
            "no node of the Ray cluster can hold one training", where="compute.ray",
            got=listed(f"{n['NodeManagerHostname']}: {_amounts(n['Resources'], needs)}" for n in alive) or "no node",
            expected=_amounts(needs, needs), hint="ask for less, or start a node that has it: none is waited for",
        )  # fmt: skip
    return usable


def _amounts(resources: Mapping[str, float], names: Mapping[str, float]) -> str:
    amounts = {name: resources.get(name, 0) for name in names}
    return ", ".join(f"{a / 2**30:.1f} GiB" if name == "memory" else f"{a:g} {name}" for name, a in amounts.items())


def require_nodes(ray: Any, needs: Mapping[str, float], ask: Callable[[Facts], Any], own: Facts, folder: Path) -> None:
    """Ask every node that can hold a training for its :func:`node_facts`: ``ask(node)`` gives the reference of a task
    there. A node that is lost meanwhile is left out.

    Raises SuffuseError where one can't train, or doesn't answer.
    """
    nodes = usable_nodes(ray.nodes(), needs)
    asked = {ask(node): node["NodeManagerHostname"] for node in nodes}
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=NODE_SECONDS)
    if silent:
        for reference in silent:
            ray.cancel(reference, force=True)
        names = listed(asked[reference] for reference in silent)
        raise SuffuseError("nodes of the Ray cluster don't answer", where=names, got=f"nothing in {NODE_SECONDS:g} s")
    processors: set[str] = set()
    for reference in answered:
        try:
            facts = ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # suffuse can't be imported there
            lines = str(error).strip().splitlines()
            raise SuffuseError(
                "a node can't import suffuse", where=f"node {asked[reference]}", got=lines[-1],
                hint="the same environment on all nodes, such as one container image",
            ) from None  # fmt: skip
        except ray.exceptions.RayError:
            continue
        require_node(facts, own, folder)
        processors.add(facts["processor"])
    if len(processors) > 1:
        say(f"notice: the nodes' processors differ ({listed(sorted(processors))}): so may the last bits of a training")
