"""A language or vision-language model behind an OpenAI-compatible address as the teacher: it is asked about every row,
and its answers are written to a table that the kind ``table`` reads.

Rows need no label. An answer is kept in the run's ``answers/`` under a hash of its question, so that nothing is asked
twice; the table, ``teacher/answers.parquet``, is made by ``teach``, and later stages ask nothing. Where a validation
row has a label, the probabilities are calibrated by temperature scaling. The key comes from the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from pydantic import Field, field_validator, model_validator

from ..errors import UsageError
from ..files import read_json
from ..registry import NameList, TeacherSettings, optional
from ..types import CLASSES, Head
from . import table
from .chat.answer_log import file_name
from .chat.answer_table import PATTERN
from .chat.prompt_template import PromptTemplate
from .table import TableSource
from .written_table import locate_table

if TYPE_CHECKING:
    from ..prepare.raw_cells import RawRows

SECRET = re.compile(r"key|token|secret|password|sig", re.IGNORECASE)  # names of parts of an address
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Settings(TeacherSettings):
    """Which model, what it is asked, and how far."""

    kind: Literal["asked"] = "asked"
    url: str = Field(description="Base address of an OpenAI-compatible endpoint; `/chat/completions` is appended.")
    model: str = Field(min_length=1, description="Name of the model, as the endpoint calls it.")
    prompt: str = Field(
        description="Question about a row. `{column}` stands for a cell; a column of pictures is sent as a `data:` "
        "address. `{classes}` stands for the class names; without it, a line before the prompt asks for one of them."
    )
    system: str = Field(default="", description="System message.")
    pictures: NameList = Field(
        default=(), description="Columns whose cells are picture files. Default: those that an image modality reads."
    )
    picture_side: int | None = Field(
        default=1024, ge=16, description="Longer side of a picture in pixels; larger ones are scaled down."
    )
    api_key_env: str | None = Field(
        default=None, description="Environment variable that holds the key. The key itself never stands in a recipe."
    )
    json_schema: bool = Field(
        default=True, description="Ask for JSON with one of the classes. If the endpoint refuses: words are matched."
    )
    top_logprobs: int = Field(
        default=20, ge=0, le=20, description="Alternatives per token with log-probabilities. 0 or refused: none."
    )
    samples: int = Field(
        default=1, ge=1, le=100, description="Answers per row if the endpoint returns no log-probabilities."
    )
    confidence: float = Field(default=0.9, gt=0, lt=1, description="Probability of a class that is only stated, once.")
    calibrate: bool = Field(
        default=True, description="Fit a temperature on labelled validation rows (20 or more with an answer)."
    )
    rationale: bool = Field(
        default=False, description="Ask for a reason too: the column `TARGET_rationale` of the table of answers."
    )
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="Sampling temperature. Default: 0, or 1 with several `samples`."
    )
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus sampling.")
    seed: int | None = Field(default=None, ge=0, description="Sent as `seed`, plus the number of the sample.")
    answer_tokens: int | None = Field(
        default=256, ge=1, description="Sent as `max_tokens`: the most tokens of an answer."
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Further keys of each request's body; `null` leaves out one that is sent otherwise.",
    )
    test_rows: bool = Field(
        default=True, description="Also ask about test rows: the teacher's test score needs that, the student doesn't."
    )
    unanswered: Literal["stop", "abstain"] = Field(
        default="stop", description="Rows without an answer (budget spent, errors): `stop` the run, or `abstain`."
    )
    max_requests: int | None = Field(
        default=None, ge=1, description="Most requests of this run, over all sessions, failed attempts included."
    )
    max_tokens: int | None = Field(
        default=None, ge=1, description="Most tokens of this run, over all sessions, of prompts and answers."
    )
    requests_per_minute: float | None = Field(default=None, gt=0, description="Rate limit.")
    concurrency: int = Field(default=4, ge=1, le=256, description="Requests at the same time.")
    timeout: float = Field(default=120.0, gt=0, description="Seconds of one attempt.")
    retries: int = Field(
        default=5, ge=0, le=20, description="Further attempts after an error that may pass, later each time."
    )

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise ValueError("got no address, expected one such as http://127.0.0.1:8080/v1") from None
        secrets = [name for name, _ in parse_qsl(parts.query) if SECRET.search(name)]
        if parts.username is not None or parts.password is not None or secrets:
            raise ValueError("got a key or password in the address, expected api_key_env: the recipe is stored")
        if not valid or parts.fragment:
            raise ValueError(f"got '{value}', expected an address such as http://127.0.0.1:8080/v1")
        return value

    @field_validator("api_key_env", mode="before")
    @classmethod
    def _variable(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and VARIABLE.fullmatch(value)):
            raise ValueError("got no name of an environment variable, expected one such as OPENAI_API_KEY, not the key")
        return value

    @model_validator(mode="after")
    def _template(self) -> Settings:
        columns = PromptTemplate.parse(self.prompt).columns
        for name in self.pictures:
            if name not in columns:
                raise ValueError(f"got pictures '{name}', expected {{{name}}} in the prompt")
        taken = {"model", "messages", "stream", "n", "response_format", "logprobs", "top_logprobs", "seed"}
        if set(self.options) & taken:
            raise ValueError(
                f"got options {', '.join(sorted(set(self.options) & taken))}, which have keys of their own"
            )
        return self

    def fields(self) -> dict[str, Any]:
        """The keys of a request that decide how an answer is sampled. An option that is null takes a key away."""
        temperature = self.temperature if self.temperature is not None else float(self.samples > 1)
        values = {"temperature": temperature, "top_p": self.top_p, "max_tokens": self.answer_tokens}
        return {key: value for key, value in {**values, **self.options}.items() if value is not None}


@dataclass(frozen=True)
class AskedSource:
    """The table of answers, and how they came about."""

    table: TableSource
    asked: Mapping[str, Any]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The classes as the model was asked about them."""
        return self.table.outputs

    @property
    def form(self) -> str:
        """Probabilities."""
        return self.table.form

    @property
    def modalities(self) -> tuple[str, ...]:
        """None: answers are looked up."""
        return ()

    def fingerprint(self) -> str:
        """The table's."""
        return self.table.fingerprint()

    def facts(self) -> dict[str, Any]:
        """The table's facts, the model's name, the kinds of probabilities, and the reasons of abstentions."""
        return {**self.table.facts(), **self.asked}

    def answer(self, rows: np.ndarray, hidden: frozenset[str]) -> dict[str, np.ndarray]:
        """The stored probabilities; NaN where a row has none."""
        return self.table.answer(rows, hidden)


def open(settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str) -> AskedSource:
    """Ask what hasn't been asked yet, while the run's ``teach`` isn't done; then read the table.

    Raises UsageError where the model can't be asked, SuffuseError where rows stay without an answer.
    """
    kinds = [head.kind for head in heads]
    if kinds != [CLASSES]:
        got = f"{len(kinds)} targets" if len(kinds) > 1 else f"a target of the kind {kinds[0]}"
        hint = "ask about it in a program of your own, and use a teacher of the kind table"
        raise UsageError("only classes can be asked about", where=where, got=got,
                         expected="a single target of classes", hint=hint)  # fmt: skip
    file, is_written = locate_table(raw.run, f"{file_name(where)}.parquet", "answers")
    if not is_written:
        optional("urllib3", "asked")
        from .chat.row_answers import ask_rows

        ask_rows(settings, raw, heads, where, file, lambda: _read_key(settings, where))
    chosen = table.Settings(file=str(file), pattern=PATTERN, classes=settings.classes)
    answers = table.open(chosen, raw, heads, where)
    assert isinstance(answers, table.TableSource)
    return AskedSource(answers, read_json(file.with_suffix(".json")) or {})


def _read_key(settings: Settings, where: str) -> str:
    """The key of the environment; empty where the recipe names none. No error shows it."""
    if settings.api_key_env is None:
        return ""
    key = os.environ.get(settings.api_key_env, "").strip()
    place = f"{where}.api_key_env"
    if not key:
        raise UsageError("the environment has no such variable", where=place, got=settings.api_key_env,
                         hint=f"export {settings.api_key_env}=... before the run")  # fmt: skip
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError("this variable holds no key", where=place, got=settings.api_key_env,
                         expected="printable ASCII characters without spaces")  # fmt: skip
    return key
