"""What the datasets library saves, read without it."""

from __future__ import annotations

import subprocess
import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from suffuse import sources
from suffuse.errors import SuffuseError, UsageError
from suffuse.modalities import image
from suffuse.sources import row_stream, stream
from suffuse.sources.frame import to_table

datasets.disable_progress_bars()
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)]


@pytest.fixture(scope="module")
def made() -> datasets.Dataset:
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "number": datasets.Value("int64"),
        }
    )
    rows = {
        "picture": [Image.new("RGB", (8, 8), c) for c in COLOURS],
        "text": ["a", None, "ü", "d"],
        "label": [1, 0, -1, 1],
        "number": [4, 3, 2, 1],
    }
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_dataset(made, tmp_path):
    made.save_to_disk(tmp_path / "saved")
    rows = sources.read(str(tmp_path / "saved"))
    assert rows.table["label"].to_pylist() == ["dog", "cat", None, "dog"]
    assert rows.table["text"].to_pylist() == ["a", None, "ü", "d"]
    assert rows.line == [1, 2, 3, 4]
    chosen = image.Settings(column="picture", size=8)
    for cell, colour in zip(rows.table["picture"].to_pylist(), COLOURS, strict=True):
        assert (image.load(chosen, cell, rows.root)[1] == colour).all()


def test_a_dictionary_of_datasets_gives_a_split(made, tmp_path):
    datasets.DatasetDict({"train": made, "test": made.select([0, 2]).flatten_indices()}).save_to_disk(
        tmp_path / "saved"
    )
    rows = sources.read(str(tmp_path / "saved"))
    assert rows.table["split"].to_pylist() == ["train"] * 4 + ["test"] * 2
    assert rows.table["number"].to_pylist() == [4, 3, 2, 1, 4, 2]
    assert rows.table["label"].to_pylist() == ["dog", "cat", None, "dog", "dog", None]


@pytest.fixture
def labelled(made, tmp_path) -> str:
    """The same rows as ``to_parquet`` writes them, with a column of lists of class labels."""
    tags = datasets.Sequence(datasets.ClassLabel(names=["old", "new"]))
    made = made.add_column("tags", [[0, 1], [], None, [1]]).cast_column("tags", tags)
    made.to_parquet(tmp_path / "rows.parquet")
    return str(tmp_path / "rows.parquet")


def test_class_labels_in_parquet_are_names_for_both_readers(labelled, monkeypatch):
    names = {"label": ["dog", "cat", None, "dog"], "tags": [["old", "new"], [], None, ["new"]]}
    rows = sources.read(labelled)
    assert {name: rows.table[name].to_pylist() for name in names} == names
    assert rows.table["number"].to_pylist() == [4, 3, 2, 1] and not rows.table.schema.metadata
    monkeypatch.setattr(row_stream, "BLOCK_ROWS", 3)
    blocks = list(stream(labelled).read(["label", "tags"], 0))
    assert {name: [c for b in blocks for c in b.cells(name)] for name in names} == names


def test_saved_and_in_memory_lists_of_class_labels_are_names_too(labelled, tmp_path):
    read = datasets.Dataset.from_parquet(labelled)
    read.save_to_disk(tmp_path / "saved")
    for table in (sources.read(str(tmp_path / "saved")).table, to_table(read)):
        assert table["label"].to_pylist() == ["dog", "cat", None, "dog"]
        assert table["tags"].to_pylist() == [["old", "new"], [], None, ["new"]]


@pytest.mark.parametrize(
    "said",
    [
        b"[",
        b"5",
        b"[1]",
        b'{"info": {"features": [1]}}',
        b'{"info": {"features": {"n": 1}}}',
        b'{"info": {"features": {"n": ' + b'{"feature": ' * 900 + b"{}" + b"}" * 903,
    ],
)
def test_metadata_that_another_program_wrote_is_passed_over(said, tmp_path):
    table = pa.table({"n": [1, 2]}).replace_schema_metadata({b"huggingface": said})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert sources.read(str(tmp_path / "rows.parquet")).table["n"].to_pylist() == [1, 2]


def test_a_class_without_a_name_is_one_error(tmp_path):
    said = b'{"info": {"features": {"n": {"_type": "ClassLabel", "names": ["a"]}}}}'
    pq.write_table(pa.table({"n": [0, 5]}).replace_schema_metadata({b"huggingface": said}), tmp_path / "rows.parquet")
    for read in (sources.read, lambda source: list(stream(source).read(["n"], 0))):
        with pytest.raises(SuffuseError, match="class 5 of column 'n' has no name"):
            read(str(tmp_path / "rows.parquet"))


def test_several_files(made, tmp_path):
    made.save_to_disk(tmp_path / "saved", num_shards=3)
    assert sources.read(str(tmp_path / "saved")).table["number"].to_pylist() == [4, 3, 2, 1]


def test_rows_are_never_taken_from_under_an_index(made, tmp_path):
    """A selection saved with its index must not give the rows that were not selected."""
    made.select([2, 0]).save_to_disk(tmp_path / "saved")
    try:
        assert sources.read(str(tmp_path / "saved")).table["number"].to_pylist() == [2, 4]
    except UsageError as error:
        assert "flatten_indices" in error.hint


def test_a_dataset_without_rows(made, tmp_path):
    made.select([]).flatten_indices().save_to_disk(tmp_path / "saved")
    with pytest.raises(UsageError, match="no rows"):
        sources.read(str(tmp_path / "saved"))


def test_a_split_without_rows(made, tmp_path):
    datasets.DatasetDict({"train": made, "test": made.select([])}).save_to_disk(tmp_path / "saved")
    assert sources.read(str(tmp_path / "saved")).table["split"].to_pylist() == ["train"] * 4


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_damaged_one_is_told(made, tmp_path, name, damage):
    made.save_to_disk(tmp_path / "saved")
    file = tmp_path / "saved" / name
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(SuffuseError) as caught:
        sources.read(str(tmp_path / "saved"))
    assert "\n" not in caught.value.line()
    assert str(tmp_path / "saved") in caught.value.line()


def test_the_library_itself_isn_t_needed(made, tmp_path):
    made.save_to_disk(tmp_path / "saved")
    code = "import sys; sys.modules['datasets'] = None; from suffuse import sources; "
    code += "print(sources.read(sys.argv[1]).table.num_rows)"
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "saved")], capture_output=True, text=True, check=True
    )
    assert said.stdout == "4\n"
