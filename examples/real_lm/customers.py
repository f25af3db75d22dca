"""The bank's customers: who asks what in which turn, how they react, and what none of them ever says.

Reactions are those of `examples/support_bot/customers.py` (few thumbs, some of them wrong, agents who mend part of what
is escalated), but that a wrong booking is escalated more often than a wrong piece of advice. Go on to `models.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from examples.support_bot.customers import Kind, Request, Traffic
from examples.support_bot.utterances import Utterance

from .task import Case, cases

ESCALATED = 0.42
"""Of wrong calls, how many a customer takes to a human agent, who mends three in four of them."""
SECOND = 0.3
"""Of conversations, how many have a second request."""
PEOPLE = 5000
"""A bank has many customers, and hardly one comes twice a day: a sample of 120 requests is of some ninety people, as
many as the gate needs (`gate.min_units`)."""


class Customers(Traffic):
    """A seeded population, each of whose requests is asked once: nobody's wording comes back by itself."""

    moves: ClassVar[Mapping[Kind | None, float]] = {
        "escalate": ESCALATED, "retry": 0.10, "abandon": 0.08, "regenerate": 0.05, None: 0.35,
    }  # fmt: skip

    def __init__(self, turns: Sequence[Sequence[Case]], seed: int) -> None:
        """`turns` are the requests of the turns, the first turn's first."""
        super().__init__([utterance_of(case) for of_turn in turns for case in of_turn], seed)
        self._turns = turns

    def requests(self, n: int, turn: int, start: datetime, span: timedelta = timedelta(hours=8)) -> Iterator[Request]:
        """The first n requests of a turn in order of time, spread over `span`; a conversation's follow each other."""
        rng = self._rng("turn", turn)
        left, conversation, user = 0, -1, ""
        for index, case in enumerate(self._turns[turn - 1][:n]):
            if left == 0:
                left = 1 + (rng.random() < SECOND)
                conversation, user = conversation + 1, f"customer-{rng.randrange(PEOPLE):04d}"
            left -= 1
            time = start + span * ((index + 0.8 * rng.random()) / n)
            yield Request(turn, index, 1, user, f"conversation-{turn}-{conversation}", case.text, case.call, time)


class World:
    """Everything that anybody may say, dealt by use: no request is in two parts."""

    def __init__(self, seed: int, rows: int, turns: Sequence[int], untouched: int) -> None:
        """`rows` are written before the launch; `turns` are the requests of each turn, those of the watch the last."""
        drawn = iter(cases(rows + sum(turns), seed))
        self.seed_rows = [next(drawn) for _ in range(rows)]
        """What the first model is trained on."""
        self.turns = [[next(drawn) for _ in range(count)] for count in turns]
        self.untouched = cases(untouched, seed, held_out=True)
        """What accuracy is measured on: wordings and people that no turn has."""
        self.traffic = Customers(self.turns, seed)
        self.calls = {case.text: case.call for of_turn in self.turns for case in of_turn}
        """Of each request of the traffic, the right call: the truth, which only customers and reviewer know."""


def utterance_of(case: Case) -> Utterance:
    """A request as the customers of `examples/support_bot` know it: what it is about is its call."""
    return Utterance(case.text, case.call)
