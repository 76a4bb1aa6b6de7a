"""The Kubernetes manifest and the commands for a Ray cluster in docs/scale.md: what can be said without a cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from suffuse.recipe import Compute

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").partition("## Trainings on a Ray cluster")[2]


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict[str, Any]]:
    """Kind -> document."""
    text = (ROOT / "examples" / "kuberay.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_every_pod_has_the_same_image_and_the_shared_folder_at_the_same_path(manifest: dict[str, Any]) -> None:
    claim, cluster = manifest["PersistentVolumeClaim"], manifest["RayCluster"]["spec"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    containers = [pod["containers"][0] for pod in pods]
    assert len(pods) == 2 and len({container["image"] for container in containers}) == 1
    for pod, container in zip(pods, containers, strict=True):
        (volume,), (mount,) = pod["volumes"], container["volumeMounts"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert mount == {"name": volume["name"], "mountPath": "/shared"}
        assert container["resources"]["limits"] == container["resources"]["requests"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert cluster["authOptions"] == {"mode": "token"}


def test_the_page_s_commands_fit_the_manifest(manifest: dict[str, Any]) -> None:
    name = manifest["RayCluster"]["metadata"]["name"]
    assert f"ray.io/cluster={name},ray.io/node-type=head" in PAGE
    assert "/shared/run" in PAGE


def test_the_page_s_settings_are_a_recipe_s() -> None:
    lines = [line for line in PAGE.splitlines() if "--set" in line]
    assert len(lines) == 5
    for line in lines:
        compute: dict[str, Any] = {}
        for key, value in re.findall(r"--set compute\.([\w.]+)=(\S+)", line):
            *way, last = key.split(".")
            (compute.setdefault(way[0], {}) if way else compute)[last] = yaml.safe_load(value)
        assert Compute.model_validate(compute).cluster
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    cluster = Compute.model_validate(yaml.safe_load(block)["compute"]).cluster
    assert cluster and cluster.memory == 4_000_000_000
