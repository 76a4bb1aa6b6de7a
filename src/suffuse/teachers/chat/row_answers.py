"""The run's rows -> questions -> answers -> the table of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.columns import SPLITS, Columns
from ...errors import SuffuseError
from ...progress import say
from ...types import Head
from ..matching import Matching, outputs
from .answer_log import AnswerLog, log_file, question_key
from .answer_table import NOT_ASKED, Calibration, RowResult, calibrate, row_result, write_facts, write_table
from .chat_client import ChatClient, Endpoint
from .prompt_template import Messages, PromptTemplate, count_tokens
from .query_session import Form, QuerySession, Question, Sampling, count_reasons
from .request_limits import Budget, RateLimit

if TYPE_CHECKING:
    from ...prepare.raw_cells import RawRows
    from ..asked import Settings

NOTHING_TO_ASK = "nothing to ask about"  # all cells of the prompt are empty
PIECE = 64  # rows whose cells are read at once
DEFAULT_ANSWER_TOKENS = 256  # of an estimate, where the recipe leaves it to the endpoint


class RowQuestions:
    """The questions of a run's rows."""

    def __init__(self, settings: Settings, raw: RawRows, names: tuple[str, ...]):
        template = PromptTemplate.parse(settings.prompt)
        images = {c for m in raw.run.recipe.modalities.values() if m.kind == "image" for c in m.columns}
        self.pictures = set(settings.pictures) or images & set(template.columns)
        self.settings, self.raw, self.columns = settings, raw, template.columns
        self.make = Messages(template, names, self.pictures, settings.picture_side, settings.system, settings.rationale)
        self.sampling = Sampling(
            settings.model, names, Form(settings.json_schema, settings.top_logprobs > 0), settings.rationale,
            settings.top_logprobs, settings.seed, settings.fields(),
        )  # fmt: skip

    def messages(self, row: int) -> list[dict[str, Any]]:
        """Of a row that has something to ask about."""
        return self._messages(np.array([row]))[0] or []

    def _messages(self, rows: np.ndarray) -> list[list[dict[str, Any]] | None]:
        return [self.make.of(record) for record in self.raw.records(self.columns, rows, files=self.pictures)]

    def of(self, rows: np.ndarray) -> Iterator[tuple[int, Question | None]]:
        """Of each row its question; None where there is nothing to ask about."""
        facts, reply = self.sampling.facts(), self.settings.answer_tokens or DEFAULT_ANSWER_TOKENS
        for start in range(0, len(rows), PIECE):
            piece = rows[start : start + PIECE]
            for row, messages in zip(piece.tolist(), self._messages(piece), strict=True):
                if messages is None:
                    yield row, None
                else:
                    yield row, Question(question_key(messages, facts), row, count_tokens(messages) + reply)


def class_names(settings: Settings, heads: tuple[Head, ...]) -> tuple[str, ...]:
    """The classes as the model is asked about them: the run's, but for those that ``classes`` gives other names."""
    renamed = settings.classes
    kept = [name for name in outputs(heads) if name not in renamed.values() and name not in renamed]
    return (*kept, *renamed)


def ask_rows(
    settings: Settings, raw: RawRows, heads: tuple[Head, ...], where: str, file: Path, read_key: Callable[[], str]
) -> None:
    """Ask about all rows, and write the table ``file`` and the facts beside it. ``read_key`` is called where something
    is left to ask.

    Raises SuffuseError where rows stay without an answer and the recipe doesn't make them abstentions.
    """
    names = class_names(settings, heads)
    matching = Matching.of(names, heads, settings.classes, f"{where}.classes")
    log = AnswerLog(log_file(raw.run, where))
    if not log.answers:
        read_key()  # before the cells of all rows are read
    columns = Columns.open(raw.run.path("data"))
    wanted = _rows_to_ask(settings, columns)
    questions = RowQuestions(settings, raw, names)
    by_row: dict[int, Question | None] = dict(questions.of(np.flatnonzero(wanted)))
    session = _session(settings, where, questions, log)
    _ask(session, settings, by_row, read_key)
    results = [_result(session, settings, names, row, by_row) for row in range(len(wanted))]
    p = np.full((len(results), len(names)), np.nan)
    for row, result in enumerate(results):
        if result.p is not None:
            p[row] = result.p
    calibration = Calibration(None, 0)
    if settings.calibrate:
        p, calibration = calibrate(p, columns.spec, matching, columns.target, columns.labelled("validation"))
    text = f"{heads[0].name}_rationale" if settings.rationale else None
    write_table(file, raw.ids, names, results, p, text)
    more = {"model": settings.model, "samples": settings.samples, "requests": log.requests, "tokens": log.tokens}
    write_facts(file.with_suffix(".json"), results, calibration, more)
    _summarise(results, calibration)


def _rows_to_ask(settings: Settings, columns: Columns) -> np.ndarray:
    """(N,) bool: not test rows where they are left out, and no row that lacks a modality that it must have."""
    places = [columns.spec.names.index(name) for name in settings.covers]
    covered = np.all(columns.present[:, places], axis=1, keepdims=False).reshape(-1)
    return covered if settings.test_rows else covered & (columns.split != SPLITS.index("test"))


def _session(settings: Settings, where: str, questions: RowQuestions, log: AnswerLog) -> QuerySession:
    endpoint = Endpoint(settings.url, settings.timeout, settings.retries, parallel=settings.concurrency, where=where)
    budget = Budget(settings.max_requests, settings.max_tokens, log.requests, log.tokens)
    client = ChatClient(endpoint, budget, RateLimit(settings.requests_per_minute))
    return QuerySession(
        client, log, questions.sampling, questions.messages, settings.samples, settings.unanswered == "abstain"
    )


def _ask(
    session: QuerySession, settings: Settings, by_row: dict[int, Question | None], read_key: Callable[[], str]
) -> None:
    """Ask each question once, in an order that is the same every time and mixes all splits."""
    distinct = list({question.key: question for question in by_row.values() if question}.values())
    ordered = [distinct[n] for n in np.random.default_rng(0).permutation(len(distinct))]
    missing = list(session.missing(ordered))
    if missing:
        session.client.authorise(read_key())
    _estimate(session, settings, ordered, missing)
    session.ask(ordered)
    if not session.unanswered or settings.unanswered == "abstain":
        return
    done, where = len(ordered) - len(session.unanswered), session.client.endpoint.where
    got = f"{done:,} of {len(ordered):,} questions answered"
    if session.budget:
        raise SuffuseError(
            "the budget of the asked teacher is spent", where=where, got=f"{got}; {session.budget}",
            hint="with a larger one it goes on from there; `unanswered: abstain` leaves the other rows out",
        )  # fmt: skip
    raise SuffuseError(
        "some questions got no answer", where=where, got=f"{got}; {count_reasons([*session.unanswered.values()])}",
        hint="called again, only these are asked; `unanswered: abstain` leaves their rows out",
    )  # fmt: skip


def _estimate(
    session: QuerySession, settings: Settings, ordered: Sequence[Question], missing: Sequence[tuple[Question, int]]
) -> None:
    """Say what there is to ask, and what it may take, before anything is asked."""
    reply = settings.answer_tokens or DEFAULT_ANSWER_TOKENS
    prompts = sum(question.tokens - reply for question, _ in missing)
    words = [f"{len(ordered):,} questions to {settings.model} at {session.client.endpoint.host}"]
    if missing:
        words.append(f"{len(missing):,} requests to make")
        words.append(f"about {prompts:,} tokens of prompts, at most {len(missing) * reply:,} of answers")
        if settings.samples > 1 and any(sample == 0 for _, sample in missing):
            words.append(f"up to {settings.samples} times as many without log-probabilities")
    else:
        words.append("all answered before")
    limits = {"max_requests": settings.max_requests, "max_tokens": settings.max_tokens}
    words += [f"{name} {limit:,}" for name, limit in limits.items() if limit is not None]
    if session.log.requests:
        words.append(f"{session.log.requests:,} requests and {session.log.tokens:,} tokens used before")
    say(f"{'asked':<9} {', '.join(words)}")
    endpoint = session.client.endpoint
    if session.client.key and endpoint.url.lower().startswith("http:") and not _is_local(endpoint.host):
        say(f"notice: the key travels unencrypted to {endpoint.host}: https hides it")


def _is_local(host: str) -> bool:
    return host.rpartition(":")[0].strip("[]") in ("127.0.0.1", "localhost", "::1") or host in (
        "127.0.0.1",
        "localhost",
    )


def _result(
    session: QuerySession, settings: Settings, names: tuple[str, ...], row: int, by_row: dict[int, Question | None]
) -> RowResult:
    if row not in by_row:
        return RowResult(None, reason=NOT_ASKED)
    question, answers = by_row[row], session.log.answers
    if question is None:
        return RowResult(None, reason=NOTHING_TO_ASK)
    given = [answers[question.key, n] for n in range(settings.samples) if (question.key, n) in answers]
    if not given:
        return RowResult(None, reason=session.unanswered[question.key])
    return row_result(given, names, settings.confidence)


def _summarise(results: Sequence[RowResult], calibration: Calibration) -> None:
    methods = count_reasons([result.method for result in results if result.p is not None])
    reasons = [result.reason for result in results if result.p is None and result.reason != NOT_ASKED]
    silence = f"{len(reasons):,} abstentions ({count_reasons(reasons)})" if reasons else "no abstention"
    fitted = f"temperature {calibration.temperature:.2f}" if calibration.temperature else "not calibrated"
    say(f"{'asked':<9} {methods or 'no answer'}; {silence}; {fitted} ({calibration.rows:,} labelled validation rows)")
