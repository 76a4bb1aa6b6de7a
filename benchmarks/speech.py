"""Connected digits, clean and in noise: word errors of teachers, students and baselines, by noise and loudness.

    python benchmarks/speech.py DATA [CASE ...] [--teacher FOLDER] [--out runs/speech] [--seeds 3] [--epochs N]
                                [--write | --toy]

    clean       everybody hears the clean recording, in training too
    noisy       everybody hears the noisy one
    privileged  the teacher hears the clean recording, the student the noisy one: all transcripts, and a tenth of them
    context     the teacher also reads numbers on file; against the teacher that hears the noisy recording alone, and a
                student without the context

DATA is the folder with the data sets. Settings are those of ``recipes/digits.yaml``, ``distill.teachers: each``.
Baselines on labels only are trained longer where their comparison isn't settled. Rows are resampled one by one: two
speakers are too few for an interval over speakers. ``--epochs`` makes every training so short, to try the script;
nothing can be kept of it. With ``--teacher`` the teacher of ``clean`` and ``privileged`` hears the clean recording
through a frozen pretrained speech encoder, such as that of ``whisper_folder.py``. ``--write`` keeps each case in
``results/speech-CASE.json``, with ``--teacher`` in ``results/speech-CASE-pretrained.json``. ``--toy`` is the smoke
test of this script, on data as ``toy_data.py`` writes them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from digits_table import write_table
from distillation import done, table
from result_file import write_result
from shipped import RECIPES, add_cases, add_toy, arguments_of
from suffuse import Run, scores
from suffuse.files import read_json
from suffuse.recipe.yaml_io import read_yaml
from suffuse.report.verdict_text import sentences

LARGE = "{kind: conv1d, widths: [96, 96], cepstra: 13}"
SMALL = "{kind: conv1d, widths: [64, 64], cepstra: 13}"
CONTEXT = "{kind: text, column: context, tokens: words, length: 64}"
RATES = ("word_error_rate", "substitutions", "deletions", "insertions", "character_error_rate")
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # the recipe's recordings that are heard; what differs
    "clean": (
        ("clean",),
        (f"student.encoders={{clean: {SMALL}}}", "extract.views=4", "modalities.clean.augment.noise=null"),
    ),
    "noisy": (
        ("heard",),
        (f"teacher.encoders={{heard: {LARGE}}}",),
    ),
    "privileged": (("clean", "heard"), ("distill.label_fractions=[0.1]",)),
    "context": (
        ("heard",),
        (
            f"modalities.context={CONTEXT}",
            f"teacher.encoders={{heard: {LARGE}, context: {{kind: tcn, width: 96}}}}",
            "teacher.unimodal_baselines=true",
            "teacher.train.modality_dropout={context: 0.2}",
        ),
    ),
}


PRETRAINED = ("clean", "privileged")  # cases in which the teacher hears the clean recording


def sources(data: Path, out: Path, heard: tuple[str, ...]) -> tuple[str, ...]:
    """The table, made anew of the manifest; its recordings, without those that nobody hears; the noise of training."""
    folder = data / "digits_noise"
    known = read_yaml(RECIPES / "digits.yaml")["modalities"]
    for recording in known.values():
        recording["augment"]["noise"]["files"] = str(folder / "noise" / "train_*")
    chosen = json.dumps({name: known[name] for name in heard})  # JSON is YAML
    return f"data.source={write_table(folder, out / 'digits.csv')}", f"data.root={folder}", f"modalities={chosen}"


def pretrained(folder: Path) -> tuple[str, ...]:
    """A teacher that hears the clean recording at 16 kHz through the frozen encoder of a folder. Its text is learned:
    with ``ctc_kd`` a student with few transcripts was worse on validation rows (docs/experiments/speech.md)."""
    wave = "{kind: audio, column: clean, form: wave, rate: 16000, seconds: 6}"
    encoder = f"{{kind: huggingface, name: {json.dumps(str(folder))}, frozen: true, keep_tokens: true}}"
    return (
        f"modalities.wave={wave}", f"teacher.encoders={{wave: {encoder}}}",
        "teacher.fusion={kind: frames, width: 96, depth: 2, dropout: 0.2}",
        "teacher.train={epochs: 12, batch: 32, learning_rate: 2.0e-3}",
        "distill.losses={labels: {kind: task, weight: 0.5}, soft: {kind: sequence_kd, weight: 0.5}}",
    )  # fmt: skip


def settings(seeds: int, epochs: int | None) -> tuple[str, ...]:
    """Teachers, students and what is measured of them."""
    short = () if epochs is None else (
        f"teacher.train.epochs={epochs}", f"distill.train.epochs={epochs}", f"distill.baseline.epochs={epochs}",
    )  # fmt: skip
    return (
        f"teacher.num_seeds={seeds}", f"distill.num_seeds={seeds}", "distill.teachers=each",
        "evaluate.controls=false", "evaluate.classical_baselines=false", "evaluate.probes=[size]",
        "export.int8=off", "export.teacher=false", *short,
    )  # fmt: skip


def facts(run: Run) -> dict[str, Any]:
    """What :func:`distillation.table` says, word errors of each model by noise, and errors saved of each pair."""
    said = table(run)
    said["fusion"] = [c for c in read_json(run.path("scores", "comparisons.json")) or [] if c["about"] == "fusion"]
    said["errors"] = {}
    for who, card in scores(run).items():
        parts = {f"{column}: {value}": part for column, by in card["by"].items() for value, part in by.items()}
        said["errors"][who] = {
            name: {rate: part["metrics"][rate] for rate in RATES if rate in part["metrics"]}
            for name, part in {"all": card, **parts}.items()
        }
    for pair in (*said["pairs"], *said["fusion"]):
        pair["fewer_errors"] = fewer(pair, said["errors"])
    return said


def fewer(pair: dict[str, Any], errors: dict[str, dict]) -> dict[str, float] | None:
    """Difference of word accuracy as a share of the reference's word errors, and so its interval."""
    reference = errors.get(pair["against"], {}).get("all", {}).get("word_error_rate", {}).get("mean", 0)
    return {k: pair[k] / reference for k in ("difference", "low", "high")} if reference else None


def lines(found: dict[str, Any]) -> list[str]:
    """Word error rates in per cent, for people."""
    told = []
    for who, by in found["errors"].items():
        for name, rates in by.items():
            if "word_error_rate" in rates:
                rate = rates["word_error_rate"]
                numbers = " ".join(f"{100 * rate[k]:6.1f}" for k in ("mean", "low", "high"))
                told.append(f"  {who:<28} {name:<20} word errors, % {numbers}")
    for pair in (*found["pairs"], *found["fusion"]):
        if saved := pair["fewer_errors"]:
            told.append(
                f"  {pair['who']} against {pair['against']}: {saved['difference']:.1%} fewer word errors, "
                f"{saved['low']:.1%} to {saved['high']:.1%}"
            )
        for column, by in pair.get("by", {}).items():
            for value, part in by.items():
                points = " ".join(f"{100 * part[k]:+6.1f}" for k in ("difference", "low", "high"))
                told.append(f"    {column + ': ' + value:<24} {part['rows']:>4} rows, word accuracy, points {points}")
    return told


def main() -> int:
    """Run what is asked for and print its word errors and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_cases(parser, "cases", CASES)
    parser.add_argument("--out", type=Path, default=Path("runs/speech"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--teacher", type=Path, metavar="FOLDER")
    add_toy(parser)
    asked = arguments_of(parser)
    if asked.epochs and asked.write:
        parser.error("--epochs measures nothing that --write could keep")
    if asked.teacher and (others := [name for name in asked.cases if name not in PRETRAINED]):
        parser.error(f"--teacher is for {' and '.join(PRETRAINED)}: got {', '.join(others)}")
    out = asked.out.resolve()
    for name in asked.cases:
        heard, differs = CASES[name]
        own = heard[-1:] if asked.teacher else heard  # the pretrained teacher has a modality of its own
        common = (*sources(asked.data.resolve(), out, own), *settings(asked.seeds, asked.epochs))
        kept = f"{name}-pretrained" if asked.teacher else name
        teacher = pretrained(asked.teacher.resolve()) if asked.teacher else ()
        run = done("digits", out / kept, *common, *differs, *teacher)
        found = facts(run)
        print(f"\n{kept}", *sentences(run), *lines(found), sep="\n", flush=True)
        if asked.write:
            write_result(f"speech-{kept}", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
