"""Who is scored: seeds, exported forms, and a teacher that isn't the run's own."""

from __future__ import annotations

from suffuse.evaluation.models import export_forms, folders
from suffuse.files import write_json


def test_every_seed_and_the_export_are_there(looked_at):
    run, context = looked_at
    listed = folders(run)
    assert {who: [p.name for p in places] for who, places in listed.items()} == {
        "teacher": ["teacher"],
        "student": ["seed-1", "seed-2"],
        "baseline": ["seed-1", "seed-2"],
    }
    # whether the int8 form is worth shipping is measured at export, and can go either way with so small a network
    exported = set(export_forms(run.path("export")))
    assert "export" in exported
    assert set(context.models) == {"majority", "teacher", "student", "baseline", *exported}
    assert context.models["teacher"].reference == "teacher" and not context.models["majority"].members
    assert context.models["export"].folder == run.path("export")
    assert context.models["teacher"].folder == run.path("export-teacher")


def test_each_other_form_of_an_export_is_a_model_of_its_own(tmp_path):
    write_json(tmp_path / "signature.json", {})
    assert export_forms(tmp_path) == {"export": None}
    write_json(tmp_path / "signature.json", {"form": "fp32", "forms": {"fp32": {}, "int8": {}}})
    assert export_forms(tmp_path) == {"export": "fp32", "export-int8": "int8"}
    write_json(tmp_path / "signature.json", {"form": "int8", "forms": {"fp32": {}, "int8": {}}})
    assert export_forms(tmp_path) == {"export": "int8", "export-fp32": "fp32"}
