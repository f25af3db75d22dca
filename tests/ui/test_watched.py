"""The watch over a promotion as it went: counted again from the lake, by the functions that decide."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from flows import ledger
from flows.seal import seal_of
from flows.testing.events import START, feedback, happened, interaction
from schemas.events import Event
from schemas.records import make_candidate
from schemas.settings import Settings, TriageSettings
from streams.lake import Lake
from streams.triage.canary import baseline_of
from streams.triage.sequential import Canary, evidence, observe
from ui import watched as module
from ui.app import make_app
from ui.watched import watched

OLD, NEW = (make_candidate(name, "http://127.0.0.1:9/v1") for name in ("bot-1", "bot-2"))
TRIAGE = TriageSettings(web_port=0, canary_delay_s=600.0, canary_accounts=2, alert_min=20)
PROMOTED = START + timedelta(hours=2)
EVIDENCE = dict.fromkeys(("evaluation_id", "comparison", "dataset_version", "dataset_sha256", "scores"), "x")
NOW = (START + timedelta(days=1)).timestamp()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a home where bot-1 serves, and bot-2 takes its place after two hours."""
    found = Settings(home=str(tmp_path), triage=TRIAGE)
    lake, seal = Lake(found.lake_root), seal_of(found)
    first = ledger.bootstrap(lake, found.application, OLD, "the first", time=START, seal=seal)
    second = ledger.append(
        lake, found.application, "promoted", NEW, id=ledger.decision_id("promoted"), time=PROMOTED,
        expected_champion=OLD.id, verdict="promote", evidence=EVIDENCE, seal=seal,
    )  # fmt: skip
    happened(lake, first, second)
    return found


def asked(n: int, user: int, model: str, at: datetime, failed: bool | None) -> list[Event]:
    """A request of a user, and a minute later what they say of it, if anything."""
    one = interaction(n, time=at, user_id=f"u{user}", request_model=model)
    said = feedback(n, one, value=float(not failed), time=at + timedelta(minutes=1))
    return [one] if failed is None else [one, said]


def traffic(lake: Lake, beside: bool, bad: int) -> tuple[list[tuple[str, bool]], int]:
    """Thirty users before the promotion, one in ten failing; sixty after it, `bad` in ten; who counts, who failed."""
    before = [n % 10 == 0 for n in range(30)]
    events = [asked(n, n, "bot-1", START + timedelta(minutes=n), failed) for n, failed in enumerate(before)]
    counted: list[tuple[str, bool]] = []
    for n in range(60):
        arm, failed = ("control", n % 10 == 1) if beside and n % 2 else ("canary", n % 10 < bad)
        model = "bot-1" if arm == "control" else "bot-2"
        at = PROMOTED + timedelta(minutes=n, seconds=1)
        events.append(asked(100 + n, 500 + n, model, at, failed))
        events.append(asked(300 + n, 500 + n, model, at + timedelta(minutes=3), not failed))  # a user counts once
        counted.append((arm, failed))
    events.append(asked(900, 900, "bot-2", PROMOTED + timedelta(minutes=70), None))  # nothing said: counts for nothing
    happened(lake, *[one for each in events for one in each])
    return counted, sum(before)


@pytest.mark.parametrize("beside", [True, False], ids=["beside", "before"])
def test_each_point_is_the_evidence_after_one_more_user(settings: Settings, beside: bool) -> None:
    """Folded by hand with the test itself, over users in the order in which they asked first."""
    lake = Lake(settings.lake_root)
    counted, failures = traffic(lake, beside, 7)
    rate = baseline_of(30, failures, TRIAGE)
    hand = Canary(margin=TRIAGE.canary_margin, accounts=2, baseline=None if beside else rate)
    wanted = []
    for arm, failed in counted:
        hand = observe(hand, arm, failed) if beside or arm == "canary" else hand  # type: ignore[arg-type]
        wanted.append(evidence(hand))
    found = watched(lake, settings, NOW)

    assert found is not None
    points = [point.beside if beside else point.before for point in found.points]
    assert points == pytest.approx(wanted, rel=1e-9)
    assert found.watch.users == sum(arm == "canary" for arm, _ in counted)
    assert max(wanted) > 2  # it is a world in which something is seen
    assert not found.cut


def test_it_says_when_the_champion_fell(settings: Settings) -> None:
    """The first user after whom it was shown to be worse, as triage would have said."""
    lake = Lake(settings.lake_root)
    traffic(lake, True, 10)
    wide = msgspec.structs.replace(
        settings, triage=msgspec.structs.replace(TRIAGE, canary_alpha=0.2, canary_accounts=0)
    )
    found = watched(lake, wide, NOW)

    assert found is not None
    assert found.fell is not None
    assert found.fell.standing == "worse"
    at = found.points.index(found.fell)
    assert max(point.beside or 0 for point in found.points[:at]) < 5 <= (found.fell.beside or 0)


def test_users_who_still_wait_are_not_counted(settings: Settings) -> None:
    """Until their time is over, and of those that are counted all have been asked early enough."""
    lake = Lake(settings.lake_root)
    traffic(lake, True, 7)
    early = watched(lake, settings, (PROMOTED + timedelta(minutes=30)).timestamp())

    assert early is not None
    assert len(early.points) == 20


@pytest.mark.parametrize("most", [100, 20], ids=["after the promotion", "before it"])
def test_what_is_too_much_is_cut_and_said(settings: Settings, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """The former's rate is given up for it, not the beginning of the watch."""
    lake = Lake(settings.lake_root)
    traffic(lake, True, 7)
    whole = watched(lake, settings, NOW)
    monkeypatch.setattr(module, "MOST", most)
    found = watched(lake, settings, NOW)

    assert whole is not None
    assert found is not None
    assert found.cut
    assert 0 < len(found.points) < len(whole.points)
    assert [point.beside for point in found.points] == [point.beside for point in whole.points[: len(found.points)]]
    assert (found.points[0].before is None) == (most == 20)


def test_the_page_shows_it(settings: Settings) -> None:
    """At once without it; then with the drawing, its limit, and the numbers; nothing where nobody was replaced."""
    lake = Lake(settings.lake_root)
    traffic(lake, True, 7)
    client = client_over(lake, settings)

    assert 'hx-get="/ledger/canary/history"' in client.get("/ledger/canary").text
    shown = client.get("/ledger/canary/history").text
    assert "would roll back at 100" in shown
    assert "30 users" not in shown
    assert "60 users" in shown
    assert "users of the former beside" in shown
    empty = Settings(home=str(Path(settings.home) / "empty"), triage=TRIAGE)
    assert "nothing to compare" in client_over(Lake(empty.lake_root), empty).get("/ledger/canary/history").text


def client_over(lake: Lake, settings: Settings) -> TestClient:
    app: Any = make_app(lake, settings, keep=False)
    app.flywheel.refresh()
    return TestClient(app, base_url="http://127.0.0.1:6067")
