"""Experiments: shares follow what is seen, errors hold whatever the traffic does, and what was counted stays."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from scipy.stats import binom
from typer.testing import CliRunner

from flows.cli import app
from flows.cluster.stage import cluster
from flows.promote.experiment import (
    DRAWS,
    FLOOR,
    Experiment,
    Tally,
    User,
    known,
    look,
    look_at,
    looks,
    shares,
    started,
    stop,
    variant_of,
)
from flows.testing.events import feedback, interaction
from flows.turn import turn
from llm_flywheel import variant
from schemas.errors import UsageError
from schemas.events import Event, Feedback, Interaction
from schemas.settings import GateSettings, Settings, TriageSettings
from schemas.topics import FEEDBACK, INTERACTIONS
from streams.lake import Lake
from tests.support.archived import arrive

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ARMS = ("champion", "bot-2", "bot-3")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=str(tmp_path / "home"), application="shop", gate=GateSettings(alpha=0.05),
        triage=TriageSettings(canary_delay_s=3600.0, canary_accounts=0),
    )  # fmt: skip


@pytest.fixture
def begun(tmp_path: Path, settings: Settings) -> Experiment:
    return started(Lake(tmp_path / "lake"), settings, "exp-1", ARMS, NOW, slow_ms=0, decided_by="ada")


def dealt(
    one: Experiment, hours: int, fails: dict[str, float], seed: int, users: int = 60, drift: float = 1.0
) -> Experiment:
    """Looks by the hour at users who are dealt by the newest shares, while every request gets harder."""
    dice, all_users = random.Random(seed), []
    for hour in range(1, hours + 1):
        for n in range(users):
            unit = f"user:{seed}-{hour}-{n}"
            arm = variant(unit, one.shares, salt=one.experiment)
            harder = 1 + (drift - 1) * hour / hours
            bad = dice.random() < fails[arm] * harder
            all_users.append(User(unit, arm, NOW + HOUR * (hour - 1) + timedelta(seconds=n), False, False, bad))
        one = look(one, all_users, NOW + HOUR * (hour + 1))
        if one.action == "stopped":
            break
    return one


def test_of_equal_arms_none_is_dropped_though_shares_and_traffic_change(begun: Experiment) -> None:
    """A hundred experiments in which requests become twice as hard: hardly any ends, and looking is free."""
    ended = sum(bool(dealt(begun, 30, dict.fromkeys(ARMS, 0.2), seed, drift=2.0).dropped) for seed in range(100))

    assert ended <= binom.isf(0.001, 100, 0.05)


def test_the_best_of_three_is_left_and_has_got_most_of_the_users(begun: Experiment) -> None:
    """Five failures in ten, four, and one: the third wins, the others are dropped with evidence."""
    ends = [dealt(begun, 60, {"champion": 0.5, "bot-2": 0.4, "bot-3": 0.1}, seed) for seed in range(10)]

    assert [one.winner for one in ends] == ["bot-3"] * 10
    assert all(set(one.dropped) == {"champion", "bot-2"} for one in ends)
    assert all("fails more than" in why for one in ends for why in one.dropped.values())
    assert sum(one.tallies["bot-3"].users for one in ends) > sum(one.tallies["champion"].users for one in ends)
    assert all(one.shares["bot-3"] == 1.0 for one in ends)


def test_an_arm_that_errs_or_is_slow_is_dropped_by_its_guard(begun: Experiment) -> None:
    """Its answers are as good: half of its users meet an error, or a wait, which the control's do not."""
    for field, said in (("errors", "errs for more users than champion"), ("slow", "takes longer than")):
        users = [
            User(
                f"u{n}", ARMS[n % 3], NOW + timedelta(seconds=n), failed=n % 10 < 2,
                errors=field == "errors" and n % 6 == 4, slow=field == "slow" and n % 6 == 4,
            )
            for n in range(900)
        ]  # fmt: skip
        after = look(begun, users, NOW + 5 * HOUR)

        assert list(after.dropped) == ["bot-2"]
        assert said in after.dropped["bot-2"]
        assert after.shares["bot-2"] == 0.0
        assert sum(after.shares.values()) == pytest.approx(1)


def test_shares_are_chances_to_be_best_with_a_floor(begun: Experiment) -> None:
    """By Thompson: the chance that a draw from its posterior is the highest, as numerical integration has it."""
    tallies = {"champion": Tally(100, 100, 50), "bot-2": Tally(100, 100, 45), "bot-3": Tally(100, 100, 20)}
    two = msgspec.structs.replace(begun, tallies=tallies, dropped={"bot-3": "why"})
    beta = pytest.importorskip("scipy.stats").beta
    best = pytest.importorskip("scipy.integrate").quad(
        lambda x: beta.pdf(x, 56, 46) * beta.cdf(x, 51, 51), 0, 1
    )[0]  # fmt: skip

    assert shares(begun) == pytest.approx(dict.fromkeys(ARMS, 1 / 3), abs=0.02)
    given = shares(two)
    assert given["bot-2"] == pytest.approx(FLOOR / 2 + (1 - FLOOR) * best, abs=4 * 0.5 / DRAWS**0.5)
    assert given["bot-3"] == 0.0
    assert shares(two) == given
    alone = msgspec.structs.replace(begun, dropped={"champion": "why", "bot-2": "why"})
    assert shares(alone) == {"champion": 0.0, "bot-2": 0.0, "bot-3": 1.0}


def test_most_users_keep_their_arm_when_shares_move(begun: Experiment) -> None:
    """A tenth that goes from one arm to its neighbour moves a tenth of the users, and nobody else."""
    before, after = {"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 0.6, "b": 0.2, "c": 0.2}
    moved = [
        (was, now)
        for n in range(5000)
        if (was := variant(f"u{n}", before, salt="x")) != (now := variant(f"u{n}", after, salt="x"))
    ]

    assert set(moved) == {("b", "a")}
    assert len(moved) == pytest.approx(500, abs=80)


def asked(n: int, arm: str, good: float | None, at: datetime) -> list[Event]:
    one = interaction(n, application="shop", user_id=f"user-{n}", variant=variant_of("exp-1", arm), time=at)
    return [one] if good is None else [one, feedback(n, one, value=good, time=at + timedelta(minutes=1))]


def land(lake: Lake, events: list[Event]) -> None:
    arrive(lake, INTERACTIONS, [event for event in events if isinstance(event, Interaction)])
    arrive(lake, FEEDBACK, [event for event in events if isinstance(event, Feedback)])


def test_late_feedback_changes_nothing_that_was_counted_and_leaves_a_trace(tmp_path: Path, settings: Settings) -> None:
    """Through the lake: users count once their wait is over; a word that comes later stands beside the count."""
    lake = Lake(tmp_path / "lake")
    started(lake, settings, "exp-1", ARMS[:2], NOW, slow_ms=0, decided_by="ada")
    early = [event for n in range(20) for event in asked(n, ARMS[n % 2], float(n % 4 > 1), NOW + timedelta(minutes=n))]
    late = asked(50, "champion", 1.0, NOW + 2 * HOUR)
    land(lake, [*early, *late])
    cluster(lake, settings, NOW + 2.5 * HOUR)

    first = look_at(lake, settings, "exp-1")
    assert {arm: (tally.users, tally.failed) for arm, tally in first.tallies.items()} == {
        "champion": (10, 5),
        "bot-2": (10, 5),
    }
    assert first.recount == first.tallies
    assert look_at(lake, settings, "exp-1") == first

    liked = interaction(2, application="shop", user_id="user-2", variant="exp-1/champion", time=NOW)
    changed = feedback(502, liked, value=0.0, supersedes=feedback(2, liked).id, time=NOW + 3 * HOUR)
    land(lake, [changed, *asked(61, "bot-2", None, NOW + 3 * HOUR)])
    cluster(lake, settings, NOW + 4 * HOUR)
    second = look_at(lake, settings, "exp-1")

    assert (second.tallies["champion"].users, second.tallies["champion"].failed) == (11, 5)
    assert second.tallies["bot-2"] == first.tallies["bot-2"]
    assert second.recount["champion"].failed == 6
    assert second.recount["bot-2"] == second.tallies["bot-2"]
    assert [look_.sequence for look_ in looks(lake, "shop", "exp-1")] == [0, 1, 2]


def test_a_turn_looks_and_a_stopped_experiment_is_left_alone(tmp_path: Path, settings: Settings) -> None:
    """`flywheel turn` looks at every experiment; what has ended stays as it ended; names are used once."""
    lake = Lake(tmp_path / "lake")
    started(lake, settings, "exp-1", ARMS[:2], NOW, slow_ms=0, decided_by="ada")
    land(lake, [event for n in range(6) for event in asked(n, ARMS[n % 2], 1.0, NOW + timedelta(minutes=n))])

    at = NOW + 3 * HOUR
    summary = turn(lake, settings, at, {"cluster": lambda: msgspec.to_builtins(cluster(lake, settings, at))})

    assert sum(summary["experiments"]["exp-1"].values()) == pytest.approx(1)
    assert known(lake, "shop", "exp-1").tallies["champion"].users == 3
    ended = stop(lake, settings, "exp-1", "enough", NOW + 4 * HOUR, "ada")
    assert (ended.action, ended.reason, ended.winner) == ("stopped", "enough", "")
    cluster(lake, settings, NOW + 9 * HOUR)
    assert look_at(lake, settings, "exp-1") == ended == stop(lake, settings, "exp-1", "again", NOW, "bob")
    with pytest.raises(UsageError, match="take another name"):
        started(lake, settings, "exp-1", ("a", "b"), NOW, slow_ms=0, decided_by="ada")
    with pytest.raises(UsageError, match="no experiment 'exp-2'; known are exp-1"):
        known(lake, "shop", "exp-2")


@pytest.mark.parametrize("arms", [["one"], ["a", "a"], ["a", ""], ["a>b", "c"], [str(n) for n in range(11)]])
def test_arms_that_cannot_be_are_refused(tmp_path: Path, settings: Settings, arms: list[str]) -> None:
    """Two to ten, each with a name of its own."""
    with pytest.raises(UsageError, match="2 to 10 arms"):
        started(Lake(tmp_path / "lake"), settings, "x", arms, NOW, slow_ms=0, decided_by="ada")


def test_the_commands_start_show_and_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person begins, looks at shares, and ends; the shares are JSON for the application."""
    monkeypatch.chdir(tmp_path)

    def flywheel(*words: str) -> str:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--home", str(tmp_path / "home"), *words])
        assert result.exit_code == 0, result.output
        return result.output

    begun = flywheel("experiment", "start", "exp-1", "--arm", "champion", "--arm", "bot-2")
    status = msgspec.json.decode(flywheel("experiment", "status", "exp-1", "--json"))
    ended = flywheel("experiment", "stop", "exp-1", "--reason", "enough")

    assert "exp-1: started" in begun
    assert status["shares"] == {"champion": 0.5, "bot-2": 0.5}
    assert "stopped" in ended
    assert "enough" in ended
