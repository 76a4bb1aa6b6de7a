"""The text of a proposed recipe: YAML with a comment for each section."""

from __future__ import annotations

from pathlib import PurePosixPath

from ..recipe import Goal
from ..sources.table_format import MISSING_VALUES
from ..types import CLASSES, LABELS, NUMBER, TOKENS
from .column_roles import Plan, unused
from .column_types import READ, is_number
from .proposed_networks import STUDENT, TEACHER, augmented_lines, network_lines, selection_lines, training_lines
from .recipe_draft import Draft
from .recipe_lines import comment_lines, folded, line, scalar

MODALITY_DROPOUT = 0.2  # share of the rows whose modalities are thinned out, of the student's training
VIEWS = 8  # of a recording
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
        ["# The teacher: the strong model, trained on the labels.", "teacher:", *network_lines(draft, TEACHER)],
        [
            "# The student: the small model that is kept. Widen it where it loses too much to the teacher.",
            "student:",
            *network_lines(draft, STUDENT),
            *selection_lines(draft),
        ],
        _extract(draft),
        _distill(plan, draft),
        _goal(),
        _export(draft),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _head(draft: Draft) -> list[str]:
    name = folded(PurePosixPath(draft.source).name)
    return [
        f"# Proposed by `suffuse init` from what stands in {name} ({draft.rows:,} rows). It runs as it is:",
        "#     suffuse run THIS_FILE",
        "# What isn't written here has its default; an unknown key is an error.",
        *_budget(draft),
        "version: 1",
        line("seed: 0", "decides splits that are made, and how training starts"),
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
        lines.append(line("  # root: FOLDER", "what paths in the table start from; now the table's own folder"))
    else:
        lines.append(line(f"  root: {scalar(draft.root)}", "what paths in the table start from"))
    if draft.allowed_dir is not None:
        lines.append(line(f"  allowed_dir: {scalar(draft.allowed_dir)}", "no file outside of this folder is read"))
    lines.append(line(f"  target: {scalar(plan.target)}", "; ".join(plan.notes["target"])))
    if plan.target_type.task:
        task = ", ".join(f"{key}: {scalar(value)}" for key, value in plan.target_type.task.items())
        lines.append(line(f"  tasks: {{{scalar(plan.target)}: {{{task}}}}}"))
    elif all(is_number(v) for c in plan.columns if c.name == plan.target for v in c.cells if v is not None):
        lines.append(line(f"  # tasks: {{{scalar(plan.target)}: {{kind: number}}}}", "if it is a number, not a class"))
    if plan.id:
        lines.append(line(f"  id: {scalar(plan.id)}", "names a row in reports"))
    else:
        lines.append(line("  # id: COLUMN", "none found: a row is named by its line"))
    return lines + _group(plan) + _split(plan)


def _reading(draft: Draft) -> list[str]:
    """How the source is read, so that no later command guesses."""
    lines = []
    if form := draft.text_format:
        lines.append(line(f"  encoding: {scalar(form.encoding)}", "of the table's text"))
        lines.append(line(f"  delimiter: {scalar(form.delimiter)}", "between its cells"))
    if draft.missing_values != MISSING_VALUES:
        usual = ", ".join(text for text in MISSING_VALUES if text not in draft.missing_values)
        comment = f"texts that are empty cells; {usual} is a value here"
        lines.append(line(f"  missing_values: {scalar(list(draft.missing_values))}", comment))
    return lines


def _group(plan: Plan) -> list[str]:
    notes = comment_lines(plan.notes["group"], 2)
    if plan.group:
        count = next(c.distinct for c in plan.columns if c.name == plan.group)
        why = f"rows with the same value never stand in two splits ({count:,} values)"
        return [*notes, line(f"  group: {scalar(plan.group)}", why)]
    return [
        *notes,
        line("  # group: COLUMN", "none found: a patient or a user, whose rows no split may tear apart"),
    ]


def _split(plan: Plan) -> list[str]:
    lines = ["  split:", *comment_lines(plan.notes["split"], 4)]
    if plan.split:
        counts = ", ".join(f"{count:,} {name}" for name, count in plan.counts.items() if count)
        lines.append(line(f"    column: {scalar(plan.split)}", counts))
    if not plan.counts.get("validation"):
        lines.append(line("    validation: 0.1", "share of the training rows, for choosing the best epoch"))
    if not plan.counts.get("test"):
        lines.append(line("    test: 0.15", "share of all rows, for the final scores alone"))
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
        lines.append(line(f"  {scalar(name)}:", reason))
        for key, value in settings.items():
            if key == "types":
                lines.append("    types:")
                lines.extend(line(f"      {scalar(c)}: {kind}", reasons[c]) for c, kind in value.items())
                continue
            if key == "numbers":
                lines.append(line("    numbers:", "how they are written"))
                lines.extend(f"      {scalar(c)}: {scalar(form)}" for c, form in value.items())
                continue
            comment = comments.get(key, "")
            comment = comment[value] if isinstance(comment, dict) else comment
            lines.append(line(f"    {key}: {scalar(value)}", comment))
    for name, settings in draft.encoders.sentences.items():
        lines.append(line(f"  {scalar(name)}:", "the same texts, for a sentence encoder of the teacher"))
        lines.extend(f"    {key}: {scalar(value)}" for key, value in settings.items())
    for column in plan.columns:
        if column.role == "give-away":
            lines.append(f"  # {folded(column.name)}: left out, it {column.reason}")
            lines.append("  #     (data.derive, kind: mask_words, makes a column without the labels' words of it)")
    return lines


def _unused(plan: Plan) -> list[str]:
    """The columns that no model reads, with why; a give-away stands among the modalities."""
    shown = (*READ, "target", "id", "group", "split", "give-away")
    listed = [c for c in plan.columns if c.role not in shown and c not in plan.table()]
    if not listed:
        return []
    reasons, width = dict(unused(plan)), max(len(folded(c.name)) for c in listed)
    lines = [f"#   {folded(c.name):<{width}}  {reasons.get(c.name, c.reason)}" for c in listed]
    return ["# Columns that aren't used:", *lines]


def _teachers(draft: Draft) -> list[str]:
    """The offer of a teacher for each seed; an ensemble is one teacher."""
    return [
        f"  # A teacher for each seed: {draft.students} teachers are trained, and the intervals cover their luck too:",
        f"  # teachers: each    # with teacher: {{num_seeds: {draft.students}}}",
    ]


def _distill(plan: Plan, draft: Draft) -> list[str]:
    soft_loss, soft_comment, label_weight = SOFT[plan.target_type.kind]
    dropout = line(
        f"    modality_dropout: {MODALITY_DROPOUT}", "of the rows lose some in training: it bears one that is missing"
    )
    return [
        "# How the student learns: from the labels, and from the teacher's answers.",
        "# The same student without a teacher is trained beside it, to compare with.",
        "distill:",
        *training_lines(draft, STUDENT),
        *augmented_lines(draft),
        *([dropout] if len(draft.modalities) > 1 else []),
        "  losses:",
        line(f"    labels: {{kind: task, weight: {label_weight}}}", "the labels themselves"),
        line(f"    soft: {{{soft_loss}}}", soft_comment),
        line(f"  num_seeds: {draft.students}", "students from different starts; their spread tells what is chance"),
        *([] if draft.teacher_training.seeds > 1 else _teachers(draft)),
        *([] if draft.unimodal_baselines else ["  unimodal_baselines: false"]),
        *([] if draft.longer_baselines else [line(f"  baseline: {{epochs: {draft.epochs}}}", "no longer baselines")]),
        "  # Also with this share of the labels, where a teacher that saw all of them helps the most:",
        "  # label_fractions: [0.05]",
    ]


def _extract(draft: Draft) -> list[str]:
    """Views that the teacher answers too: its frames are then those of what the student hears."""
    if not draft.transcript:
        return []
    return ["extract:", line(f"  views: {VIEWS}", "of each training row, which the teacher hears as the student does")]


def _goal() -> list[str]:
    return [
        "# What the student must reach before the report calls it ready. Nothing is trained again for another goal.",
        "goal:",
        line(f"  keep: {Goal().keep}", "of the teacher's score, at least"),
        "  # size: 1MB               # the exported file, at most",
        "  # latency_ms: 5           # one row on one thread, at most",
    ]


def _export(draft: Draft) -> list[str]:
    only_student = [
        "export:",
        line("  teacher: false", "true: also the teacher, to compare size and time with"),
        line("  int8: off", "auto: also in int8, where that is faster and loses little"),
    ]
    return [
        *([] if draft.compared_exports else only_student),
        "# Rows of the table for the page of `suffuse serve` to show. Whoever gets the export gets them too.",
        "# export: {examples: 3}" if draft.compared_exports else "#   examples: 3",
    ]
