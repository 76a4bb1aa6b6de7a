"""Asks an endpoint all questions that the log has no answer to, several at a time, as far as the budget goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ...errors import SuffuseError, UsageError
from ...progress import progress, say
from .answer_log import Answer, AnswerLog
from .answer_parsing import REFUSED, json_schema, parse
from .chat_client import ChatClient, NoAnswer, Rejected, Stopped
from .class_masses import class_masses, read_tokens
from .request_limits import BudgetSpent

REJECTED, FAILED, OVER_BUDGET = "rejected by the endpoint", "no answer", "over the budget"
MOST_FAILURES = 5  # one after the other: then the endpoint is down
TRIED = 3  # questions that may be rejected in every form before the endpoint is taken to reject all of them
Messages = list[dict[str, Any]]


class Down(Exception):
    """The endpoint doesn't answer any more."""


@dataclass(frozen=True)
class Question:
    """A row's question. Rows with the same content have the same one."""

    key: str
    row: int  # where its messages come from
    tokens: int  # estimate of prompt and answer


@dataclass(frozen=True)
class Form:
    """What is asked of the endpoint besides an answer. Not all of them can do it."""

    schema: bool
    logprobs: bool

    def poorer(self) -> list[Form]:
        """Itself, and what is tried where the endpoint rejects it."""
        forms = [self, Form(self.schema, False), Form(False, self.logprobs), Form(False, False)]
        return list(dict.fromkeys(forms))

    def lacks(self, other: Form) -> list[str]:
        """What the other form has beyond it."""
        given = {"response_format": (self.schema, other.schema), "logprobs": (self.logprobs, other.logprobs)}
        return [name for name, (own, others) in given.items() if others and not own]


@dataclass(frozen=True)
class Sampling:
    """All of a request but its messages; decides an answer together with them."""

    model: str
    names: tuple[str, ...]  # of the classes
    form: Form
    rationale: bool = False
    top_logprobs: int = 20
    seed: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)  # temperature, top_p, max_tokens and the user's own

    def facts(self) -> dict[str, Any]:
        """For the key of a question."""
        return {
            "model": self.model, "names": list(self.names), "schema": self.form.schema, "rationale": self.rationale,
            "logprobs": self.top_logprobs if self.form.logprobs else 0, "seed": self.seed, "fields": dict(self.fields),
        }  # fmt: skip

    def body(self, messages: Messages, form: Form, sample: int) -> dict[str, Any]:
        """A request."""
        body: dict[str, Any] = {"model": self.model, "messages": messages, **self.fields}
        if self.seed is not None:
            body["seed"] = self.seed + sample
        if form.schema:
            body["response_format"] = json_schema(self.names, self.rationale)
        if form.logprobs:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        return body


@dataclass
class QuerySession:
    """One session with an endpoint."""

    client: ChatClient
    log: AnswerLog
    sampling: Sampling
    messages: Callable[[int], Messages]  # of a row
    samples: int = 1  # of a question without log-probabilities
    abstain: bool = False  # where the endpoint stops answering; else an error
    unanswered: dict[str, str] = field(default_factory=dict)  # key -> why
    budget: str = ""  # what is spent; nothing while there is some left

    def ask(self, questions: Sequence[Question]) -> None:
        """Ask what is missing. ``unanswered`` then has the questions that got no answer.

        Raises SuffuseError where the endpoint doesn't answer any more, UsageError where it takes no such question.
        """
        if next(self.missing(questions), None) is None:
            return
        with progress("asked") as tell:
            try:
                form = self._negotiate(questions)
                while form and (missing := list(self._open_questions(questions))):
                    for number, _ in enumerate(self._ask_all(missing, form), 1):
                        tell(0.99 * number / len(missing), f"{number:,} of {len(missing):,} questions")
                tell(1.0, f"{self.log.requests:,} requests and {self.log.tokens:,} tokens so far")
            except Down as error:
                self._give_up(questions, str(error))
            finally:
                self.client.stopped.set()
                self.log.close()
        if self.budget:
            for question, _ in self.missing(questions):
                self.unanswered.setdefault(question.key, OVER_BUDGET)

    def missing(self, questions: Sequence[Question]) -> Iterator[tuple[Question, int]]:
        """Questions without an answer, and the number of the sample; of further samples those that are known to be
        needed."""
        for question in questions:
            first = self.log.answers.get((question.key, 0))
            if first is None:
                yield question, 0
            elif first.masses is None and first.reason != REJECTED:
                yield from ((question, n) for n in range(1, self.samples) if (question.key, n) not in self.log.answers)

    def _open_questions(self, questions: Sequence[Question]) -> Iterator[tuple[Question, int]]:
        if not self.budget:
            yield from ((q, n) for q, n in self.missing(questions) if q.key not in self.unanswered)

    def _negotiate(self, questions: Sequence[Question]) -> Form | None:
        """Ask the first questions alone, and find out what the endpoint can do. None where nothing more can be
        asked."""
        wanted, rejections, failures = self.sampling.form, [], []
        known = any((question.key, 0) in self.log.answers for question in questions)
        for question, sample in islice(self.missing(questions), TRIED):
            for form in wanted.poorer():
                try:
                    self.log.add(self._answer(question, sample, self.messages(question.row), form))
                except BudgetSpent as error:
                    self.budget = str(error)
                    return None
                except NoAnswer as error:
                    self._note_failure(question, str(error))
                    failures.append(str(error))
                    break
                except Rejected as error:
                    if error.filtered:
                        self.log.add(Answer(question.key, sample, None, REFUSED))
                        break
                    self.log.add_failure(str(error), 1)
                    rejections.append((question, sample, str(error)))
                    continue
                if lacking := form.lacks(wanted):
                    meaning = "answers are matched as text" if not form.schema else "probabilities come from samples"
                    say(f"notice: {self.client.endpoint.host} takes no {' and no '.join(lacking)}: {meaning}")
                return form
        if failures and not rejections:
            raise Down(failures[-1])
        if rejections and not known:
            where, got = f"{self.client.endpoint.where}.model", rejections[-1][2]
            raise UsageError("the endpoint rejects every question", where=where, got=got)
        for question, sample in dict.fromkeys((question, sample) for question, sample, _ in rejections):
            self.log.add(Answer(question.key, sample, None, REJECTED, requests=0))
        return wanted

    def _ask_all(self, missing: Sequence[tuple[Question, int]], form: Form) -> Iterator[Answer]:
        """Ask, and note answers as they come. Ends early where the budget is spent."""
        waiting, failures = iter(missing), 0
        parallel = self.client.endpoint.parallel
        executor = ThreadPoolExecutor(parallel)
        running: dict[Future[Answer], Question] = {}
        try:
            while True:
                for question, sample in islice(waiting, 0 if self.budget else 2 * parallel - len(running)):
                    messages = self.messages(question.row)
                    running[executor.submit(self._answer_or_rejection, question, sample, messages, form)] = question
                if not running:
                    return
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    question = running.pop(future)
                    try:
                        answer = future.result()
                    except BudgetSpent as error:
                        self.budget = str(error)
                    except NoAnswer as error:
                        failures += 1
                        self._note_failure(question, str(error))
                        if failures >= MOST_FAILURES:
                            raise Down(str(error)) from None
                    else:
                        failures = 0
                        self.log.add(answer)
                        yield answer
        finally:
            self.client.stopped.set()
            for future in running:
                self._note_late(future)
            executor.shutdown(wait=True, cancel_futures=True)
            self.client.stopped.clear()

    def _note_failure(self, question: Question, reason: str) -> None:
        self.unanswered[question.key] = FAILED
        self.log.add_failure(reason, self.client.endpoint.retries + 1)

    def _note_late(self, future: Future[Answer]) -> None:
        """Keep an answer that was under way when the session ended: it was paid for."""
        try:
            if not future.cancel():
                self.log.add(future.result())
        except (BudgetSpent, NoAnswer, Stopped, SuffuseError):
            return

    def _answer(self, question: Question, sample: int, messages: Messages, form: Form) -> Answer:
        """Ask one question."""
        reply = self.client.complete(self.sampling.body(messages, form, sample), question.tokens)
        parsed = parse(reply.body, self.sampling.names)
        masses = None
        if parsed.name and form.logprobs:
            tokens = read_tokens(reply.body["choices"][0].get("logprobs"))
            masses = class_masses(tokens, parsed.name, self.sampling.names, last=self.sampling.rationale)
        found, most = (masses.found, masses.most) if masses else ({}, 1.0)
        return Answer(
            question.key, sample, parsed.name, parsed.reason, dict(found), most, parsed.rationale,
            reply.tokens, reply.attempts,
        )  # fmt: skip

    def _answer_or_rejection(self, question: Question, sample: int, messages: Messages, form: Form) -> Answer:
        """The same, of an endpoint that takes other questions in this form: what it rejects is an answer without a
        class."""
        try:
            return self._answer(question, sample, messages, form)
        except Rejected as error:
            return Answer(question.key, sample, None, REFUSED if error.filtered else REJECTED)

    def _give_up(self, questions: Sequence[Question], reason: str) -> None:
        """Leave the other questions without an answer. Raises SuffuseError where the recipe doesn't want that, or none
        has one."""
        where = self.client.endpoint.where
        if not self.abstain or not any((question.key, 0) in self.log.answers for question in questions):
            raise SuffuseError(
                "the endpoint doesn't answer", where=f"{where}.url", got=reason,
                hint="called again, it goes on with the questions that have no answer",
            )  # fmt: skip
        for question, _ in self.missing(questions):
            self.unanswered.setdefault(question.key, FAILED)
        say(f"notice: the endpoint doesn't answer any more ({reason}): the rows that are left are abstentions")


def count_reasons(reasons: Sequence[str]) -> str:
    """``refused: 3, unknown class: 1``, the commonest first."""
    return ", ".join(f"{reason}: {count:,}" for reason, count in Counter(reasons).most_common())
