"""The increment is the whole: after any events in any number of runs, outcomes are those of one run over all."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from flows.cluster.outcomes import changes
from flows.cluster.stage import judged_of
from flows.maintain.stage import maintain
from schemas.events import Erasure
from streams.lake.query import query, read
from tests.support.clusters import START, World, asked, event_id, said
from tests.support.index import fold

KINDS = ("thumb", "retry", "copy", "judge", "correction", "reviewer", "comment")
SPEAKERS = ("user-a", "user-b", "user-c", None)
SEEN = """
SELECT interaction_id, outcome, score, reasons, signals, text, left_out, speakers, voices, found
FROM outcomes ORDER BY interaction_id
"""


class Increment(RuleBasedStateMachine):
    """Events come in any order: late, doubled, taken back, ahead of what they are about; and people leave."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name), feedback_cap=2)
        self.asked: list[Any] = []
        self.held: list[Any] = []
        """Made, and not yet come: feedback on them may come first."""
        self.said: list[Any] = []
        self.days, self.erased = 1.0, 0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(n=st.integers(1, 5), user=st.sampled_from(SPEAKERS[:3]), bad=st.booleans(), late=st.booleans())
    def ask(self, n: int, user: str, bad: bool, late: bool) -> None:
        """Some interactions, of which the last may come only later."""
        first = len(self.asked) + len(self.held)
        answers = {"output_messages": []} if bad else {}
        new = [asked(first + i, f"question {(first + i) % 5}", user_id=user, **answers) for i in range(n)]
        come = new[:-1] if late else new
        self.held += new[len(come) :]
        self.asked += come
        self.world.happened(*come)

    @precondition(lambda self: self.held)
    @rule()
    def come_late(self) -> None:
        """What was held back comes."""
        self.world.happened(*self.held)
        self.asked, self.held = self.asked + self.held, []

    @precondition(lambda self: self.asked or self.held)
    @rule(data=st.data(), kind=st.sampled_from(KINDS), good=st.booleans(), who=st.sampled_from(SPEAKERS))
    def say(self, data: st.DataObject, kind: str, good: bool, who: str | None) -> None:
        """Somebody speaks of an interaction, or of several: more than the cap of one day."""
        about = data.draw(st.lists(st.sampled_from(self.asked + self.held), min_size=1, max_size=4))
        valued = kind in {"thumb", "judge", "reviewer"}
        extra: dict[str, Any] = {"text": "so"} if kind in {"comment", "correction"} else {}
        extra |= {"source": f"{kind}:{'ab'[good]}"} if kind == "judge" else {}
        new = [said(row, kind, float(good) if valued else None, user_id=who, **extra) for row in about]
        self.said += new
        self.world.happened(*new)

    @precondition(lambda self: self.said)
    @rule(data=st.data(), how=st.sampled_from(["supersedes", "retracts"]))
    def take_back(self, data: st.DataObject, how: str) -> None:
        """Something is replaced or taken back, whoever's it was."""
        old = data.draw(st.sampled_from(self.said))
        row = next(row for row in self.asked + self.held if row.id == old.interaction_id)
        new = said(row, "thumb", 1.0, user_id=old.user_id, **({"source": old.source} | {how: old.id}))
        self.said.append(new)
        self.world.happened(new)

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def come_twice(self, data: st.DataObject) -> None:
        """A retry of the producer."""
        self.world.happened(data.draw(st.sampled_from(self.asked + self.said)))

    @precondition(lambda self: self.asked)
    @rule(user=st.sampled_from(SPEAKERS[:3]))
    def forget(self, user: str) -> None:
        """Somebody asks to be forgotten, up to now."""
        self.erased += 1
        now = START + timedelta(seconds=len(self.asked) // 2)
        self.world.happened(Erasure(id=event_id(77_000_000 + self.erased), time=now, subject=user))

    @precondition(lambda self: self.asked)
    @rule()
    def maintain(self) -> None:
        """The night's work: files are joined, what was superseded and who was erased goes."""
        maintain(self.world.lake, self.world.settings, START + timedelta(days=self.days), hashes=False)

    @precondition(lambda self: self.asked)
    @rule()
    def fold(self) -> None:
        """The web app's index goes on from where it was, and is the one that is made anew."""
        with tempfile.TemporaryDirectory() as other:
            lake = self.world.lake
            assert fold(Path(self.folder.name), lake) == fold(Path(other), lake)

    @precondition(lambda self: self.asked)
    @rule()
    def run(self) -> None:
        """A cluster run, after which outcomes are those of a run over everything; started again it writes nothing."""
        if not judged_of(self.world.lake, self.world.settings).outcomes:
            return
        reliabilities = self.judge()
        lake = self.world.lake
        whole = judged_of(lake, self.world.settings)
        found = query(lake, SEEN, lake.versions(["outcomes"])).to_pylist()
        rows = whole.rows.table().sort_by("interaction_id")
        assert found == rows.select(list(found[0]) if found else []).to_pylist()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(changes, "TOGETHER", 3)
            by_days = judged_of(lake, self.world.settings)
        assert (by_days.outcomes, by_days.tally) == (whole.outcomes, whole.tally)
        assert by_days.fitted.verdicts == whole.fitted.verdicts
        assert reliabilities == whole.reliability.sources
        before = read(lake, "outcomes").num_rows, read(lake, "voices").num_rows
        self.judge()
        assert (read(lake, "outcomes").num_rows, read(lake, "voices").num_rows) == before

    def judge(self) -> Any:
        self.days += 1
        return self.world.judge(self.days).reliability.sources


Increment.TestCase.settings = settings(
    max_examples=6,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestIncrement = Increment.TestCase
