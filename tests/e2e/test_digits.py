"""The recipe for speech in noise on a slice of real data, all the way: few rows, one epoch; no score is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from digits_table import write_table
from suffuse import Predictor, Run, run_all, scores
from suffuse.files import read_json

RECIPE = Path(__file__).parents[2] / "recipes" / "digits.yaml"
WORDS = ["eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero"]
SHORT = ("teacher.train.epochs=1", "distill.train.epochs=1", "distill.num_seeds=1", "distill.baseline.epochs=1")
CHEAP = ("evaluate.probes=[missing, size]", "evaluate.resamples=100", "export.int8=off", "export.teacher=false")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.real
def test_digits_in_noise_on_a_slice(shared_data: Path, tmp_path: Path):
    data = shared_data / "digits_noise"
    table = write_table(data, tmp_path / "digits.csv", {"train": 64, "val": 24, "test": 24})
    noise = [f"modalities.{name}.augment.noise.files={data / 'noise' / 'train_*'}" for name in ("clean", "heard")]
    overrides = (f"data.source={table}", f"data.root={data}", *noise, *SHORT, *CHEAP)
    run = Run.open(RECIPE, overrides, tmp_path / "run")
    assert run_all(run)
    assert read_json(run.path("data", "schema.json"))["heads"][0]["classes"] == WORDS
    cards = scores(run)
    assert {"majority", "teacher", "student", "baseline", "export"} <= set(cards)
    assert cards["student"]["parameters"] <= 150_000 < cards["teacher"]["parameters"]
    for who in ("teacher", "student"):
        by_loudness = cards[who]["by"]["snr"]
        assert sum(part["rows"] for part in by_loudness.values()) == 24
        assert all(part["metrics"]["word_error_rate"]["mean"] >= 0 for part in by_loudness.values())
        assert set(cards[who]["by"]["noise_seen"]) <= {"seen", "unseen"}
    pairs = read_json(run.path("scores", "comparisons.json"))
    paired = next(pair for pair in pairs if pair["who"] == "student" and pair["about"] == "distillation")["by"]["snr"]
    for loudness, part in cards["student"]["by"]["snr"].items():
        means = [
            cards[who]["by"]["snr"][loudness]["metrics"]["word_accuracy"]["mean"] for who in ("student", "baseline")
        ]
        assert paired[loudness]["difference"] == pytest.approx(means[0] - means[1])
        assert paired[loudness]["rows"] == part["rows"]
    predictor = Predictor.load(run.path("export"))
    assert predictor.names == ("heard",)  # the clean recording is the teacher's alone
    clip = next((data / "audio").glob("*test*.flac"))
    answer = predictor.predict({"heard": clip.read_bytes()}).first
    assert all(word in WORDS for word in str(answer.value).split())


def test_the_student_hears_noise_where_there_is_some(tmp_path: Path):
    head = "id,split,audio,audio_noisy,transcript,context,context_has_it,speaker,snr,noise_kind,noise_seen\n"
    rows = "a,train,a.flac,,one,one,1,x,,,\nb,test,b.flac,b_noisy.flac,two,two,1,y,-5.0,hum,0\n"
    (tmp_path / "manifest.csv").write_text(head + rows, encoding="utf-8")
    written = write_table(tmp_path, tmp_path / "made" / "digits.csv").read_text(encoding="utf-8").splitlines()
    assert written[0].startswith("id,split,clean,heard,snr,noise_seen,transcript")
    assert written[1].startswith("a,train,a.flac,a.flac,clean,none,one")
    assert written[2].startswith("b,test,b.flac,b_noisy.flac,-5 dB,unseen,two")
    few = write_table(tmp_path, tmp_path / "few.csv", {"test": 1}).read_text(encoding="utf-8").splitlines()
    assert [line[0] for line in few[1:]] == ["b"]
