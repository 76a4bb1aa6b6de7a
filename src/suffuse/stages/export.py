"""export: the best student -> ONNX, proven equal to torch on every subset of its modalities."""

from __future__ import annotations

from pathlib import Path

from ..data import Columns
from ..engine.records import best_seed
from ..engine.runtime import settle
from ..exporters import folder as exporter
from ..exporters import parity
from ..exporters.temperatures import temperatures
from ..files import read_json, write_json
from ..model import FusionModel, open_model
from ..predictor import Predictor
from ..progress import progress, say
from ..run import Run
from ..sealed import seal

ROWS, FEW = 512, 32  # validation rows that are compared: of the student, and of the teacher, which may be slow
FITTED = 4096  # validation rows that temperatures are fitted on at the most


def export(run: Run) -> None:
    """Write ``export/`` (the student) and, if it can be exported, ``export-teacher/`` (for comparison); fail beyond the
    tolerance."""
    settle(run.recipe.compute.threads)
    columns = Columns.open(run.path("data"))
    student = run.path("student", best_seed(run.path("student")))
    with progress("export") as tell:
        asked = {"export": student, **({"export-teacher": run.path("teacher")} if run.recipe.trained else {})}
        for number, (name, source) in enumerate(asked.items()):
            tell(number / 2, source.relative_to(run.folder).as_posix())
            model = open_model(source)
            reasons = [model.encoder(n).hindrance for n in model.spec.names if model.encoder(n).hindrance]
            if name == "export-teacher" and reasons:
                say(f"the teacher has no export to compare with: {reasons[0]}")
                continue
            _one(run, model, source, columns.of(model.spec.names), run.partial("export") / name)
        tell(1.0, f"{(run.partial('export') / 'export' / 'model.onnx').stat().st_size / 1000:,.1f} kB")


def _one(run: Run, model: FusionModel, source: Path, columns: Columns, place: Path) -> None:
    """One export folder, compared with its model; the student's with temperatures."""
    student, schema = place.name == "export", read_json(run.path("data", "schema.json")) or {}
    exporter.write(model, run.recipe, place, schema.get("derive"))
    predictor = Predictor.load(place)
    count = ROWS if student else FEW
    compared = parity.compare(model, predictor, columns, parity.evenly(columns, columns.fitting(count)), student)
    parity.check(compared, run.recipe.export.tolerance, place.name)
    facts = {"source": source.relative_to(run.folder).as_posix(), "rows": count, "subsets": compared}
    write_json(place / "parity.json", facts)
    signature = read_json(place / "signature.json")
    if student:
        rows, kept = parity.evenly(columns, FITTED), parity.subsets(columns.spec.names)
        signature["temperatures"] = temperatures(parity.asking(predictor), columns, rows, kept)
    worst = max(f["difference"] for f in compared.values())
    signature["forms"]["fp32"]["parity"] = {"subsets": len(compared), "difference": worst}
    seal(place, signature)
