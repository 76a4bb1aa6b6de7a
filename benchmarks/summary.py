"""The results tables of ``benchmarks/README.md``, generated from ``results/*.json``.

    python benchmarks/summary.py            print the tables
    python benchmarks/summary.py --write    put them into README.md

One row for each paired comparison on test rows. First those of ``verdict-*.json``: student against baselines that were
trained until they stopped rising, with a teacher for each seed. Then those of ``distillation-*.json`` (student against
a baseline of a fixed number of epochs, one teacher) and of ``tune.json`` (recipe that a search chose against the
shipped one). Those of ``speech-*.json`` are word error rates. Last those of ``own-tables.json`` and
``own-tables-plain.json``: what ``init`` and ``run`` give, unedited, beside scikit-learn and, where ``peers.json`` has
it, AutoGluon.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from result_file import RESULTS

PAGE = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- results: python benchmarks/summary.py --write -->", "<!-- end of results -->"
HEAD = ("case", "teacher", "student", "baseline", "gain, 95 % interval", "verdict", "date")
VERDICT_HEAD = (
    "case",
    "teacher",
    "student",
    "baseline, as many epochs",
    "gain",
    "longest baseline",
    "gain",
    "verdict",
    "date",
)
VERDICTS = {  # the name of a result file -> what was compared; rows come in this order
    "questions": "easy-VQA",
    "tiny": "easy-VQA, a student of 6,323 parameters",
    "orders": "spoken orders, the student hears, the teacher also reads",
    "houses": "houses (R2)",
    "photos": "fashion9k, photo and title without the article's name, recipe of `init`",
}
OWN_HEAD = (
    "table", "test rows", "scikit-learn", "AutoGluon", "teacher", "student", "labels only", "exported", "parameters",
    "seconds", "date",
)  # fmt: skip
OWN = {  # tables of own_tables.py -> what they are
    "fashion": "product photos and masked titles",
    "fashion700": "700 product photos and titles",
    "fashion700-masked": "700 product photos and masked titles",
    "drinks": "spoken orders and transcripts: drink",
    "order-size": "the same: size",
    "order-roast": "the same: roast",
    "order-shots": "the same: shots",
    "order-milk": "the same: milk",
    "order-sugar": "the same: sugar",
    "digits-spoken": "spoken digits, another speaker",
    "digits-seen-and-spoken": "digits seen and spoken",
    "houses": "two photos and facts of houses: price third",
    "digits": "8 x 8 pixels as numbers (scikit-learn)",
    "diabetes": "diabetes (scikit-learn; R2)",
    "penguins": "penguins (palmerpenguins)",
    "computers": "computers' prices (Ecdat; R2)",
    "diamonds": "diamonds' prices (ggplot2; R2)",
    "movies": "movies: drama or not (ggplot2)",
    "questions": "easy-VQA",
}
SPEECH_HEAD = ("case", "test rows", "teacher", "student", "labels only", "word accuracy, gain", "verdict", "date")
SPEECH = {  # cases of speech.py -> what is heard; rows come in this order
    "clean": "clean recordings",
    "noisy": "noisy ones",
    "privileged": "the teacher hears the clean recording, the student the noisy one",
    "context": "the teacher also reads numbers on file",
    "clean-pretrained": "everybody hears the clean recording, the teacher through Whisper's frozen encoder",
    "privileged-pretrained": "the student hears noise, the teacher clean sound through Whisper's frozen encoder",
}
CASES = {  # the name of a result file -> what was compared; rows come in this order
    "few": "products, 10 % of the labels, other rows unlabelled",
    "same": "easy-VQA, 5 % of the labels, other rows unlabelled",
    "orders": "spoken orders, student reads sound only, 5 folds",
    "tiny": "easy-VQA, all labels, 6,323 parameters",
    "quarter": "houses (R2), 25 % of the labels for the student, 5 folds, tuned",
    "priced": "houses (R2), all labels, 5 folds, tuned",
    "folds": "houses (R2), 5 folds",
    "houses": "houses (R2), one split",
    "full-25": "products, all labels, 25 epochs",
    "full-80": "products, all labels, 80 epochs",
    "any": "products, one student for any subset",
}


def score(value: float) -> str:
    """A metric with three decimals and a proper minus sign."""
    return f"{value:.3f}".replace("-", "−")


def gain(pair: dict[str, Any]) -> str:
    """A difference with its interval."""
    sign = "+" if pair["difference"] >= 0 else ""
    return f"{sign}{score(pair['difference'])}, {score(pair['low'])} to {score(pair['high'])}"


def teacher_score(result: dict[str, Any], metric: str) -> str:
    """The teacher's test score; of folds their mean; its validation score where the file has no other."""
    if "teacher" in result["models"]:
        return score(result["models"]["teacher"][metric]["mean"])
    if "teachers" in result:
        return score(mean(result["teachers"]))
    return f"{score(mean(result['teachers on validation']))} (validation)"


def pair_title(case: str, who: str, against: str) -> str:
    """What a row compares, beyond its case's own comparison of student and baseline."""
    if (who, against) == ("student", "baseline"):
        return CASES[case]
    if who.startswith("student-"):
        return f"{CASES[case]}, {float(who.removeprefix('student-')):.0%} of the labels for the student".replace(
            "%", " %"
        )
    name = who.partition(": ")[2]
    return f"{CASES[case]}: {name} only, against a student of {name} only"


def distillation_rows() -> list[tuple[str, ...]]:
    """A row for each pair of each ``distillation-*.json``. Raises KeyError for a file that CASES doesn't name."""
    files = {path.stem.removeprefix("distillation-"): path for path in RESULTS.glob("distillation-*.json")}
    rows = []
    for case in sorted(files, key=[*CASES].index):
        result = json.loads(files[case].read_text(encoding="utf-8"))
        for pair in result["pairs"]:
            metric, models = pair["metric"], result["models"]
            student, baseline = (score(models[who][metric]["mean"]) for who in (pair["who"], pair["against"]))
            title = pair_title(case, pair["who"], pair["against"])
            teacher = teacher_score(result, metric)
            rows.append((f"`{case}`: {title}", teacher, student, baseline, gain(pair), pair["verdict"], result["date"]))
    return rows


UNCHECKED = "unchecked"


def verdict_rows() -> list[tuple[str, ...]]:
    """A row for each verdict of each ``verdict-*.json``. Raises KeyError for a file that VERDICTS doesn't name."""
    files = {path.stem.removeprefix("verdict-"): path for path in RESULTS.glob("verdict-*.json")}
    rows = []
    for case in sorted(files, key=[*VERDICTS].index):
        result = json.loads(files[case].read_text(encoding="utf-8"))
        for pair in sorted(result["pairs"], key=lambda pair: pair["who"] != "student"):
            models, metric, longer = result["models"], pair["metric"], pair["longer"]
            teacher = models.get("ensemble", models["teacher"])
            student, baseline = (score(models[who][metric]["mean"]) for who in (pair["who"], pair["against"]))
            share = pair["who"].removeprefix("student").removeprefix("-")
            title = f"`{case}`: {VERDICTS[case]}" + (f", {float(share):.0%} of the labels" if share else "")
            last = longer[-1] if longer else None
            longest = f"{score(models[last['against']][metric]['mean'])} (x{last['factor']})" if last else "-"
            verdict = pair["verdict"] + ("" if pair["settled"] else ", not settled")
            if verdict == "helps" and not longer:  # before a lead had to be checked by a longer baseline
                verdict = UNCHECKED
            rows.append((
                title.replace("%", " %"), score(teacher[metric]["mean"]), student, baseline, gain(pair), longest,
                gain(last) if last else "-", verdict, result["date"],
            ))  # fmt: skip
    return rows


def tuning_rows() -> list[tuple[str, ...]]:
    """A row for each search of ``tune.json`` that chose another recipe and tested it."""
    rows = []
    for name, search in json.loads((RESULTS / "tune.json").read_text(encoding="utf-8"))["scenarios"].items():
        if "difference" in search:
            metric = search["metric"]
            teacher, student, shipped = (
                score(search[side][who][metric]["mean"])
                for side, who in (("chosen", "teacher"), ("chosen", "student"), ("shipped", "student"))
            )
            title = f"`tune`: {name}, chosen recipe against the shipped one"
            rows.append((title, teacher, student, shipped, gain(search), search["verdict"], search["date"]))
    return rows


def own_rows(name: str) -> list[tuple[str, ...]]:
    """A row for each table of ``own-tables.json`` or ``own-tables-plain.json``; none where nothing was measured."""
    file, peers = RESULTS / f"{name}.json", RESULTS / "peers.json"
    tables = json.loads(file.read_text(encoding="utf-8"))["tables"] if file.exists() else {}
    others = json.loads(peers.read_text(encoding="utf-8"))["tables"] if peers.exists() else {}
    rows = []
    for table_name in sorted(tables, key=[*OWN].index):
        result = tables[table_name]
        models = {who: score(facts["mean"]) for who, facts in result["models"].items()}
        peer = others.get(table_name, {}).get("score")
        rows.append((
            f"`{table_name}`: {OWN[table_name]}", f"{result['rows']['test']:,}", models["classical"],
            "-" if peer is None else score(peer), models.get("ensemble", models["teacher"]), models["student"],
            models["baseline"], models["export"], f"{result['costs']['export']['parameters']:,}",
            f"{result['seconds']:,}", result["measured"]["date"],
        ))  # fmt: skip
    return rows


def speech_rows() -> list[tuple[str, ...]]:
    """Word error rates of each ``speech-*.json``: a row for each student on all test rows, and for each value of a
    column. Raises KeyError for a file that SPEECH doesn't name."""
    files = {path.stem.removeprefix("speech-"): path for path in RESULTS.glob("speech-*.json")}
    rows = []
    for case in sorted(files, key=[*SPEECH].index):
        result = json.loads(files[case].read_text(encoding="utf-8"))
        for pair in result["pairs"]:
            share = pair["who"].removeprefix("student").removeprefix("-")
            title = f"`{case}`: {SPEECH[case]}" + (f", {100 * float(share):g} % of the transcripts" if share else "")
            parts = {f"{column}: {value}": part for column, by in pair["by"].items() for value, part in by.items()}
            for name, part in {"all": pair, **parts}.items():
                errors = (word_errors(result, who, name) for who in ("teacher", pair["who"], pair["against"]))
                verdict = pair["verdict"] if part is pair else ""  # a part has an interval, and no verdict
                rows.append((title, name, *errors, gain(part), verdict, result["date"]))
    return rows


def word_errors(result: dict[str, Any], who: str, part: str) -> str:
    """A model's word error rate on a part of the test rows; a dash where it has none."""
    rates = result["errors"].get(who, {}).get(part, {})
    return score(rates["word_error_rate"]["mean"]) if "word_error_rate" in rates else "-"


OWN_TABLES = """What `suffuse init` and `suffuse run` give on a table, unedited (`own_tables.py`), on its test
rows. *Teacher* is all its members together, *scikit-learn* the best late fusion of its models (on frozen vectors too,
where pretrained encoders are installed). Seconds are those of all stages on two cores, some with other work beside
it."""
PLAIN = """The same without any pretrained encoder:"""
SPOKEN = """Connected digits of new voices (`speech.py`): word error rates. Intervals of single values aren't adjusted
for their number:"""
PENDING = """*unchecked*: the student is ahead, and no longer baseline was trained yet. In the demo's recipe with one
teacher, labels-only training with 5 % of the labels still rises at 4 times the epochs."""
EARLIER = """Earlier, with a fixed number of epochs for both sides and one teacher for all seeds. A *helps* here may be
*faster*:"""


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table as Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def tables() -> str:
    """All tables as Markdown."""
    earlier, rows = table(HEAD, [*distillation_rows(), *tuning_rows()]), verdict_rows()
    pending = f"{PENDING}\n\n" if any(UNCHECKED in row for row in rows) else ""
    parts = [table(VERDICT_HEAD, rows), f"{pending}{EARLIER}", earlier]
    if spoken := speech_rows():
        parts += [SPOKEN, table(SPEECH_HEAD, spoken)]
    for name, text in (("own-tables", OWN_TABLES), ("own-tables-plain", PLAIN)):
        if measured := own_rows(name):
            parts += [text, table(OWN_HEAD, measured)]
    return "\n\n".join(parts)


def page_with_table(page: str) -> str:
    """The page's text with the tables between its two markers."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="benchmarks/README.md")
    if parser.parse_args().write:
        PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(tables())
