"""A speech recogniser that lies on this machine as the teacher: it writes down every recording, and its transcripts are
written to a table that the kind ``table`` reads with ``form: transcripts``.

transformers runs CTC networks and Whisper, faster-whisper what was converted for CTranslate2. Nothing is downloaded, no
code of a model's is run, weights of transformers are safetensors. What was heard is kept in the run's ``answers/``
under a hash of the recording, so that nothing is recognised twice; the table, ``teacher/transcripts.jsonl``, is made
by ``teach``, and later stages open no network.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ..encoders.huggingface import placed_model
from ..errors import UsageError
from ..files import read_json
from ..registry import Settings as PlainSettings
from ..registry import TeacherSettings
from ..types import TOKENS, TRANSCRIPTS, Head
from . import table
from .transcript_filter import MaxWordError, MinConfidence
from .written_table import locate_table

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows
    from .recognition.recogniser_folder import RecogniserModel
    from .transcript_answers import TranscriptAnswers

TABLE, LOG = "transcripts.jsonl", "recognised.jsonl"
NAME = "A folder, `package:NAME`, or a name in the Hugging Face cache."
LIBRARY = (
    "`transformers` (safetensors: CTC networks and Whisper) or `faster_whisper` (`model.bin`, converted for "
    "CTranslate2). Default: by what the folder holds."
)
LANGUAGE = "Language of a multilingual Whisper, e.g. `en`. Default: detected in each recording."
Library = Literal["transformers", "faster_whisper"]


class SecondRecogniser(PlainSettings):
    """Another recogniser, that the first is compared with."""

    name: str = Field(description=NAME)
    library: Library | None = Field(default=None, description=LIBRARY)
    language: str | None = Field(default=None, description=LANGUAGE)


class Settings(TeacherSettings):
    """Which recogniser, what it hears, and which of its transcripts are learned."""

    kind: Literal["recogniser"] = "recogniser"
    FILES: ClassVar = ("name",)
    WRITES_TRANSCRIPTS: ClassVar = True
    name: str = Field(description=NAME)
    library: Library | None = Field(default=None, description=LIBRARY)
    modality: str | None = Field(
        default=None, description="Audio modality that it hears, at 16 kHz. Default: the only one."
    )
    column: str | None = Field(
        default=None, description="Column of other recordings that it hears instead, cut as those of the modality."
    )
    language: str | None = Field(default=None, description=LANGUAGE)
    spell_digits: bool = Field(
        default=False,
        description="Write numbers as their digits are spoken in English: `914-72` becomes `nine one four seven two`. "
        "Numbers with anything else in them (`3.5`, `2nd`, `$5`) stay.",
    )
    beam: int = Field(default=1, ge=1, le=64, description="Width of Whisper's beam search. 1: greedy.")
    batch: int = Field(default=8, ge=1, le=1024, description="Recordings that Whisper reads together.")
    min_confidence: MinConfidence = 0.0
    second: SecondRecogniser | None = Field(default=None, description="Another recogniser (`second` below).")
    max_word_error: MaxWordError = None

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.classes:
            raise ValueError("got classes with kind recogniser, expected none: units have no other names")
        if (self.max_word_error is None) != (self.second is None):
            got, lacks = ("second", "max_word_error") if self.second else ("max_word_error", "second")
            raise ValueError(f"got {got} without {lacks}, expected both")
        spoken = {self.language, self.second.language if self.second else None} - {None, "en"}
        if self.spell_digits and spoken:
            raise ValueError(f"got spell_digits with language {spoken.pop()}, expected en: digits are English words")
        return self

    def placed(self, base: Path) -> Settings:
        """Folders' paths from ``base``; other names stay names."""
        second = self.second and self.second.model_copy(update={"name": placed_model(self.second.name, base)})
        return self.model_copy(update={"name": placed_model(self.name, base), "second": second})

    def references(self) -> dict[str, str]:
        """The folders."""
        return {"name": self.name, **({"second.name": self.second.name} if self.second else {})}


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> TranscriptAnswers:
    """Recognise what hasn't been recognised yet, while the run's ``teach`` isn't done; then read the table.

    Raises UsageError where there is no such recogniser, or nothing that it can hear.
    """
    if [head.kind for head in heads] != [TOKENS]:
        got = ", ".join(head.kind for head in heads)
        raise UsageError("a recogniser needs a transcript", where=where, got=f"targets of kind {got}",
                         expected=f"a single target of kind {TOKENS}")  # fmt: skip
    file, is_written = locate_table(raw.run, TABLE, "transcripts")
    if not is_written:
        _write(settings, raw, file, where)
    second = {"second_column": "second_transcript", "max_word_error": settings.max_word_error}
    chosen = table.Settings(
        file=str(file), form=TRANSCRIPTS, column="transcript", confidence_column="confidence",
        min_confidence=settings.min_confidence, **(second if settings.second else {}),
    )  # fmt: skip
    answers = table.open(chosen, raw, heads, where)
    assert not isinstance(answers, table.TableSource)
    return _with_reasons(answers, read_json(file.with_suffix(".json")) or {})


def _with_reasons(answers: TranscriptAnswers, facts: dict[str, Any]) -> TranscriptAnswers:
    """The answers with why recordings weren't recognised: for a table these rows have no transcript."""
    from .transcript_answers import NO_TEXT

    counts = {reason: len(ids) for reason, ids in facts["abstentions"].items()}
    reasons = Counter(answers.reasons)
    reasons[NO_TEXT] -= sum(counts.values())
    kept = Counter({reason: count for reason, count in reasons.items() if count}) + Counter(counts)
    return replace(answers, reasons=dict(kept.most_common()), model=facts["model"])


def _write(settings: Settings, raw: RawRows, file: Path, where: str) -> None:
    """Recognise the rows that it covers, and write the table."""
    from ..data.columns import Columns
    from ..engine.runtime import device_of
    from ..recipe.sequence_targets import heard_modality
    from .recognition.recognition_log import RecognitionLog
    from .recognition.row_recognition import Recordings, recognise_rows, write_transcripts

    modality: Any = raw.run.recipe.modalities[heard_modality(settings, raw.run.recipe.modalities)]
    models = _models(settings, where)
    columns, compute = Columns.open(raw.run.path("data")), raw.run.recipe.compute
    places = [columns.spec.names.index(name) for name in settings.covers]
    rows = np.flatnonzero(np.all(columns.present[:, places], axis=1))
    recordings = Recordings.of(raw, settings.column or modality.columns[0], modality)
    log = RecognitionLog(raw.run.path("answers", LOG))
    try:
        texts = recognise_rows(recordings, rows, models, log, (device_of(compute), compute.threads))
    finally:
        log.close()
    write_transcripts(file, raw.ids, texts, settings.spell_digits, models[0].name)


def _models(settings: Settings, where: str) -> list[RecogniserModel]:
    """The recogniser, and the second one."""
    from .recognition.recogniser_folder import RecogniserModel, find_recogniser

    def model(part: Any, key: str) -> RecogniserModel:
        folder, library = find_recogniser(part.name, part.library, key)
        return RecogniserModel(Path(part.name).name, folder, library, part.language, settings.beam, settings.batch, key)

    first = model(settings, where)
    if settings.second is None:
        return [first]
    second = model(settings.second, f"{where}.second")
    return [first, second if second.is_whisper else replace(second, beam=1)]  # the beam is Whisper's alone
