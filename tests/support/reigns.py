"""Two reigns and the users of both: a champion that was promoted, and what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from flows import ledger
from flows.seal import seal_of
from flows.testing.events import START, feedback, happened, interaction
from schemas.events import Event
from schemas.records import make_candidate
from schemas.settings import Settings, TriageSettings
from streams.lake import Lake

OLD, NEW = (make_candidate(name, "http://127.0.0.1:9/v1") for name in ("bot-1", "bot-2"))
TRIAGE = TriageSettings(web_port=0, canary_delay_s=600.0, canary_accounts=2, alert_min=20)
PROMOTED = START + timedelta(hours=2)
EVIDENCE = dict.fromkeys(("evaluation_id", "comparison", "dataset_version", "dataset_sha256", "scores"), "x")


def promoted(home: Path) -> Settings:
    """Of a home where bot-1 serves, and bot-2 takes its place after two hours."""
    found = Settings(home=str(home), triage=TRIAGE)
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
    if failed is None:
        return [one]
    word = {"kind": "correction", "text": "so"} if failed and n % 2 else {"value": float(not failed)}
    return [one, feedback(n, one, time=at + timedelta(minutes=1), **word)]


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
