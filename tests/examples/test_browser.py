"""The example in a browser answers as Python does, asks nothing of any other server, and says what it can't do."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from export_tools import mixed_export, without
from local_server import answering
from page_browser import Browser, opened

from suffuse.predictor import Predictor

pytestmark = [pytest.mark.slow, pytest.mark.long]
EXAMPLES = Path(__file__).parents[2] / "examples"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site(node: str, install: Callable[..., None], pytestconfig: pytest.Config) -> Path:
    """The examples' folder with the packages of this one."""
    place = Path(pytestconfig.cache.mkdir("browser"))
    for old in place.glob("export*"):
        shutil.rmtree(old)
    for name in ("browser", "javascript"):
        (place / name).mkdir(exist_ok=True)
        for old in [*(place / name).glob("*.*")]:
            if old.is_file():
                old.unlink()
        for file in (EXAMPLES / name).iterdir():
            if file.suffix in (".mjs", ".html", ".css"):
                shutil.copy(file, place / name)
    install(node, EXAMPLES / "browser", place / "browser", "ci")
    return place


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    with answering(server) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from opened(tmp_path_factory.mktemp("profile"))


@pytest.fixture
def page(browser: Browser, site: Path, address: str) -> Iterator[Callable[[Path], Browser]]:
    """page(export) -> the example's page with it."""

    def show(export: Path) -> Browser:
        place = Path(tempfile.mkdtemp(dir=site, prefix="export-"))  # of its own: the browser keeps what it had
        shutil.copytree(export, place, dirs_exist_ok=True)
        browser.complaints.clear()
        browser.asked.clear()
        browser.open(f"{address}/browser/index.html?export=../{place.name}")
        browser.wait("!document.querySelector('#form').hidden || document.querySelector('#error').textContent")
        return browser

    yield show
    assert all(url.startswith((f"{address}/", "data:", "blob:")) for url in browser.asked)


def compare(page: Browser, site: Path, export: Path, records: list[dict], root: Path) -> list[dict]:
    """Same answers, probabilities within 1e-5, the same modalities used."""
    columns = dict.fromkeys(column for record in records for column in record)
    records = [record or columns for record in records]  # of an empty record Python asks which model it is for
    sent = [{k: encoded(v, root) for k, v in record.items()} for record in records]
    (site / "records.json").write_text(json.dumps(sent), encoding="utf-8")
    ours = page.run("""(async () => {
      const { fetched, load } = await import("/browser/student.mjs");
      const student = await load(fetched(new URLSearchParams(location.search).get("export")));
      return student.predict(await (await fetch("/records.json")).json()); })()""")
    theirs = Predictor.load(export).predict(records, root)
    assert len(ours) == len(theirs) == len(records)
    for one, other in zip(ours, theirs, strict=True):
        assert (set(one["absent"]), set(one["partly"])) == (set(other.absent), set(other.partly))
        for target, answer in other.answers.items():
            got = one["answers"][target]
            assert got["probabilities"] == pytest.approx(answer.probabilities, abs=1e-5)
            if isinstance(answer.value, float):
                assert got["value"] == pytest.approx(answer.value, rel=1e-5, abs=1e-5)
            else:
                assert got["value"] == (list(answer.value) if isinstance(answer.value, tuple) else answer.value)
    return ours


def encoded(value: Any, root: Path) -> Any:
    """A picture's path as its bytes: a browser reads no path."""
    if isinstance(value, str) and value.endswith(".png"):
        return {"base64": base64.b64encode((root / value).read_bytes()).decode()}
    return value


def test_200_real_rows_are_answered_as_python_answers_them(page, site, questions) -> None:
    export, root, records = questions
    records = without(records, ["picture", "question"])
    assert len(records) == 200 and {len(r) for r in records} == {0, 1, 2}
    found = compare(page(export), site, export, records, root)
    assert len({one["answers"]["answer"]["value"] for one in found}) > 2


def test_200_rows_of_columns_texts_and_series_with_targets_of_every_kind(page, site, tmp_path) -> None:
    export, records = mixed_export(tmp_path)
    found = compare(page(export), site, export, without(records, list(records[0])), tmp_path)
    assert len(found) == 200 and any(one["partly"] for one in found)


def test_the_form_answers(page, questions) -> None:
    export, root, records = questions
    opened_page = page(export)
    content = base64.b64encode((root / records[0]["picture"]).read_bytes()).decode()
    opened_page.run(f"""(() => {{
      const carried = new DataTransfer();
      const content = Uint8Array.from(atob("{content}"), c => c.charCodeAt(0));
      carried.items.add(new File([content], "a.png", {{type: "image/png"}}));
      document.querySelector("input[name=picture]").files = carried.files;
      document.querySelector("textarea[name=question]").value = {json.dumps(records[0]["question"])};
      document.querySelector("#form").requestSubmit(); }})()""")
    opened_page.wait("document.querySelector('.value')")
    exact = Predictor.load(export).predict(records[0], root)
    assert opened_page.run("document.querySelector('.value').textContent") == exact.label
    assert f"{100 * exact.confidence:.1f} %" in opened_page.run("document.querySelector('#answer').innerText")
    assert opened_page.complaints == []


def test_what_is_no_export_or_was_changed_is_said(page, questions, tmp_path) -> None:
    export = questions[0]
    copy = Path(shutil.copytree(export, tmp_path / "export"))
    (copy / "model.onnx").write_bytes((copy / "model.onnx").read_bytes()[:-1])
    assert "model.onnx is not the exported file" in page(copy).run("document.querySelector('#error').textContent")
    (copy / "signature.json").unlink()
    assert "is no export: signature.json: 404" in page(copy).run("document.querySelector('#error').textContent")


def test_the_lock_pins_every_package_and_names_no_registry() -> None:
    lock = json.loads((EXAMPLES / "browser" / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: facts for name, facts in lock["packages"].items() if name}
    assert {"node_modules/onnxruntime-web", "node_modules/fast-png"} <= packages.keys()
    assert all(facts["integrity"].startswith("sha512-") for facts in packages.values())
    assert "://" not in json.dumps(packages)
