"""The running flywheel as the demo sees it: wait for the lake, ask for a turn, register a candidate, count.

Everything goes the way that a user's program would take: Kafka, the Prefect server's API, the lake's tables. Go on to
`demo.py`.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from flows.announce import Announcer, tell
from flows.evaluate.reviewing import Recorded, record_reviews, to_review
from flows.evaluate.stage import newest
from flows.ledger import bootstrap, fold, register
from flows.prefect_api import TURN, FlowRun, Orchestrator, request_evaluation, served
from flows.promote.stage import gather, judge
from flows.run import latest
from flows.seal import seal_of
from schemas.errors import FlywheelError, NotEnoughData
from schemas.events import Candidate, Decision
from schemas.settings import Settings
from schemas.topics import ARCHIVED
from streams.admin import Admin
from streams.lake import Lake
from streams.lake.append import committed_id
from streams.lake.query import query

from .reviewer import NAME, Reviewer

ARCHIVE_TIMEOUT_S = 120.0
"""A killed archiver is back within seconds; two minutes without progress is a fault to report."""
FLOW_TIMEOUT_S = 900.0
"""A stage of the demo takes seconds; a busy machine may need minutes."""
POLL_S = 0.5
COUNTS = """
SELECT (SELECT count(*) FROM interactions) AS interactions, (SELECT count(*) FROM feedback) AS feedback,
       (SELECT count(*) FROM dead_letters WHERE kafka_topic IN ($interactions, $feedback)) AS dead_letters
"""
FAILED = """
SELECT count(*) FILTER (WHERE outcomes.outcome = 'failed') AS failed, count(*) AS interactions
FROM outcomes JOIN interactions ON interactions.id = outcomes.interaction_id
WHERE outcomes.application = $application AND interactions.time >= $since
"""


class Judged(msgspec.Struct, frozen=True):
    """What came of a candidate."""

    decision: Decision
    reviews: int
    """Disagreements that were reviewed for it."""
    events: int
    """Feedback events that this made."""


class Client:
    """The flywheel's processes under one set of settings, in the state of a program that uses them."""

    def __init__(self, settings: Settings, lake: Lake, prefect: Orchestrator, occasion: str = "demo") -> None:
        """`occasion` is in the keys of the runs that are asked for: the same one twice finds the run of the first."""
        self.settings = settings
        self.lake = lake
        self._prefect = prefect
        self._occasion = occasion

    def wait_archived(self) -> None:
        """Return when every event that Kafka holds is at rest. Raises FlywheelError when it is not in time."""
        deadline = time.monotonic() + ARCHIVE_TIMEOUT_S
        while behind := self._behind():
            if time.monotonic() > deadline:
                raise FlywheelError(
                    f"{behind} events are not in the lake after {ARCHIVE_TIMEOUT_S:.0f} s: see archiver.log"
                )
            time.sleep(POLL_S)

    def turn(self, as_of: datetime) -> dict[str, Any]:
        """Cluster and curate as of a time; the summary of each."""
        application = self.settings.application
        parameters = {"application": application, "as_of": as_of.isoformat()}
        run = self._prefect.start(
            served(TURN, application), parameters, f"{self._occasion}:{application}:{as_of.isoformat()}"
        )
        self._finish(run, TURN)
        done = latest(self.lake, "turn", application)
        if done is None:
            raise FlywheelError(
                f"flow run {run and run.name} ended, and no turn is recorded: look at {self._prefect.page}"
            )
        return done.told(dict[str, Any])

    def first_champion(self, candidate: Candidate, now: datetime) -> None:
        """Put the first model in charge: there is nobody to compare it with."""
        with Announcer(self.settings) as announce:
            reason = "the demo's first model: nothing served before it"
            seal = seal_of(self.settings)
            announce(bootstrap(self.lake, self.settings.application, candidate, reason, time=now, seal=seal))

    def judge(self, candidate: Candidate, now: datetime, reviewer: Reviewer) -> Judged:
        """Register a candidate, have its disagreements reviewed as the gate asks, and return the decision about it.

        Raises NotEnoughData where none is recorded: the candidate waits.
        """
        self.register(candidate, now)
        reviews = events = 0
        for occasion in range(len(self.settings.gate.reviews) + 1):
            run = request_evaluation(self.settings, candidate.id, f"{self._occasion}:{occasion}", now.isoformat())
            self._finish(run, candidate.model)
            if decision := self.decision(candidate):
                return Judged(decision, reviews, events)
            done = self.review(reviewer, now)
            reviews, events = reviews + done.answers, events + done.events
        raise NotEnoughData(self.undecided())

    def undecided(self) -> str:
        """What the gate says of the newest evaluation, about which it has decided nothing yet."""
        evidence = gather(self.lake, self.settings, newest(self.lake, self.settings.application))
        said = judge(evidence, fold(self.lake, self.settings.application), self.settings.gate)
        return f"it waits for more {said.waits_for or 'evidence'}: {said.reasons[0]}"

    def register(self, candidate: Candidate, now: datetime, training: str = "") -> None:
        """Record a candidate; `training` says what made it, as JSON of `flows.training.Training`."""
        with Announcer(self.settings) as announce:
            seal, application = seal_of(self.settings), self.settings.application
            announce(register(self.lake, application, candidate, time=now, training=training, seal=seal))

    def decision(self, candidate: Candidate) -> Decision | None:
        """What was decided about a candidate last; None where nothing was yet."""
        decisions = reversed(fold(self.lake, self.settings.application).decisions)
        mine = (d for d in decisions if d.candidate.id == candidate.id and d.action != "registered")
        return next(mine, None)

    def review(self, reviewer: Reviewer, now: datetime) -> Recorded:
        """What the gate asks to be reviewed of the newest evaluation, reviewed; its events go to Kafka."""
        evaluation = newest(self.lake, self.settings.application)
        answers = reviewer.answer(to_review(self.lake, self.settings, evaluation, NAME))
        send = partial(tell, self.settings)
        return record_reviews(self.lake, self.settings, evaluation, answers, NAME, now, send)

    def counts(self) -> tuple[int, int]:
        """Interactions and feedback at rest, and dead letters of their topics."""
        versions = self.lake.versions(("interactions", "feedback", "dead_letters"))
        names = {topic.table: topic.name for topic in ARCHIVED if topic.table in {"interactions", "feedback"}}
        row = query(self.lake, COUNTS, versions, names).to_pylist()[0]
        return row["interactions"] + row["feedback"], row["dead_letters"]

    def failure_rate(self, since: datetime) -> float:
        """Failed outcomes per interaction since a time, by the newest outcomes."""
        versions = self.lake.versions(("interactions", "outcomes"))
        given = {"application": self.settings.application, "since": since}
        row = query(self.lake, FAILED, versions, given).to_pylist()[0]
        return float(row["failed"] / max(1, row["interactions"]))

    def _behind(self) -> int:
        names = [topic.name for topic in ARCHIVED]
        admin = Admin(self.settings.kafka)
        ids = admin.topic_ids(names)
        offsets = admin.offsets(names)
        behind = 0
        for topic in ARCHIVED:
            held = {partition: found.latest for (name, partition), found in offsets.items() if name == topic.name}
            for partition, end in held.items():
                committed = self.lake.committed(topic.table, committed_id(topic.name, ids[topic.name], partition))
                behind += end - (committed or 0)
        return behind

    def _finish(self, run: FlowRun | None, what: str) -> None:
        """Wait for a flow run's end. Raises FlywheelError unless it completed."""
        if run is None:
            raise FlywheelError(f"the Prefect server did not take the run of {what}: is {self._prefect.page} up?")
        deadline = time.monotonic() + FLOW_TIMEOUT_S
        while (found := self._prefect.find(run.id)) is None or found.state_type in {"SCHEDULED", "PENDING", "RUNNING"}:
            if time.monotonic() > deadline:
                raise FlywheelError(f"flow run {run.name} ({what}) did not end in {FLOW_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
        if found.state_type != "COMPLETED":
            raise FlywheelError(
                f"flow run {run.name} ({what}) ended {found.state_type}: {self._prefect.page}/runs/flow-run/{run.id}"
            )
