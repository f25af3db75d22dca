"""Many requests: side by side, once each, within a budget, and resumed."""

from __future__ import annotations

import random
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from flows.evaluate.journal import Journal
from flows.evaluate.runner import Progress, run
from flows.evaluate.scorers.registry import scorer_of
from schemas.errors import FlywheelError, SettingsError
from schemas.records import Item, Score
from schemas.settings import EvaluateSettings


def item(n: int) -> Item:
    """The n-th eval item: its reference is its number."""
    return Item(f"item-{n}", ({"role": "user", "content": f"question {n}"},), str(n), unit=f"user-{n}")


def number(body: dict[str, Any]) -> str:
    """The number that a request asks about: the right answer."""
    return str(body["messages"][-1]["content"].removeprefix("question "))


def scores_of(endpoint: Any, path: Path, settings: EvaluateSettings, items: int, **more: Any) -> list[Score]:
    """Both models' scores on some items."""
    models: Any = {"candidate": endpoint.candidate("new"), "champion": endpoint.candidate("old")}
    with Journal(path / "journal.jsonl") as journal:
        how = msgspec.structs.replace(settings, scorer="normalised_match")
        return run([item(n) for n in range(items)], models, how, scorer_of(how), journal, **more)


def test_both_models_are_asked_side_by_side(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """Item by item, each model first in turn, so that what drifts hits both alike."""
    scores_of(endpoint, tmp_path, msgspec.structs.replace(quick, connections=1), 4)

    asked = [(number(body), body["model"]) for body in endpoint.seen]
    assert asked == [
        ("0", "old"), ("0", "new"), ("1", "new"), ("1", "old"), ("2", "old"), ("2", "new"), ("3", "new"), ("3", "old"),
    ]  # fmt: skip


def test_every_item_model_and_sample_has_a_score_or_a_reason(
    endpoint: Any, quick: EvaluateSettings, tmp_path: Path
) -> None:
    """Nothing is left out, and what is missing is neither a pass nor a zero."""
    endpoint.reply = lambda body: web.Response(status=400) if number(body) == "2" else number(body)

    scores = scores_of(endpoint, tmp_path, msgspec.structs.replace(quick, samples=3), 4)

    assert Counter((s.item_id, s.role) for s in scores) == {
        (f"item-{n}", role): 3 for n in range(4) for role in ("candidate", "champion")
    }
    assert {(s.score, s.unscored) for s in scores} == {(1.0, None), (None, "refused")}
    assert {s.item_id for s in scores if s.unscored} == {"item-2"}
    assert all(s.output and s.output.startswith("HTTP 400") for s in scores if s.unscored)


def test_requests_in_flight_are_bounded(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """Never more than `connections` at once."""
    now = most = 0

    def reply(body: dict[str, Any]) -> str:
        nonlocal now
        now -= 1
        return number(body)

    class Counting(list):  # type: ignore[type-arg]
        def append(self, body: Any) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            super().append(body)

    endpoint.reply, endpoint.seen, endpoint.delay_s = reply, Counting(), 0.01

    scores_of(endpoint, tmp_path, msgspec.structs.replace(quick, connections=5), 30)

    assert most == 5


def test_nothing_is_paid_for_twice(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """The second run over a journal asks nothing, and gives the same scores."""
    endpoint.reply = number
    first = scores_of(endpoint, tmp_path, quick, 10)

    assert scores_of(endpoint, tmp_path, quick, 10) == first
    assert len(endpoint.seen) == 20
    assert scores_of(endpoint, tmp_path, quick, 11)[:20] == first
    assert len(endpoint.seen) == 22


def test_equal_items_are_asked_once(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """The same question twice in an eval set is one call to each model, and two scores."""
    endpoint.reply = number
    twin = msgspec.structs.replace(item(0), item_id="twin", reference="7")
    models: Any = {"candidate": endpoint.candidate("new"), "champion": endpoint.candidate("old")}

    how = msgspec.structs.replace(quick, scorer="normalised_match")
    with Journal(tmp_path / "j") as journal:
        scores = run([item(0), twin], models, how, scorer_of(how), journal)

    assert len(endpoint.seen) == 2
    assert {(s.item_id, s.score) for s in scores} == {("item-0", 1.0), ("twin", 0.0)}


def test_a_budget_of_requests_is_kept(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """The calls beyond the cap are not made; their items are unscored on both sides alike, and not zero."""
    endpoint.reply = number

    scores = scores_of(endpoint, tmp_path, msgspec.structs.replace(quick, max_requests=10, connections=2), 20)

    assert len(endpoint.seen) == 10
    assert Counter(s.unscored for s in scores) == {None: 10, "budget": 30}
    assert Counter(s.role for s in scores if s.unscored) == {"candidate": 15, "champion": 15}


def test_repeated_tries_count_against_the_budget(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """A try that failed was a request too."""
    endpoint.reply = lambda _: web.Response(status=500)

    scores_of(endpoint, tmp_path, msgspec.structs.replace(quick, max_requests=7, connections=1), 20)

    assert 7 <= len(endpoint.seen) < 7 + quick.tries


def test_a_budget_of_money_is_kept(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """By the prices in the settings and the tokens that the endpoint counts; a resumed run has what is left."""
    endpoint.reply = number
    prices = {"new": (1e5, 0.0), "old": (0.0, 2e5)}  # 10 tokens in, 5 out: one dollar a call either way
    settings = msgspec.structs.replace(quick, connections=1, prices=prices, max_cost_usd=6.0)

    scores = scores_of(endpoint, tmp_path, settings, 20)

    assert len(endpoint.seen) == 6
    assert {s.cost_usd for s in scores if s.score is not None} == {1.0}
    assert {s.cost_usd for s in scores if s.unscored} == {None}
    scores_of(endpoint, tmp_path, settings, 20)
    assert len(endpoint.seen) == 6


def test_a_budget_of_money_needs_prices(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """A cap that cannot be kept is refused before anything is spent."""
    with pytest.raises(SettingsError, match=r"price in evaluate\.prices for new, old"):
        scores_of(endpoint, tmp_path, msgspec.structs.replace(quick, max_cost_usd=1.0), 1)
    assert not endpoint.seen


def test_a_rate_limit_costs_time_and_no_item(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """[16 connections, 100 requests a second]: most are told to come back, many more than `tries` times, and do."""
    free_at = time.monotonic()

    def reply(body: dict[str, Any]) -> Any:
        nonlocal free_at
        if time.monotonic() < free_at:
            return web.Response(status=429, headers={"retry-after": "1"})
        free_at = time.monotonic() + 0.01
        return number(body)

    endpoint.reply = reply
    settings = msgspec.structs.replace(quick, connections=16, tries=2, retry_after_max_s=0.02)

    scores = scores_of(endpoint, tmp_path, settings, 40)

    assert Counter(score.unscored for score in scores) == {None: 80}
    assert len(endpoint.seen) > 80


def test_a_shaky_endpoint_costs_no_item(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """One answer in four is an error of some kind: the scores are those of a steady endpoint."""
    dice = random.Random(7)

    def reply(body: dict[str, Any]) -> Any:
        kinds: list[Any] = [number(body)] * 12
        kinds += [web.Response(status=status) for status in (429, 500, 503)]
        return dice.choice([*kinds, ConnectionError()])

    endpoint.reply = reply

    scores = scores_of(endpoint, tmp_path, msgspec.structs.replace(quick, tries=12), 100)

    assert {(score.score, score.unscored) for score in scores} == {(1.0, None)}
    assert max(score.tries for score in scores) > 1


def test_a_full_disk_ends_the_run_with_a_sentence(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """Not with a traceback of every worker; started again with room, only the rest is asked for."""
    endpoint.reply = number
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(FlywheelError, match="start the evaluation again"):
            scores_of(endpoint, tmp_path, quick, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = (tmp_path / "journal.jsonl").read_bytes().count(b"\n")
    endpoint.seen = []

    scores = scores_of(endpoint, tmp_path, quick, 20)

    assert kept
    assert len(endpoint.seen) == 40 - kept
    assert {score.score for score in scores} == {1.0}


def test_progress_is_told_to_its_end(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """Who watches sees the numbers rise to the whole."""
    seen: list[Progress] = []
    endpoint.reply = number

    scores_of(endpoint, tmp_path, quick, 5, watch=seen.append)

    assert seen[-1] == Progress(done=10, total=10, unscored=0, cost_usd=None)
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_an_outage_of_one_side_leaves_the_other_scored(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """The candidate's endpoint is given up after a while; the champion behind another is asked to the end."""
    endpoint.reply = number
    down = endpoint.candidate("new")
    down = msgspec.structs.replace(down, endpoint="http://127.0.0.1:9/v1")
    how = msgspec.structs.replace(quick, give_up_after=2, tries=2, scorer="normalised_match")
    models: Any = {"candidate": down, "champion": endpoint.candidate("old")}

    with Journal(tmp_path / "j") as journal:
        scores = run([item(n) for n in range(20)], models, how, scorer_of(how), journal)

    assert {s.unscored for s in scores if s.role == "champion"} == {None}
    assert {s.unscored for s in scores if s.role == "candidate"} == {"unreachable", "endpoint_down"}


def test_a_slow_model_answers_everything(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """One answer at a time, a tenth of the time-out each: sixteen at once would time out, and be asked again."""
    endpoint.serial_s, endpoint.reply = 0.1, number
    settings = msgspec.structs.replace(quick, timeout_s=1.0, connections=16, tries=2)

    scores = scores_of(endpoint, tmp_path, settings, 15)

    assert [score.unscored for score in scores] == [None] * 30
    assert len(endpoint.seen) == 30


def test_an_endpoint_that_falls_silent_is_given_up(endpoint: Any, quick: EvaluateSettings, tmp_path: Path) -> None:
    """However many items wait: after the time that all tries of one may take."""

    def falls_silent(body: dict[str, Any]) -> str:
        endpoint.delay_s = 60.0 if len(endpoint.seen) > 4 else 0.0
        return number(body)

    endpoint.reply = falls_silent
    settings = msgspec.structs.replace(quick, timeout_s=0.3, tries=3, give_up_after=10**6)
    begin = time.monotonic()

    scores = scores_of(endpoint, tmp_path, settings, 200)

    reasons = Counter(score.unscored for score in scores)
    assert set(reasons) == {None, "timeout", "endpoint_down"}
    assert reasons["endpoint_down"] > 300
    assert time.monotonic() - begin < 20
