"""The customers: who asks what and when, and how they react to the answer; all of it follows from one seed.

No clock, no network: the caller sends each `Request` to the bot, asks for the `reactions` to its answer, and tells
Kafka. Each draw is keyed by (seed, turn, request), so a concurrent caller sees the same world as a patient one.

Rates are round numbers of the right size for a support bot: most answers get no reaction, few people click thumbs,
some thumbs are wrong, and human agents mend part of what is escalated to them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from .utterances import Utterance

Kind = Literal["thumb", "rating", "comment", "correction", "regenerate", "copy", "abandon", "escalate", "retry"]

REQUESTS_PER_USER = 6
RETURNING = 0.6
"""Of a turn's users, those who were there in the turn before: train and eval must cope with people who come back."""
MAX_CONVERSATION = 4
"""Requests in one conversation: 1 to 4, 2.2 on average."""
MAX_ATTEMPTS = 3
"""A customer asks the same thing at most this often."""
TURNS_UNTIL_REPEAT = 3
"""Consecutive turns start this many parts of a label's utterances apart, so that texts come back late."""

THUMB = 0.25
WRONG_THUMB = 0.04
RATING = 0.05
COPY_IF_RIGHT = 0.06
COMMENT_IF_RIGHT, COMMENT_IF_WRONG = 0.02, 0.08
CORRECTION_IF_ESCALATED = 0.75
MOVES_IF_WRONG: dict[Kind | None, float] = {
    "escalate": 0.28, "retry": 0.14, "abandon": 0.10, "regenerate": 0.08, None: 0.40,
}  # fmt: skip
"""What a customer with a wrong answer does next, at most one of these."""

THANKS = (
    "That's exactly what I needed, thank you.", "Perfect, cheers", "ok got it", "Very quick answer, thanks!",
    "Clear and helpful.", "solved, thx",
)  # fmt: skip
COMPLAINTS = (
    "This has nothing to do with my question.", "wrong answer", "You didn't read what I wrote.",
    "That's about something else entirely", "Not helpful at all.", "I asked something different!!",
    "no. that isn't my problem", "Doesn't answer it, please try to understand.", "useless",
    "Are you a robot? Read again.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that one customer asks."""

    turn: int
    index: int
    """Position in the turn, from 0; a second attempt keeps the index of the first."""
    attempt: int
    """1, or more where the customer asks again."""
    user_id: str
    conversation_id: str
    text: str
    label: str
    """What it is really about; the bot never sees it."""
    time: datetime


@dataclass(frozen=True, slots=True)
class Reaction:
    """One thing that somebody does about one answer; the fields are those of a feedback event."""

    kind: Kind
    delay_s: float
    """Seconds after the answer."""
    value: float | None = None
    """thumb: 0 or 1. rating: (stars - 1) / 4."""
    text: str | None = None
    """comment: what was said. correction: the right reply. retry: the question put differently."""
    source: str = "user"
    """Who: the customer, or a human agent who corrects."""


class Traffic:
    """A seeded population of customers who draw from given utterances."""

    moves: Mapping[Kind | None, float] = MOVES_IF_WRONG
    """What those with a wrong answer do next."""

    def __init__(self, utterances: Sequence[Utterance], seed: int) -> None:
        if not utterances:
            raise ValueError("customers need utterances to draw from")
        self._seed = seed
        rng = self._rng("utterances")
        self._texts: dict[str, list[str]] = {}
        for row in sorted(utterances, key=lambda row: (row.label, row.text)):
            self._texts.setdefault(row.label, []).append(row.text)
        for texts in self._texts.values():
            rng.shuffle(texts)
        ranked = sorted(self._texts)
        rng.shuffle(ranked)
        self._popularity = {label: 1 / (rank + 10) ** 0.7 for rank, label in enumerate(ranked)}
        """Of 52 topics the most asked gets 3.5 times what the least asked gets."""

    def requests(self, n: int, turn: int, start: datetime, span: timedelta = timedelta(hours=8)) -> Iterator[Request]:
        """The n requests of a turn in order of time, spread over `span`; a conversation's requests follow each other.

        Topics are drawn from a skewed mix that drifts from this turn's into the next one's.
        """
        rng = self._rng("turn", turn)
        now, later = self._mix(turn), self._mix(turn + 1)
        labels = list(now)
        drawn = dict.fromkeys(labels, 0)
        left, conversation, user = 0, -1, ""
        for index in range(n):
            if left == 0:
                left = 1 + sum(rng.random() < 0.4 for _ in range(MAX_CONVERSATION - 1))
                conversation, user = conversation + 1, self._user(turn, n, rng)
            left -= 1
            mix = later if rng.random() < index / n else now
            label = rng.choices(labels, weights=list(mix.values()))[0]
            text = self._text(label, turn, drawn[label])
            drawn[label] += 1
            time = start + span * ((index + 0.8 * rng.random()) / n)
            yield Request(turn, index, 1, user, f"conversation-{turn}-{conversation}", text, label, time)

    def reactions(self, request: Request, answer: str, right_reply: str) -> list[Reaction]:
        """What comes back about an answer, in order of time; mostly nothing.

        The answer is right when it is the right reply, but for surrounding space.
        """
        rng = self._rng("reaction", request.turn, request.index, request.attempt)
        right = answer.strip() == right_reply.strip()
        found = [*_opinions(rng, right), *(_copies(rng) if right else self._moves(request, right_reply, rng))]
        return sorted(found, key=lambda reaction: reaction.delay_s)

    def follow_up(self, request: Request, reaction: Reaction) -> Request | None:
        """The request that a `retry` or `regenerate` leads to, in the same conversation; None for other reactions."""
        if reaction.kind not in {"retry", "regenerate"} or request.attempt >= MAX_ATTEMPTS:
            return None
        time = request.time + timedelta(seconds=reaction.delay_s)
        return replace(request, attempt=request.attempt + 1, text=reaction.text or request.text, time=time)

    def _moves(self, request: Request, right_reply: str, rng: random.Random) -> Iterator[Reaction]:
        move = rng.choices(list(self.moves), weights=list(self.moves.values()))[0]
        if move in {"retry", "regenerate"} and request.attempt >= MAX_ATTEMPTS:
            move = "abandon"
        if move is None:
            return
        delay = _delay(rng, seconds=25)
        yield Reaction(move, delay, text=rng.choice(self._texts[request.label]) if move == "retry" else None)
        if move == "escalate" and rng.random() < CORRECTION_IF_ESCALATED:
            yield Reaction("correction", delay + _delay(rng, seconds=900), text=right_reply, source="reviewer:agent")

    def _user(self, turn: int, n: int, rng: random.Random) -> str:
        """A user of this turn's window of the population, who shares `RETURNING` of it with the turn before."""
        size = max(1, n // REQUESTS_PER_USER)
        first = round(turn * size * (1 - RETURNING))
        return f"user-{first + int(size * rng.random() ** 1.5):05d}"

    def _mix(self, turn: int) -> dict[str, float]:
        rng = self._rng("mix", turn)
        return {label: weight * rng.lognormvariate(0, 0.35) for label, weight in self._popularity.items()}

    def _text(self, label: str, turn: int, drawn: int) -> str:
        texts = self._texts[label]
        stride = -(-len(texts) // TURNS_UNTIL_REPEAT)
        return texts[(turn * stride + drawn) % len(texts)]

    def _rng(self, *key: object) -> random.Random:
        return random.Random(":".join(map(str, (self._seed, *key))))


def _opinions(rng: random.Random, right: bool) -> Iterator[Reaction]:
    if rng.random() < THUMB:
        happy = right if rng.random() >= WRONG_THUMB else not right
        yield Reaction("thumb", _delay(rng, seconds=15), value=float(happy))
    if rng.random() < RATING:
        stars = rng.choice((4, 5, 5) if right else (1, 1, 2))
        yield Reaction("rating", _delay(rng, seconds=120), value=(stars - 1) / 4)
    if rng.random() < (COMMENT_IF_RIGHT if right else COMMENT_IF_WRONG):
        yield Reaction("comment", _delay(rng, seconds=60), text=rng.choice(THANKS if right else COMPLAINTS))


def _copies(rng: random.Random) -> Iterator[Reaction]:
    if rng.random() < COPY_IF_RIGHT:
        yield Reaction("copy", _delay(rng, seconds=10))


def _delay(rng: random.Random, *, seconds: float) -> float:
    """A skewed delay with the given median; 95 % lie between a fifth and five times of it."""
    return round(seconds * rng.lognormvariate(0, 0.8), 3)
