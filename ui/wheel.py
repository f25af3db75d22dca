"""Is the wheel turning? One sentence, since when and why. Pure.

Go on to `pages/overview.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from schemas.events import Decision
from ui.health import Health
from ui.words import instant, many, span

LATE = timedelta(hours=3)
"""A turn is hourly: after three without one something holds it."""


class Answer(Struct, frozen=True):
    """The sentence, what it is about, and what to do."""

    state: str
    """turning, waits, still, trouble or empty."""
    title: str
    why: str
    since: datetime | None = None


class Facts(Struct, frozen=True, kw_only=True):
    """What the sentence rests on."""

    now: datetime
    interactions: int
    newest: datetime | None
    """When the newest interaction was asked."""
    turned: datetime | None
    """The instant of the newest finished turn."""
    decisions: Sequence[Decision]
    approvals: int = 0
    """Candidates that only a person's word keeps from serving."""
    reviews: int = 0
    """Candidates that reviews would let be decided."""
    waiting: int = 0
    """Candidates that nothing was decided about."""


def sentence(facts: Facts, health: Health) -> Answer:
    """The first that holds: the archiver stopped, nothing came, no turn, a person is awaited, none was better."""
    if health.archiver_stopped and health.still_since:
        waits = many(health.behind, "event")
        return Answer(
            "trouble",
            "The archiver has stopped",
            f"{waits} wait in Kafka and none has come to rest for {span(facts.now - health.still_since)}. "
            "See run/archiver.log below the home, then start `flywheel up` again.",
            health.still_since,
        )
    if not facts.interactions:
        return Answer("empty", "Nothing has come yet", "Send a first interaction: docs/quickstart.md shows how.")
    if facts.turned is None:
        return Answer(
            "still", "The wheel has not turned yet", "Events have come to rest: `flywheel turn` makes the first turn."
        )
    if facts.approvals:
        return Answer("waits", "The wheel waits for you", f"{_candidates(facts.approvals)} to be approved or held.")
    if facts.reviews:
        few = many(facts.reviews, "candidate")
        return Answer("waits", "The wheel waits for reviews", f"Without them {few} cannot be decided.")
    return _turning(facts)


def behind(newest: datetime | None, turned: datetime) -> timedelta | None:
    """How much later than the newest turn the newest interaction was asked, where that is more than LATE."""
    return newest - turned if newest and newest - turned > LATE else None


def _turning(facts: Facts) -> Answer:
    changes = [one for one in facts.decisions if one.action in {"promoted", "rolled_back"}]
    if not changes:
        return Answer(
            "waits",
            "The wheel has no champion",
            "Failures are clustered and datasets built; `flywheel champion set` names who serves.",
        )
    last = changes[-1]
    serves = last.champion.model if last.champion else "nobody"
    held = [one for one in facts.decisions if one.action == "held" and one.sequence > last.sequence]
    since = f"{serves} serves since {instant(last.time)}."
    if facts.turned and (late_by := behind(facts.newest, facts.turned)):
        late = f"The last turn is as of {instant(facts.turned)}: {span(late_by)} of events wait."
        return Answer(
            "still", "The wheel stands still", f"{since} {late} `flywheel status` says what runs.", facts.turned
        )
    if last.action == "rolled_back":
        return Answer(
            "still", "The wheel has turned back", f"{last.candidate.model} was rolled back; {since}", last.time
        )
    if len(held) >= 2:
        names = ", ".join(dict.fromkeys(one.candidate.model for one in held[-4:]))
        why = f"{since} Each candidate since was held: {names}. Events come to rest, clusters and datasets are new."
        return Answer("still", f"The wheel stands still: {len(held)} candidates held", why, held[0].time)
    return Answer("turning", "The wheel is turning", f"{since} {_next(facts, held)}", last.time)


def _next(facts: Facts, held: Sequence[Decision]) -> str:
    if facts.waiting:
        return f"{_candidates(facts.waiting)} to be evaluated."
    if held:
        return f"{held[-1].candidate.model} was held since: not shown to be better."
    return "No candidate has come since."


def _candidates(number: int) -> str:
    return f"{many(number, 'candidate')} {'waits' if number == 1 else 'wait'}"
