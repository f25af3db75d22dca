"""The running flywheel as this demo uses it: `examples/support_bot/client.py`, with candidates that a command serves.

What `flywheel candidate add --command … --model-dir …` does by hand is `enter` here, since a demo's days are not the
wall clock's. Go on to `demo.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from examples.support_bot.client import Client, Judged
from examples.support_bot.reviewer import NAME, Reviewer
from flows import training
from flows.announce import Announcer, tell
from flows.evaluate import server
from flows.evaluate.reviewing import Recorded, record_reviews, to_review
from flows.evaluate.stage import evaluate, newest
from flows.evaluations import evaluation_of
from flows.ledger import fold
from flows.prefect_api import Orchestrator
from flows.promote.stage import promote
from flows.versions import Version, versions
from schemas.errors import FlywheelError, NotEnoughData
from schemas.events import Candidate, Decision, Event, to_json
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.query import query

from .sent import Sent

AT_REST = "SELECT id FROM interactions UNION SELECT id FROM feedback"


class Measured(Struct, frozen=True, kw_only=True):
    """What the comparison behind a decision says."""

    requests: int = 0
    differ: int = 0
    """Answered differently by the two."""
    reviewed: int = 0
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    latency_ratio: float | None = None


class Wheel(Client):
    """The flywheel's processes, and the commands that serve candidates."""

    def __init__(self, settings: Settings, lake: Lake, prefect: Orchestrator, occasion: str, sent: Sent) -> None:
        """`sent` is where the ids of the reviews' events are written down."""
        super().__init__(settings, lake, prefect, occasion)
        self.sent = sent
        self._told: dict[str, str] = {}

    def review(self, reviewer: Reviewer, now: datetime) -> Recorded:
        """What the gate asks to be reviewed, reviewed; the ids of its events are written down before they go."""
        evaluation = newest(self.lake, self.settings.application)
        answers = reviewer.answer(to_review(self.lake, self.settings, evaluation, NAME))

        def send(events: Iterable[Event]) -> None:
            told = list(events)
            self.sent.add([str(event.id) for event in told])
            tell(self.settings, told)

        return record_reviews(self.lake, self.settings, evaluation, answers, NAME, now, send)

    def champion(self) -> Candidate:
        """Who serves, by the ledger. Raises FlywheelError where nobody does."""
        if champion := fold(self.lake, self.settings.application).champion:
            return champion
        raise FlywheelError(f"{self.settings.application} has no champion")

    def at_rest(self) -> set[str]:
        """The ids of all interactions and feedback in the lake."""
        found = query(self.lake, AT_REST, self.lake.versions(("interactions", "feedback")))
        return set(found["id"].to_pylist())

    def decisions(self) -> Sequence[Decision]:
        """The ledger of the application, oldest first."""
        return fold(self.lake, self.settings.application).decisions

    def enter(self, candidate: Candidate, now: datetime, command: str, folder: Path | None) -> None:
        """Register a candidate with the command that serves it, and what its model's folder says of its training."""
        made = training.read(folder) if folder else None
        if made:
            training.version_of(made, versions(self.lake, self.settings.application))
        self.keep(candidate, command)
        self._told[candidate.id] = to_json(made) if made else ""
        self.register(candidate, now)

    def register(self, candidate: Candidate, now: datetime, training: str = "") -> None:
        """Record a candidate, with what was said of its training when it was entered."""
        super().register(candidate, now, training or self._told.get(candidate.id, ""))

    def keep(self, candidate: Candidate, command: str) -> None:
        """Keep the command that serves a candidate in this home."""
        server.keep(self.settings.home_path, candidate.id, command, Path.cwd())

    def judge_as_good(self, candidate: Candidate, now: datetime, reviewer: Reviewer) -> Judged:
        """A decision under the policy `as_good`, for what should be cheaper and no worse: evaluated in this process.

        Prefect's runs have the settings that they were started with, whose policy is `better`.
        """
        gate = msgspec.structs.replace(self.settings.gate, policy="as_good")
        settings = msgspec.structs.replace(self.settings, gate=gate)
        reviews = events = 0
        for _ in range(len(gate.reviews) + 1):
            evaluation = evaluate(self.lake, settings, now, candidate.id).evaluation_id
            with Announcer(settings) as announce:
                promote(self.lake, settings, now, evaluation, announce)
            if decision := self.decision(candidate):
                return Judged(decision, reviews, events)
            done = self.review(reviewer, now)
            reviews, events = reviews + done.answers, events + done.events
        raise NotEnoughData(self.undecided())

    def measured(self, evaluation: str = "") -> Measured:
        """What an evaluation found; the newest where none is named."""
        evaluation = evaluation or newest(self.lake, self.settings.application)
        comparison = evaluation_of(self.lake, self.settings.application, evaluation).comparison
        overall, latency = comparison.overall, comparison.guards.get("duration_ms", {})
        return Measured(
            requests=comparison.sampled.requests if comparison.sampled else overall.items,
            differ=overall.differ or 0,
            reviewed=overall.reviewed or 0,
            difference=overall.difference,
            low=overall.low,
            high=overall.high,
            latency_ratio=latency.get("ratio"),
        )

    def version(self, path: str) -> Version:
        """The dataset version whose folder this is. Raises FlywheelError where there is none."""
        for version in versions(self.lake, self.settings.application):
            if version.folder(self.settings).resolve() == Path(path).resolve():
                return version
        raise FlywheelError(f"no dataset version lies in {path}")

    def rolled_back(self, candidate: Candidate) -> Decision | None:
        """The decision that took a candidate back, if one did."""
        mine = (d for d in self.decisions() if d.action == "rolled_back" and d.candidate.id == candidate.id)
        return next(mine, None)
