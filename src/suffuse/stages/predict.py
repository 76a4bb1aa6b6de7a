"""predict: a table of raw rows and an export -> answers and probabilities. No torch.

The source is read, and the answers are written, a few rows at a time: a million rows take no more memory than a
thousand. A killed command goes on where it was, and its file has the same bits as an uninterrupted one's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from .. import __version__
from ..csv_output import csv_lines
from ..environment import readers
from ..errors import SuffuseError, UsageError, did_you_mean
from ..files import check_writable as check_file_writable
from ..files import file_facts, new_file
from ..integrity import exported
from ..modalities.cell import Root
from ..object_store import checked, is_url
from ..object_upload import check_writable, publish, sibling, staging
from ..object_upload import exists as exists_in_store
from ..predictor import Predictor
from ..predictor.batch_predict import COUNTED, BatchPredictor, make_reader
from ..predictor.output_chunks import OutputChunks, open_chunks
from ..predictor.output_table import FORMS, Layout, encode_header
from ..predictor.predictor import check_threshold
from ..progress import progress, say
from ..sources import exists, file_of, load_remote, no_rows, stream
from ..sources.json import is_inline
from ..sources.row_stream import Stream
from ..sources.table_format import AS_IS, TableFormat

LISTED_PROBLEMS = 20  # cells that are listed where there is no file of problems
LISTED_LINES = 5  # lines without an answer that are listed; the file of problems has all of them


@dataclass(frozen=True)
class Options:
    """What is asked for besides model, source and file."""

    root: str | None = None  # folder that file paths start from; the source's
    allowed_dir: str | None = None  # folder that no file may lie outside of; the root
    threads: int = 1
    device: str = "cpu"  # where ONNX Runtime runs the network
    top: int | None = None  # the K most probable classes or labels, and not all
    threshold: float | None = None  # an answer less sure than this is left empty
    form: str | None = None  # fp32 or int8; the export's own
    model_files: str | None = None  # folder of files that the export names; none are opened where it isn't given
    table_format: TableFormat = AS_IS  # encoding and delimiter of a text table; detected where there is none
    keep: tuple[str, ...] = ()  # columns of the table that are kept; ("all",): all of them
    digits: int | None = None  # decimal places of numbers; all
    list_problems: bool = False  # on the screen, instead of a file beside the answers
    raw: bool = False  # cells of CSV files as they are, without escapes


@dataclass(frozen=True)
class Summary:
    """What became of the rows."""

    rows: int  # that have an answer
    lacking: int  # of these, rows without some modality
    unreadable: int  # of these, rows in which something stands that can't be read
    unknown: int  # of these, rows with a category that the model doesn't know
    abstained: int  # of these, rows of which some answer is less sure than the threshold
    broken: int  # lines that are no row, and have no answer
    resumed: int  # rows that an earlier attempt had answered
    file: str
    device: str  # where the network ran
    missing_columns: tuple[str, ...]  # of the model, that the table lacks
    problems: str | None  # the file that tells of every unreadable cell and every broken line; none: there are none

    def to_json(self) -> dict[str, Any]:
        """As a dictionary."""
        return asdict(self)


def predict(export: Path, source: str, out: Path, options: Options = Options()) -> Summary:
    """Answer every row of ``source`` (a table, or records as JSON), in order, into a .csv, .jsonl or .parquet file. A
    finished file that stands there is replaced in one step, at the end.

    A row that can't be read whole is answered from what can, and says what was absent. A line that is no row
    is told, and has no answer. Raises UsageError and SuffuseError.
    """
    _check(source, out, options)
    folder = exported(export)
    predictor = Predictor.load(folder, options.threads, options.form, options.model_files, options.device)
    rows = _rows(source, predictor, options)
    for one in predictor.facts.differs:
        say(f"          {one}: answers may differ a little from those of the evaluation")
    place = predictor.place(options.root or rows.root, options.allowed_dir)
    read = make_reader(predictor, rows.names, place, source)
    named = predictor.facts.id if predictor.facts.id in rows.names else None
    kept = _kept(options.keep, rows.names, named)
    layout = Layout(predictor.heads, options.top, options.threshold, named, options.raw, kept, options.digits)
    inputs = {
        "model": [predictor.facts.digest, predictor.facts.form],
        "source": _facts(source),
        "options": _output_options(options, layout, place, out, predictor.facts.device),
        "versions": [*_versions(), readers(one.field.kind for one in predictor.inputs)],
    }
    with open_chunks(out, inputs) as chunks:
        before = sum(facts["counts"]["rows"] for facts in chunks.facts)
        if chunks.facts:
            say(f"          going on after {before:,} rows that are answered already")
        with progress("predict") as tell:
            BatchPredictor(predictor, rows, read, layout, place).answer(chunks, tell)
        counts = Counter(dict.fromkeys(COUNTED, 0))
        for facts in chunks.facts:
            counts.update(facts["counts"])
        if not counts["rows"]:
            broken = [(line, reason) for line, _, reason in chunks.problems()]
            chunks.drop()
            raise no_rows(source, broken)
        problems = None if options.list_problems else _write_problems(out, chunks, counts["problems"], options.raw)
        _tell(chunks, counts, problems)
        chunks.finish(encode_header(layout, out.suffix.lower()))
    said = {key: counts[key] for key in COUNTED if key != "problems"}
    where = {
        "file": str(out),
        "device": predictor.facts.device,
        "missing_columns": read.missing,
        "problems": problems and str(problems),
    }
    return Summary(**said, resumed=before, **where)


def predict_to(export: Path, source: str, out: IO[bytes], options: Options = Options()) -> Summary:
    """As :func:`predict`, into an open file: JSON lines for records as JSON, else CSV. Problems go to stderr."""
    form = ".jsonl" if is_inline(source) and not exists(source) else ".csv"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"predictions{form}"
        summary = predict(export, source, file, replace(options, list_problems=True))
        with file.open("rb") as content:
            shutil.copyfileobj(content, out)
    return replace(summary, file="-")


def predict_to_store(export: Path, source: str, url: str, options: Options = Options()) -> Summary:
    """As :func:`predict`, into an object of a store. Its parts stand in the current folder until it is published, the
    problems before the answers: an object that is there is whole."""
    url = checked(url)
    staged = staging(url)
    _check(source, staged, options)
    check_file_writable(staged)
    if is_url(source) and checked(source) == url:
        raise UsageError("the answers would replace the rows", where=source, hint="choose another name")
    check_writable(url)
    problems = sibling(url, problems_of(staged).name)
    if exists_in_store(problems):  # an earlier command's, which is replaced
        staged.parent.mkdir(exist_ok=True)
        problems_of(staged).touch()
    summary = predict(export, source, staged, options)
    try:
        if problems_of(staged).exists():
            publish(problems_of(staged), problems)
        publish(staged, url)
    except SuffuseError as error:
        error.hint = f"the answers are in {staged}; {error.hint}"
        raise
    shutil.rmtree(staged.parent)
    return replace(summary, file=url, problems=summary.problems and problems)


def _kept(keep: tuple[str, ...], names: list[str], named: str | None) -> tuple[str, ...]:
    """The columns that are kept, without the id, which stands first anyway. Raises UsageError where one isn't there."""
    if keep == ("all",):
        return tuple(name for name in names if name != named)
    for name in keep:
        if name not in names:
            raise UsageError("no such column", where="--keep", got=f"'{name}'", hint=did_you_mean(name, names))
    return tuple(dict.fromkeys(name for name in keep if name != named))


def _rows(source: str, predictor: Predictor, options: Options) -> Stream:
    """The source's rows; says how a text table is read where that was detected and isn't the usual."""
    rows = stream(source, replace(options.table_format, likely=predictor.facts.table.likely))
    if rows.text_format and not rows.text_format.is_usual(Path(source)):
        say(f"          {Path(source).name}: {rows.text_format}")
    return rows


def _output_options(options: Options, layout: Layout, place: Root, out: Path, device: str) -> list:
    """All options that the file of answers depends on."""
    settings = [place.folder, place.allowed_dir, options.threads, options.top, options.threshold, out.suffix]
    settings += [list(layout.keep), layout.digits, device]
    return [*settings, layout.id, layout.raw, options.table_format.encoding, options.table_format.delimiter]


def problems_of(out: Path) -> Path:
    """The file beside the answers that tells what couldn't be read."""
    return out.with_name(f"{out.stem}.problems.csv")


def _check(source: str, out: Path, options: Options) -> None:
    check_threshold(options.threshold)
    if out.suffix.lower() not in FORMS:
        raise UsageError("unknown kind of output", where=out, got=out.suffix or "no suffix", expected=" ".join(FORMS))
    if out.is_dir():
        raise UsageError("this is a folder", where=out, expected="a file for the answers")
    for name in (out, problems_of(out)):
        if exists(str(file_of(source))) and name.exists() and name.samefile(file_of(source)):
            raise UsageError("the answers would replace the rows", where=source, hint="choose another name")


def _facts(name: str) -> list:
    """What tells that a source changed: a file's place, size and hash; of a folder its files with sizes and times."""
    remote = load_remote(name)
    source = (remote.folder(name) if remote else None) or file_of(name)
    if not exists(str(source)):
        return [name, str(Path.cwd()), *([remote.identity(name)] if remote else [])]
    if source.is_file():
        return [str(Path(name).resolve()), *file_facts(source)]
    files = sorted(f for f in source.rglob("*") if f.is_file())
    return [
        str(source.resolve()),
        [[str(f.relative_to(source)), f.stat().st_size, f.stat().st_mtime_ns] for f in files],
    ]


def _versions() -> list[str]:
    import onnxruntime

    return [__version__, onnxruntime.__version__]


def _write_problems(out: Path, chunks: OutputChunks, count: int, raw: bool) -> Path | None:
    """Every cell that couldn't be used whole, and every line that is no row. Where there are none there is no file; one
    of an earlier command then holds no more than its header."""
    place = problems_of(out)
    if not count and not place.exists():
        return None
    with new_file(place) as file:
        lines = csv_lines(chain([("line", "modality", "reason")], chunks.problems()), raw)
        file.writelines(line.encode("utf-8", "surrogatepass") for line in lines)
    return place


def _tell(chunks: OutputChunks, counts: Counter, problems: Path | None) -> None:
    if counts["lacking"]:
        example = next(facts["example"] for facts in chunks.facts if facts["example"])
        say(f"          {counts['lacking']:,} rows lack something, e.g. {example}")
    if counts["unreadable"]:
        example = next(facts["unreadable"] for facts in chunks.facts if facts["unreadable"])
        say(f"          {counts['unreadable']:,} rows hold something that can't be read, e.g. {example}")
    if counts["unknown"]:
        example = next(facts["unknown"] for facts in chunks.facts if facts["unknown"])
        say(f"          {counts['unknown']:,} rows have a category that the model doesn't know, e.g. {example}")
    broken = counts["broken"]
    for line, _, reason in islice((p for p in chunks.problems() if not p[1]), min(broken, LISTED_LINES)):
        say(f"          line {line} has no answer: {reason}")
    if broken > LISTED_LINES:
        say(f"          and {broken - LISTED_LINES:,} more lines without an answer")
    if problems and counts["problems"]:
        say(f"          all that couldn't be read: {problems}")
    elif counts["problems"]:
        for line, name, reason in islice((p for p in chunks.problems() if p[1]), LISTED_PROBLEMS):
            say(f"          line {line}: {name}: {reason}")
    if chunks.out.exists():
        say(f"          {chunks.out} was there, and is replaced")
