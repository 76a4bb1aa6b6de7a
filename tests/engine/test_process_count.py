"""Short trainings are done in the process that asks for them: the same bits, and nothing of it stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from suffuse import pipeline
from suffuse.data.columns import Columns
from suffuse.engine import workers
from suffuse.model import FusionModel
from suffuse.recipe import Training
from suffuse.run import Run
from suffuse.stages import distill, teach


@pytest.fixture(scope="module")
def columns(prepared_run: Run) -> Columns:
    return Columns.open(prepared_run.path("data"))


def test_brief_is_what_takes_few_steps_of_a_small_network_on_small_entries(
    prepared_run: Run, columns: Columns, monkeypatch
):
    network, rows = prepared_run.recipe.student.bare(), len(columns.rows("train"))
    steps = -(-rows // 16)

    def brief(count: int, epochs: int = 1) -> bool:
        return workers.is_brief(network, columns, [Training(epochs=epochs, batch=16)] * count)

    assert brief(workers.BRIEF_STEPS // steps) and not brief(workers.BRIEF_STEPS // steps + 1)
    assert brief(1, workers.BRIEF_STEPS // steps) and not brief(1, workers.BRIEF_STEPS // steps + 1)
    size, numbers = FusionModel(network, columns.of(network.encoders).spec).size(), 8 * 8 * 3 + 12
    for name, each in (("BRIEF_PARAMETERS", size), ("BRIEF_NUMBERS", numbers)):
        with monkeypatch.context() as patch:
            patch.setattr(workers, name, 3 * rows * each)
            assert brief(3) and not brief(4)


@pytest.mark.slow
@pytest.mark.long
def test_it_has_the_same_bits_as_in_processes_of_its_own(prepared_run: Run, tmp_path: Path, monkeypatch):
    """Teachers, floors and students, all of which a recipe of several seeds trains side by side."""
    recipe = prepared_run.recipe.model_dump(mode="json", exclude_unset=True)
    recipe["teacher"] |= {"num_seeds": 2, "unimodal_baselines": True, "dropout": 0.1}
    recipe["distill"] |= {"num_seeds": 2, "unimodal_baselines": True}
    recipe["compute"] = {"threads": 2}
    made: dict[bool, dict[Path, bytes]] = {}
    for brief in (True, False):
        for stage in (teach, distill):
            monkeypatch.setattr(stage, "is_brief", lambda *_, so=brief: so)
        run = Run.of(recipe, tmp_path / str(brief))
        for verb in ("prepare", "teach", "extract", "distill"):
            pipeline.run_stage(run, verb)
        files = [*run.folder.glob("*/**/model.safetensors"), *run.folder.glob("*/seed-*/training.json")]
        made[brief] = {file.relative_to(run.folder): file.read_bytes() for file in files}
    assert len(made[True]) == 15 + 14 and made[True] == made[False]  # the best teacher's network is there twice


def test_threads_and_chance_are_as_before(tmp_path: Path, monkeypatch):
    (tmp_path / "shortjobs.py").write_text(
        "import os, torch\nfrom pathlib import Path\n"
        "def wild(job, tell):\n    torch.set_num_threads(1), torch.manual_seed(job['seed']), torch.rand(3)\n"
        "    tell(0.5, 'half')\n    Path(job['file']).write_text(str(os.getpid()))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    torch.set_num_threads(2)
    torch.manual_seed(7)
    wanted, shares = torch.rand(4), []
    torch.manual_seed(7)
    jobs = [{"seed": n, "file": str(tmp_path / f"{n}.txt")} for n in range(3)]
    teach.run_jobs("shortjobs:wild", jobs, 2, lambda share, words: shares.append(share), 1, True)
    assert torch.get_num_threads() == 2 and torch.equal(torch.rand(4), wanted)
    assert {Path(job["file"]).read_text() for job in jobs} == {str(os.getpid())}
    assert shares == [pytest.approx((n + 0.5) / 3) for n in range(3)]


def test_neither_settling_nor_opening_a_network_needs_the_compiler(prepared_run: Run, columns: Columns, tmp_path: Path):
    """It takes seconds to import, and whoever trains nothing has no use for it."""
    network = prepared_run.recipe.student.bare()
    FusionModel(network, columns.of(network.encoders).spec).initialise().save_pretrained(tmp_path)
    code = (
        "import sys, torch; from pathlib import Path; from suffuse.model import open_model;"
        "from suffuse.engine.runtime import settle; settle(1);"
        "assert torch.get_deterministic_debug_mode() == 2 and torch.are_deterministic_algorithms_enabled();"
        "assert not torch.utils.deterministic.fill_uninitialized_memory; open_model(Path(sys.argv[1]));"
        "print([name for name in sys.modules if name.startswith(('torch._dynamo', 'torch._inductor'))][:3])"
    )
    told = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert told.stdout.strip() == "[]", told.stderr
