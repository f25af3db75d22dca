"""The watch over a promotion as it went: counted again from the lake, by the functions that decide."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from flows.testing.events import START
from schemas.settings import Settings
from streams.lake import Lake
from streams.triage.canary import baseline_of
from streams.triage.sequential import Canary, evidence, observe
from tests.support.reigns import PROMOTED, TRIAGE, promoted, traffic
from ui import watched as module
from ui.app import make_app
from ui.watched import watched

NOW = (START + timedelta(days=1)).timestamp()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a home where bot-1 serves, and bot-2 takes its place after two hours."""
    return promoted(tmp_path)


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
