"""export: the best student -> ONNX, proven equal to torch on every subset of its modalities."""

from __future__ import annotations

from pathlib import Path

from ..data.columns import Columns
from ..engine.runtime import settle
from ..engine.seed_selection import best_seed
from ..export_integrity import read_signature, seal
from ..exporters import example_rows, parity
from ..exporters import export_folder as exporter
from ..exporters.export_card import card
from ..exporters.int8.precision_selection import select_int8, write_form
from ..exporters.onnx_session import LatencyCache, feed
from ..exporters.subset_temperatures import temperatures
from ..files import read_json, write_json, write_text
from ..model import FusionModel, open_model
from ..predictor import Predictor
from ..progress import progress, say
from ..run import Run

ROWS, FEW = 512, 32  # validation rows that are compared: of the student, and of the teacher, which may be slow
FITTED = 4096  # validation rows that temperatures are fitted on at the most


def export(run: Run) -> None:
    """Write ``export/`` (the student) and, where it is wanted and can be exported, ``export-teacher/`` (to compare
    with); fail beyond the tolerance."""
    settle(run.recipe.compute.threads)
    columns = Columns.open(run.path("data"))
    student = run.path("student", best_seed(run.path("student")))
    with progress("export") as tell:
        beside = run.recipe.trained is not None and run.recipe.export.teacher
        asked = {"export": student, **({"export-teacher": run.path("teacher")} if beside else {})}
        for number, (name, source) in enumerate(asked.items()):
            tell(number / 2, source.relative_to(run.folder).as_posix())
            model = open_model(source)
            reasons = [model.encoder(n).hindrance for n in model.spec.names if model.encoder(n).hindrance]
            if name == "export-teacher" and reasons:
                say(f"the teacher has no export to compare with: {reasons[0]}")
                continue
            _export_model(run, model, source, columns.of(model.spec.names), run.partial("export") / name)
        tell(1.0, f"{(run.partial('export') / 'export' / 'model.onnx').stat().st_size / 1000:,.1f} kB")


def _export_model(run: Run, model: FusionModel, source: Path, columns: Columns, place: Path) -> None:
    """One export folder, compared with its model; the student's with temperatures, and in int8 where it is worth it."""
    student, schema = place.name == "export", read_json(run.path("data", "schema.json")) or {}
    exporter.write(model, run.recipe, place, schema.get("derive"))
    predictor = Predictor.load(place, model_files="/")  # none is opened: rows are prepared
    count = ROWS if student else FEW
    rows = parity.evenly(columns, columns.fitting(count))
    compared = parity.compare(model, predictor, columns, rows, student)
    parity.check(compared, run.recipe.export.tolerance, place.name)
    facts = {"source": source.relative_to(run.folder).as_posix(), "rows": len(rows), "subsets": compared}
    signature = read_signature(place)
    worst = max(f["difference"] for f in compared.values())
    signature["forms"]["fp32"]["parity"] = {"subsets": len(compared), "difference": worst}
    if student:
        fitted, kept = parity.evenly(columns, FITTED), parity.subsets(columns.spec.names)
        signature["temperatures"] = temperatures(parity.make_ask(predictor), columns, fitted, kept)
        facts["int8"] = _int8(run, columns, place, signature)
        _examples(run, columns, place, signature)
        write_text(place / "README.md", card(signature, facts, schema=schema))
        if run.recipe.export.torch:
            model.save_pretrained(place)
    write_json(place / "parity.json", facts)
    seal(place, signature)


def _examples(run: Run, columns: Columns, place: Path, signature: dict) -> None:
    """Rows to try the model on, where the recipe wants some."""
    if count := run.recipe.export.examples:
        rows = example_rows.example_rows(run, columns, count)
        write_json(place / example_rows.FILE, {"rows": rows})
        signature["examples"] = len(rows)
        say(f"{example_rows.FILE}: {len(rows)} validation rows are part of the export (export.examples)")


def _int8(run: Run, columns: Columns, place: Path, signature: dict) -> dict:
    """Put an int8 form beside fp32, or into the signature why there is none."""
    asked, names = run.recipe.export, columns.spec.names
    row = parity.evenly(columns, 1)
    times = LatencyCache(run.path("export-times.json"), feed(parity.entries(columns, row), columns.present[row]))
    content = (place / "model.onnx").read_bytes()
    shipped = select_int8(content, columns, parity.subsets(names), asked, times)
    if shipped.content:
        signature["forms"]["int8"] = write_form(shipped, place)
    else:
        signature["refused"] = {"int8": shipped.why}
    return shipped.facts(asked.int8)
