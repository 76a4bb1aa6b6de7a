"""Files outside of an export that its signature names: opened where the caller allows their folder, and only there."""

from __future__ import annotations

import io
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from suffuse.cli import app
from suffuse.derive import transcribe
from suffuse.errors import UsageError
from suffuse.predictor import SIGNATURE, Predictor, digest
from suffuse.serving import server_process
from suffuse.serving.limits import Limits

REFUSED = "the model names a file that may not be opened"


def renamed(export: Path, place: Path, **settings: str) -> Path:
    """The export with texts that are transcribed with these settings, sealed again."""
    shutil.copytree(export, place)
    facts = json.loads((place / SIGNATURE).read_text(encoding="utf-8"))
    facts["derive"] = {"text": {"settings": {"kind": "transcribe", "column": "sound", **settings}, "facts": {}}}
    facts["digest"] = digest(facts)
    (place / SIGNATURE).write_text(json.dumps(facts), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def own_model() -> dict[str, str]:
    """The package's models as a user would name models of his own."""
    folder = Path(pytest.importorskip("pocketsphinx").get_model_path(), "en-us")
    files = {"model": "en-us", "dictionary": "cmudict-en-us.dict", "language": "en-us.lm.bin"}
    return {key: str(folder / name) for key, name in files.items()}


@pytest.fixture
def sound() -> bytes:
    """Half a second of noise."""
    file = io.BytesIO()
    samples = np.random.default_rng(0).normal(scale=0.1, size=8000)
    pytest.importorskip("soundfile").write(file, samples, 16_000, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("key", ["model", "dictionary", "language"])
def test_none_is_opened_unasked(export, tmp_path, monkeypatch, key):
    monkeypatch.setattr(transcribe, "_recogniser", lambda *_: pytest.fail("a file was opened"))
    (tmp_path / "allowed").mkdir()
    for number, name in enumerate([str(tmp_path / "other"), "other", str(tmp_path / "allowed" / ".." / "other")]):
        place = renamed(export, tmp_path / f"export-{number}", **{key: name})
        for allowed in (None, tmp_path / "allowed"):
            with pytest.raises(UsageError, match=REFUSED) as caught:
                Predictor.load(place, model_files=allowed)
            assert caught.value.where == f"derive: text: {key}" and caught.value.got == name
            assert "--model-files" in caught.value.hint


def test_a_link_that_leads_out_of_the_allowed_folder_is_refused(export, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "model").symlink_to(tmp_path / "other")
    place = renamed(export, tmp_path / "export", model=str(tmp_path / "allowed" / "model"))
    with pytest.raises(UsageError, match=REFUSED):
        Predictor.load(place, model_files=tmp_path / "allowed")


def test_an_own_model_answers_where_its_folder_is_allowed(export, tmp_path, own_model, sound):
    own = Predictor.load(renamed(export, tmp_path / "own", **own_model), model_files=Path(own_model["model"]).parent)
    plain = Predictor.load(renamed(export, tmp_path / "plain"))
    found = own.predict({"sound": sound})
    assert found == plain.predict({"sound": sound}) and not found.unreadable


def test_the_commands_take_the_folder(export, tmp_path, own_model, sound, monkeypatch):
    place = renamed(export, tmp_path / "export", **own_model)
    (tmp_path / "a.wav").write_bytes(sound)
    (tmp_path / "rows.csv").write_text("sound\na.wav\n", encoding="utf-8")
    arguments = ["predict", str(place), str(tmp_path / "rows.csv"), "-o", str(tmp_path / "out.csv")]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, UsageError) and REFUSED in str(refused.exception)
    assert not (tmp_path / "out.csv").exists()
    allowed = str(Path(own_model["model"]).parent)
    assert CliRunner().invoke(app, [*arguments, "--model-files", allowed]).exit_code == 0
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 2

    def listen(host: str, port: int) -> None:
        raise ConnectionError("it is about to listen")

    monkeypatch.setattr(server_process, "listen", listen)
    with pytest.raises(UsageError, match=REFUSED):
        server_process.serve([str(place)], "127.0.0.1", 0, 1, Limits())
    with pytest.raises(ConnectionError):
        server_process.serve([str(place)], "127.0.0.1", 0, 1, Limits(), partial(Predictor.load, model_files=allowed))
