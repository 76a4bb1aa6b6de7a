"""What docs/deploy.md shows can be copied: it parses, and says of the server what the server is."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from suffuse.modalities.audio_ops import FORMATS as SOUNDS
from suffuse.modalities.image import FORMATS
from suffuse.serving.limits import MEGABYTE, Limits
from suffuse.serving.prometheus_metrics import Metrics
from suffuse.serving.server_process import EXIT_SECONDS

PAGE = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")
WORDS = "FROM RUN COPY USER ENV EXPOSE HEALTHCHECK STOPSIGNAL ENTRYPOINT CMD WORKDIR ARG LABEL".split()  # noqa: SIM905


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_the_dockerfile_has_known_instructions_and_starts_what_is_there() -> None:
    (made,) = blocks("dockerfile")
    found = [line.partition(" ") for line in made.splitlines() if line]
    assert {word for word, _, _ in found} <= set(WORDS)
    said = {word: rest for word, _, rest in found}
    for word in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(said[word]), list)
    check = json.loads(said["HEALTHCHECK"].partition("CMD ")[2])
    compile(check[2], "healthcheck", "exec")
    assert json.loads(said["ENTRYPOINT"])[:2] == ["suffuse", "serve"]
    assert said["USER"] != "root"


def test_the_unit_is_one(tmp_path) -> None:
    (made,) = blocks("ini")
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(made)
    assert unit.sections() == ["Unit", "Service", "Install"]
    assert int(unit["Service"]["TimeoutStopSec"]) > Limits.grace + Limits.drain + EXIT_SECONDS
    program = shutil.which("systemd-analyze")
    if program is not None:
        file = tmp_path / "suffuse.service"
        file.write_text(made.replace("/opt/suffuse/bin/suffuse", "/bin/true"))
        done = subprocess.run([program, "verify", "--man=no", file], capture_output=True, text=True, check=False)
        assert "suffuse.service" not in done.stderr, done.stderr


def test_the_manifests_and_bodies_parse() -> None:
    (made,) = blocks("yaml")
    grace = yaml.safe_load(made)["spec"]["predictor"]["terminationGracePeriodSeconds"]
    assert grace >= 30 > Limits.grace + Limits.drain + EXIT_SECONDS
    (nginx,) = blocks("nginx")
    assert nginx.count("{") == nginx.count("}")
    body = re.search(r"client_max_body_size (\d+)m", nginx)
    assert body and int(body[1]) * MEGABYTE == Limits.body
    assert "client_header_timeout" in nginx  # the server has no limit of its own
    wait = re.search(r"proxy_read_timeout +(\d+)s", nginx)
    assert wait and int(wait[1]) > Limits.answer_seconds


@pytest.mark.parametrize("block", blocks("bash"))
def test_commands_are_whole(block: str) -> None:
    words = shlex.split(block, comments=True)
    for at, word in enumerate(words):
        if word == "-d":
            json.loads(words[at + 1])


def test_the_limits_are_the_servers() -> None:
    for row in (
        f"| body of a request | {Limits.body // MEGABYTE} MiB | 413 |",
        f"| all bodies inside | {Limits.memory // MEGABYTE} MiB | 429 |",
        f"| requests inside | {Limits.requests} | 429",
        f"| a request's head | {Limits.head // 1024} KiB | 431 |",
        f"| between two requests on a connection | {Limits.keep_alive} s |",
        f"| a request's body | {Limits.body_seconds:g} s | 408 |",
        f"| its answer | {Limits.answer_seconds:g} s | 504 |",
        f"{Limits.request_pixels // 10**6} million pixels, {Limits.request_seconds:,g} s and "
        f"{Limits.request_samples // 10**6} million samples",
        f"{Limits.grace:g} s in which requests are taken, {Limits.drain:g} s in which they are answered | 503 |",
    ):
        assert row in PAGE, row


def test_the_metrics_are_the_servers() -> None:
    there = {m.name for m in Metrics().registry.collect()}
    told = {name.removesuffix("_total") for name in re.findall(r"`(suffuse_\w+)[{`]", PAGE)}
    assert told == there


def test_the_formats_are_those_that_are_read() -> None:
    line = re.search(r"only ([\w, \n]+) are read", PAGE)
    assert line
    told = {name.upper() for name in re.split(r",\s+|\s+and\s+", line[1])}
    assert told == {*FORMATS, *SOUNDS} - {"WAVEX", "RF64"}
