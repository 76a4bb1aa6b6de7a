"""The networks and trainings of a proposed recipe: encoders, fusion, epochs, and what may be tried instead."""

from __future__ import annotations

from .. import fusions
from .installed_encoders import MINILM, suggestions
from .recipe_draft import Draft, TeacherTraining, student_candidates
from .recipe_lines import comment_lines, line, scalar

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
CEPSTRA = 13  # that a network for transcripts reads: fewer errors on new voices (docs/experiments/speech.md)
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

FINETUNING = (
    "`init --teacher finetuned` trains the pretrained encoders too, after the others: worth trying on a GPU;",
    "validation rows decide which of the two is kept",
)
SENTENCE_RATE = "2.0e-4"  # of MiniLM's topmost block where it is trained: benchmarks/results/finetuning.json


def network_lines(draft: Draft, size: dict) -> list[str]:
    """The section of the teacher (``size`` is TEACHER) or of the student, from its encoders on."""
    is_teacher = size is TEACHER
    encoders = {name: _encoder(settings, draft, size) for name, settings in draft.modalities.items()}
    if is_teacher:
        encoders |= dict.fromkeys(draft.encoders.sentences, _sentence_encoder(draft.finetuned))
    lines = ["  encoders:", *(f"    {scalar(name)}: {encoder}" for name, encoder in encoders.items())]
    if is_teacher:
        lines += comment_lines(suggestions(draft.encoders.missing), 4)
        lines += comment_lines(FINETUNING if draft.encoders.any and not draft.finetuned else (), 4)
    lines += _fusion(draft, size)
    if not is_teacher:
        return lines
    lines += _frozen_first(draft)
    if draft.folds:
        comment = "scikit-learn models of each modality teach with the network"
        limit = "" if draft.member_seconds is None else f", seconds: {draft.member_seconds:g}"
        lines.append(line(f"  portfolio: {{folds: {draft.folds}{limit}}}", comment))
    if draft.teacher_training.seeds > 1:
        lines.append(line(f"  num_seeds: {draft.teacher_training.seeds}", "so many trainings, ..."))
        lines.append(line("  ensemble: true", "... and the mean of their answers teaches"))
    return lines + training_lines(draft.teacher_training, size) + augmented_lines(draft)


def _encoder(settings: dict, draft: Draft, size: dict) -> str:
    """The encoder of a modality, as YAML."""
    kind = settings["kind"]
    if kind == "image" and size is TEACHER and draft.encoders.pictures:
        learning = "finetune: {}" if draft.finetuned else "frozen: true"
        return f"{{kind: efficientnet_lite, {learning}, stages: 4, drop: 0.5}}"
    if kind == "image":
        return "{kind: hog}"
    if kind == "audio" and draft.transcript:
        return f"{{kind: conv1d, widths: {size['speech']}, cepstra: {CEPSTRA}}}"
    if kind == "text" and draft.transcript:
        return f"{{kind: tcn, width: {size['speech'][0]}}}"
    if kind == "audio":
        if draft.few_rows:  # voices that training doesn't hear: docs/experiments/own-tables.md
            return "{kind: cepstra, variation: true, drop: 0.5}"
        return f"{{kind: conv1d, widths: {size['frames']}}}"
    if kind == "tabular":
        return f"{{kind: mlp, widths: {size['table']}, dropout: {DROPOUT}}}"
    if kind == "sequence":
        return f"{{kind: gru, width: {size['gru']}}}"
    return f"{{kind: ngrams, embedding: {size['embedding']}}}"


def _sentence_encoder(finetuned: bool) -> str:
    learning = f"finetune: {{learning_rate: {SENTENCE_RATE}}}" if finetuned else "frozen: true"
    return f'{{kind: huggingface, name: "package:{MINILM}", {learning}}}'


def _frozen_first(draft: Draft) -> list[str]:
    """Of a teacher whose encoders are fine-tuned: the way in which validation decides whether that helps."""
    if not (draft.finetuned and draft.encoders.any):
        return []
    epochs = draft.teacher_training.finetuning
    comment = "epochs of fine-tuning after a training with frozen encoders; the better one on validation is kept"
    return [line(f"  frozen_first: {epochs}", comment)]


def selection_lines(draft: Draft) -> list[str]:
    """The networks that the student is selected from, and what it may cost."""
    networks = student_candidates(draft.modalities, STUDENT["table"][0]) if draft.candidates else {}
    lines = [f"    {name}: {scalar(changes)}" for name, changes in networks.items()]
    if lines:
        lines.insert(0, line("  candidates:", "other networks to select the student from, on validation rows"))
    if draft.student_budget:
        limits = ", ".join(f"{key}: {scalar(value)}" for key, value in draft.student_budget)
        lines.append(line(f"  budget: {{{limits}}}", "what the student may cost; it is made narrower until it fits"))
    else:
        lines.append(line("  # budget: {parameters: 100000}", "what it may cost; also size: 500kB, latency_ms: 2"))
    return lines


def augmented_lines(draft: Draft) -> list[str]:
    """Of a training whose modalities have views."""
    if not any("augment" in settings for settings in draft.modalities.values()):
        return []
    return [line("    augment: true", "recordings are varied in each round, as `augment` above says")]


def _fusion(draft: Draft, size: dict) -> list[str]:
    """The fusion and the heads. Few rows of one modality need no joint layer in a student."""
    if draft.transcript:
        settings = f"kind: frames, width: {size['speech'][0]}, depth: 3, dropout: {DROPOUT}"
        return [line(f"  fusion: {{{settings}}}", "units in each frame of the recording (CTC)")]
    if len(draft.modalities) == 1 and draft.few_rows and size is STUDENT:
        return [line("  fusion: {kind: late}", "a linear head: there is one modality, and rows are few")]
    several = len(draft.modalities) + (len(draft.encoders.sentences) if size is TEACHER else 0) > 1
    kind = fusions.default_kind(len(draft.modalities)) if several else "concat"
    lines = [f"  fusion: {{kind: {kind}, width: {size['fusion']}}}"]
    if draft.few_rows:
        lines.append(line("  hidden: 0", f"rows are few: no hidden layer before the outputs; else {size['hidden']}"))
    else:
        lines.append(line(f"  hidden: {size['hidden']}", "width of the last hidden layer"))
    if several:
        lines.append(line("  unimodal_weight: 1.0", "each modality also has a head of its own, with this weight"))
    return lines


def training_lines(training: Draft | TeacherTraining, size: dict) -> list[str]:
    """Epochs, batch and learning rate."""
    return [
        "  train:",
        line(f"    epochs: {training.epochs}", "rounds over the training rows; more may score better"),
        line(f"    batch: {training.batch}", "rows in one step"),
        line(f"    learning_rate: {size['rate']}"),
    ]
