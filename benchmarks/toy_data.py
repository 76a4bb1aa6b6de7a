"""Made-up data in the layout of the scenarios' data sets: a few dozen tiny rows of each. Their numbers say nothing.

python benchmarks/toy_data.py DATA
python benchmarks/distillation.py DATA few --toy --out runs/toy
"""

from __future__ import annotations

import json
import sys
import wave
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from rows import Row, write
from toy import COLOURS

SIDE, RATE, SECONDS = 16, 8000, 0.3
SPLITS = ("train",) * 6 + ("val",) * 2 + ("test",) * 2
PRODUCTS, PICTURES, ORDERS, HOUSES, STRINGS = 120, {"train": 100, "test": 20}, 60, 60, 60
DRINKS = ("coffee", "latte", "mocha")
SLOTS = {
    "roast": ("", "dark roast"),
    "shots": ("", "double shot"),
    "size": ("small", "large"),
    "milk": ("", "oat milk"),
    "sugar": ("", "some sugar"),
}


def write_data_sets(folder: Path) -> Path:
    """``fashion9k``, ``coffee_orders619``, ``houses535`` and ``digits_noise`` with a manifest each, and a package
    ``easy_vqa``."""
    _products(folder / "fashion9k")
    _orders(folder / "coffee_orders619")
    _houses(folder / "houses535")
    _strings(folder / "digits_noise")
    _questions(folder / "easy_vqa")
    return folder


def _products(folder: Path) -> None:
    random, rows = Random(0), []
    for number in range(PRODUCTS):
        colour = random.choice(sorted(COLOURS))
        rows.append(
            {
                "id": f"p{number}",
                "split": SPLITS[number % len(SPLITS)],
                "image": f"images/{number}.png",
                "text": f"{colour} thing {number}",
                "label": colour,
                "text_masked": f"{colour[:2]} thing {number}",
                "gender": random.choice(["Men", "Women"]),
                "base_colour": random.choice(sorted(COLOURS)),
                "season": random.choice(["Fall", "Summer"]),
                "year": str(random.choice([2011, 2012])),
                "usage": random.choice(["Casual", "Sports"]),
                "group": str(number),
            }
        )
        _picture(folder / rows[-1]["image"], colour, random)
    write(folder / "manifest.csv", rows)


def _orders(folder: Path) -> None:
    random, rows = Random(0), []
    for number in range(ORDERS):
        drink = random.choice(DRINKS)
        slots = {name: random.choice(values) for name, values in SLOTS.items()}
        words = f"order {number} {drink} {' '.join(slots.values())}"
        rows.append(
            {"id": f"o{number}", "audio": f"audio/{number}.wav", "text_asr": words, "label": drink, **slots},
        )
        _sound(folder / rows[-1]["audio"], 300 * (1 + DRINKS.index(drink)), number)
    write(folder / "manifest.csv", rows)


def _houses(folder: Path) -> None:
    random, rows = Random(0), []
    photos = {"image": "front", "image_bedroom": "bedroom", "image_bathroom": "bathroom", "image_kitchen": "kitchen"}
    for number in range(HOUSES):
        files = {column: f"images/{number}_{room}.png" for column, room in photos.items()}
        rooms = random.randint(1, 6)
        facts: Row = {
            "bedrooms": str(rooms), "bathrooms": str(random.randint(1, 3)), "area": str(500 * rooms + number),
            "zipcode": str(random.choice([85255, 92677])), "price": str(100_000 * rooms + number),
        }  # fmt: skip
        rows.append({"id": f"h{number}", "split": SPLITS[number % len(SPLITS)], **files, **facts})
        for file in files.values():
            _picture(folder / file, random.choice(sorted(COLOURS)), random)
    write(folder / "manifest.csv", rows)


def _strings(folder: Path) -> None:
    """Each word is a tone, in the recordings with and without noise; the noise of training is a low one."""
    random, rows = Random(0), []
    tones = (400, 900, 1500)  # of the words, in order
    for number in range(STRINGS):
        split = SPLITS[number % len(SPLITS)]
        said = [random.choice(DRINKS) for _ in range(random.randint(1, 3))]
        files = [f"audio/{number}.wav", "" if split == "train" else f"audio/{number}_noisy.wav"]
        for file in filter(None, files):
            _sounds(folder / file, [tones[DRINKS.index(word)] for word in said], number)
        rows.append(
            {
                "id": f"s{number}", "split": split, "audio": files[0], "audio_noisy": files[1],
                "transcript": " ".join(said), "context": f"{' '.join(said)} ; {random.choice(DRINKS)}",
                "context_has_it": "1", "speaker": "a", "snr": "" if split == "train" else "10",
                "noise_kind": "", "noise_seen": "" if split == "train" else str(number % 2),
            }
        )  # fmt: skip
    write(folder / "manifest.csv", rows)
    _sound(folder / "noise" / "train_low.wav", 100, 0)


def _questions(package: Path) -> None:
    """Pictures and questions as the package ``easy-vqa`` has them."""
    random = Random(0)
    for split, count in PICTURES.items():
        questions: list[tuple[str, str, int]] = []
        for number in range(count):
            colour, asked = random.choice(sorted(COLOURS)), random.choice(sorted(COLOURS))
            _picture(package / "data" / split / "images" / f"{number}.png", colour, random)
            questions.append(("what is the color of the shape?", colour, number))
            questions.append((f"is there a {asked} shape?", "yes" if asked == colour else "no", number))
        (package / "data" / split / "questions.json").write_text(json.dumps(questions), encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")


def _picture(file: Path, colour: str, random: Random) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(random.randrange(2**32)).integers(-20, 21, (SIDE, SIDE, 3))
    pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file)


def _sound(file: Path, hertz: int, number: int) -> None:
    _sounds(file, [hertz], number)


def _sounds(file: Path, tones: list[int], number: int) -> None:
    """Tones one after the other, in hertz, each so many higher."""
    file.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(RATE * SECONDS)) / RATE
    samples = np.concatenate([0.5 * np.sin(2 * np.pi * (hertz + number) * time) for hertz in tones])
    with wave.open(str(file), "wb") as opened:
        opened.setparams((1, 2, RATE, 0, "NONE", ""))
        opened.writeframes((samples * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python benchmarks/toy_data.py DATA")
    if Path(sys.argv[1]).exists():
        sys.exit(f"{sys.argv[1]} is there already: name a new folder")
    write_data_sets(Path(sys.argv[1]))
