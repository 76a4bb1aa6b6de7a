"""Where a setting's file is: on disk, in a folder, inside an installed package; and no package's code is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from suffuse.errors import UsageError
from suffuse.files import absolute_file, package_file


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """An installed package whose code must not run."""
    root = tmp_path / "site"
    inner = root / "some_model"
    (inner / "model" / "deep").mkdir(parents=True)
    (inner / "__init__.py").write_text("raise SystemExit('it was imported')")
    for name in ("model/weights.safetensors", "model/deep/weights.safetensors", "model/tokenizer.json", "b.bin"):
        (inner / name).write_text(name)
    info = root / "some_model-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
    files = [p.relative_to(root).as_posix() for p in sorted(inner.rglob("*")) if p.is_file()]
    (info / "RECORD").write_text("".join(f"{f},,\n" for f in [*files, "../../../bin/some-model"]))
    bare = root / "bare_model"
    bare.mkdir()
    (bare / "__init__.py").write_text("raise SystemExit('it was imported')")
    (bare / "tokenizer.json").write_text("bare")
    monkeypatch.syspath_prepend(str(root))
    return inner


@pytest.mark.parametrize("name", ["some-model", "some_model", "Some.Model"])
def test_a_file_of_a_package_by_name(package, name):
    assert package_file(f"package:{name}", "tokenizer.json") == package / "model" / "tokenizer.json"
    assert package_file(f"package:{name}", "*.safetensors") == package / "model" / "weights.safetensors"
    assert package_file(f"package:{name}", "gone.json", "*.bin") == package / "b.bin"
    assert "some_model" not in sys.modules


def test_a_path_inside_a_package(package):
    inner = "model/deep"
    assert package_file(f"package:some-model/{inner}", "*.safetensors") == package / inner / "weights.safetensors"
    exact = package_file("package:some-model/some_model/model/tokenizer.json")
    assert exact == package_file("package:some-model/model/tokenizer.json") == package / "model" / "tokenizer.json"


def test_a_package_without_a_list_of_its_files(package):
    assert package_file("package:bare-model", "tokenizer.json").read_text() == "bare"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("package:no-such-model-anywhere", "isn't installed"),
        ("package:some-model", "no such file in it"),
        ("package:some-model/gone", "holds no such file"),
        ("package:", "isn't installed"),
        ("gone.json", "no such file"),
    ],
)
def test_what_is_not_there_is_told_with_the_setting(package, reference, said):
    with pytest.raises(UsageError, match=said) as caught:
        package_file(reference, "vocabulary.txt", where="modalities.title.tokenizer")
    assert "modalities.title.tokenizer" in caught.value.line()


def test_a_file_or_a_folder_on_disk(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    assert package_file(str(tmp_path), "tokenizer.json") == tmp_path / "tokenizer.json"
    assert package_file(str(tmp_path / "tokenizer.json")) == tmp_path / "tokenizer.json"
    with pytest.raises(UsageError, match=r"expected model.onnx or \*.bin"):
        package_file(str(tmp_path), "model.onnx", "*.bin")


def test_paths_start_from_the_recipe(tmp_path):
    assert absolute_file("a/b.json", tmp_path) == str(tmp_path / "a" / "b.json")
    assert absolute_file("package:x/y", tmp_path) == "package:x/y"


def test_files_load_nothing_heavy():
    said = subprocess.run(
        [sys.executable, "-c", "import sys, suffuse.files; print({'torch', 'numpy', 'pyarrow'} & set(sys.modules))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "set()\n"
