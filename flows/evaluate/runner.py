"""Many requests to a few endpoints: concurrently, once each, within a budget, and resumed where a crash broke off.

`answer_all` is the engine (the judges of `judge.py` use it too); a signal stops it in order. `take` asks both models
about the same items, side by side, and has the scorer turn the answers into scores. Go on to `scorers/protocol.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Literal

import msgspec
from msgspec import Struct

from flows.evaluate.answers import Answer, unanswered
from flows.evaluate.endpoint import Client, Request, make_request
from flows.evaluate.journal import SYNC_S, Journal
from flows.evaluate.scorers.protocol import Case, Mark, Scorer
from schemas.errors import FlywheelError, SettingsError
from schemas.events import Candidate
from schemas.records import Item, Score
from schemas.settings import EvaluateSettings
from streams.processes.supervise import handling

Role = Literal["candidate", "champion"]
ROLES: tuple[Role, Role] = ("candidate", "champion")


class Progress(Struct, frozen=True):
    """How far an evaluation is; given to the caller twice a second."""

    done: int
    total: int
    unscored: int
    cost_usd: float | None


class Budget:
    """What an evaluation may still ask for. Answers found in the journal count: they were paid for by it.

    Requests in flight are not known to the cap on cost, so it may be passed by `connections` answers.
    """

    def __init__(self, settings: EvaluateSettings, models: Sequence[str]) -> None:
        unpriced = sorted(model for model in models if model not in settings.prices)
        if settings.max_cost_usd and unpriced:
            raise SettingsError(f"evaluate.max_cost_usd needs a price in evaluate.prices for {', '.join(unpriced)}")
        self._settings = settings
        self.requests = 0
        self.cost_usd = 0.0

    @property
    def spent(self) -> bool:
        """Whether no further request may be made."""
        most, dearest = self._settings.max_requests, self._settings.max_cost_usd
        return bool((most and self.requests >= most) or (dearest and self.cost_usd >= dearest))

    def begin(self) -> None:
        """Count a request that is about to be made."""
        self.requests += 1

    def add(self, model: str, answer: Answer, begun: int = 0) -> None:
        """Count an answer: what it cost, and its tries beyond those that were begun."""
        self.requests += answer.tries - begun
        self.cost_usd += cost(self._settings.prices, model, answer) or 0.0


def cost(prices: Mapping[str, tuple[float, float]], model: str, answer: Answer) -> float | None:
    """USD for one answer; None where the model has no price or the endpoint counts no tokens."""
    price = prices.get(model)
    if price is None or answer.input_tokens is None or answer.output_tokens is None:
        return None
    return (price[0] * answer.input_tokens + price[1] * answer.output_tokens) / 1e6


class Runner:
    """One evaluation's way to the endpoints: the client, the journal and the budget, used together."""

    def __init__(
        self,
        client: Client,
        journal: Journal,
        budget: Budget,
        settings: EvaluateSettings,
        watch: Callable[[Progress], None] | None = None,
    ) -> None:
        self._client, self._journal, self._budget, self._settings = client, journal, budget, settings
        self._watch = watch
        self._done = self._total = self._unscored = 0
        self.stopping = False
        """Whether `stop` was called."""

    def stop(self) -> None:
        """Begin no further request; those on their way are waited for and kept, then `answer_all` raises."""
        self.stopping = True
        self._client.stop()

    async def answer_all(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers in the order of the requests, which are begun in that order; equal requests are made once.

        Raises FlywheelError where answers cannot be kept, and where it was stopped.
        """
        unique = {request.key: request for request in requests}
        answers: dict[str, Answer] = {}
        waiting = iter(unique.values())
        self._total += len(unique)
        try:
            async with self._ticking(), asyncio.TaskGroup() as workers:
                for _ in range(min(self._settings.connections, len(unique))):
                    workers.create_task(self._work(waiting, answers))
        except ExceptionGroup as failed:  # the disk is full for all workers alike: one sentence will do
            raise failed.exceptions[0] from failed
        if self.stopping:
            raise FlywheelError(f"stopped: {len(self._journal)} answers are kept; start it again to ask for the rest")
        return [answers[request.key] for request in requests]

    async def _work(self, waiting: Iterator[Request], answers: dict[str, Answer]) -> None:
        for request in waiting:
            if self.stopping:
                return
            answer = answers[request.key] = await self._answer(request)
            self._done += 1
            self._unscored += answer.unscored is not None

    async def _answer(self, request: Request) -> Answer:
        if known := self._journal.get(request.key):
            self._budget.add(request.model, known)
            return known
        if self._budget.spent:
            return unanswered("budget", "evaluate.max_requests or evaluate.max_cost_usd is reached")
        self._budget.begin()
        answer = await self._client.ask(request)
        self._budget.add(request.model, answer, begun=1)
        self._journal.put(request.key, answer)
        return answer

    @asynccontextmanager
    async def _ticking(self) -> AsyncIterator[None]:
        ticks = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticks.cancel()
            with suppress(asyncio.CancelledError):
                await ticks
            self._journal.sync()
            self._tell()

    async def _tick(self) -> None:
        try:
            while True:
                await asyncio.sleep(SYNC_S)
                await asyncio.to_thread(self._journal.sync)
                self._tell()
        except Exception:  # whoever watches has seen why nothing more need be asked
            self.stop()
            raise

    def _tell(self) -> None:
        if self._watch:
            spent = self._budget.cost_usd if self._settings.prices else None
            self._watch(Progress(self._done, self._total, self._unscored, spent))


def is_whole(
    items: Sequence[Item], models: Mapping[Role, Candidate], settings: EvaluateSettings, journal: Journal
) -> bool:
    """Whether both models' answers are all in the journal: nobody need be asked, but for a judge."""
    return all(journal.get(request.key) for request in _requests(items, models, settings))


async def take(
    items: Sequence[Item],
    models: Mapping[Role, Candidate],
    settings: EvaluateSettings,
    scorer: Scorer,
    runner: Runner,
) -> list[Score]:
    """A score, or the named reason why there is none, for every item, model and sample."""
    plan = list(_side_by_side(items, settings.samples))
    requests = list(_requests(items, models, settings))
    answers = await runner.answer_all(requests)
    cases = [Case(item, role, sample, answer) for (item, role, sample), answer in zip(plan, answers, strict=True)]
    marks = await _marks(cases, scorer, runner)
    return [
        _score(case, mark, scorer.name, settings, models[case.role].model)
        for case, mark in zip(cases, marks, strict=True)
    ]


def _requests(items: Sequence[Item], models: Mapping[Role, Candidate], settings: EvaluateSettings) -> Iterator[Request]:
    for item, role, sample in _side_by_side(items, settings.samples):
        yield make_request(models[role], item.messages, item.tools, settings=settings, sample=sample)


def _side_by_side(items: Sequence[Item], samples: int) -> Iterator[tuple[Item, Role, int]]:
    """Each item to both models, one right after the other and each first in turn: what drifts hits both alike."""
    for sample in range(samples):
        for number, item in enumerate(items):
            for role in ROLES if (number + sample) % 2 else ROLES[::-1]:
                yield item, role, sample


async def _marks(cases: Sequence[Case], scorer: Scorer, runner: Runner) -> list[Mark]:
    """Marks in the cases' order; a scorer never sees a case without an answer."""
    answered = [case for case in cases if case.answer.unscored is None]
    marks = iter(await scorer.score(answered, runner.answer_all))
    return [Mark(None, case.answer.unscored) if case.answer.unscored else next(marks) for case in cases]


def _score(case: Case, mark: Mark, scorer: str, settings: EvaluateSettings, model: str) -> Score:
    answer = case.answer
    if settings.share_answers:  # given at another time, under another load: its latency compares with nothing
        answer = msgspec.structs.replace(answer, duration_ms=None, time_to_first_chunk_ms=None)
    return Score(
        item_id=case.item.item_id,
        role=case.role,
        scorer=scorer,
        score=mark.score,
        unscored=mark.unscored,
        sample=case.sample,
        output=answer.text if answer.unscored is None else answer.detail or None,
        unit=case.item.unit,
        slice=case.item.slice,
        duration_ms=answer.duration_ms,
        time_to_first_chunk_ms=answer.time_to_first_chunk_ms,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cost_usd=cost(settings.prices, model, answer),
        tries=answer.tries,
        answered=answer.unscored is None,
    )


def run(
    items: Sequence[Item],
    models: Mapping[Role, Candidate],
    settings: EvaluateSettings,
    scorer: Scorer,
    journal: Journal,
    watch: Callable[[Progress], None] | None = None,
) -> list[Score]:
    """`take`, from start to end, for callers without an event loop. The journal's answers are not asked for again.

    SIGINT and SIGTERM stop it in order: what was asked for is waited for and kept. A second one does not wait.
    """
    judges = [settings.judge_model] if scorer.asks else []
    budget = Budget(settings, [*(model.model for model in models.values()), *judges])

    async def whole() -> list[Score]:
        async with Client(settings, seed=len(items)) as client:
            runner = Runner(client, journal, budget, settings, watch)
            with _stopped_by_signals(runner):
                return await take(items, models, settings, scorer, runner)

    return asyncio.run(whole())


def _stopped_by_signals(runner: Runner) -> AbstractContextManager[None]:
    loop = asyncio.get_running_loop()

    def asked(*_: object) -> None:
        if runner.stopping:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(runner.stop)

    return handling(asked)
