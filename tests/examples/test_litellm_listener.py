"""A listener knows who serves from the decisions alone."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaProducer

from flows import ledger
from flows.announce import Announcer, announce_pending
from flows.promote.rollback import roll_back
from flows.seal import seal_of
from schemas.codec import encode
from schemas.events import Decision
from schemas.records import make_candidate
from schemas.settings import KafkaSettings, Settings
from schemas.signing import Signer
from schemas.topics import DECISIONS
from streams.admin import Admin
from streams.keyring import signer_of
from streams.lake import Lake
from streams.producer import EventProducer
from tests.support.kafka import ODD

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 1, 5, tzinfo=UTC)
OLD = make_candidate("bot-1", "http://127.0.0.1:8000/v1")
NEW = make_candidate("bot-2", "http://127.0.0.1:8001/v1", parameters={"temperature": 0})


def served(lake: Lake, settings: Settings, application: str, config: Path) -> tuple[str, str]:
    """What the proxy's file says once the ledger was announced and heard."""
    kafka = settings.kafka.bootstrap_servers
    with Announcer(settings) as announce:
        announce_pending(lake, application, announce, seal_of(settings))
    command = [sys.executable, str(ROOT / "examples" / "litellm_listener.py"), "--bootstrap", kafka]
    options = ["--application", application, "--config", str(config), "--idle-s", "5"]
    options += ["--key", signer_of(settings).public_key]
    subprocess.run([*command, *options], check=True, timeout=120)
    (model,) = json.loads(config.read_text())["model_list"]
    return model["litellm_params"]["model"], model["litellm_params"]["api_base"]


def forge(settings: Settings, application: str) -> None:
    """What anybody who may write to the topic could try: a later decision than any, signed by a key of their own."""
    evil = make_candidate("evil", "http://127.0.0.1:9/v1")
    forged = Decision(
        id=str(uuid.UUID(int=1)), time=NOW, application=application, action="promoted", candidate=evil, champion=evil,
        sequence=2**53 - 1,
    )  # fmt: skip
    with KafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers) as producer:
        for value in (b"no decision", encode(forged)):
            producer.send(DECISIONS.name, value, application.encode(), headers=[ODD])
    for signer in (None, Signer("A" * 43)):
        with EventProducer(settings.kafka, signer=signer) as producer:
            producer.send(forged)


@pytest.mark.integration
def test_the_proxy_serves_whom_the_ledger_names(lake: Lake, kafka: str, tmp_path: Path) -> None:
    """First champion, promotion, rollback: real decisions over real Kafka, each of them enough by itself."""
    application, config = f"app-{tmp_path.name}", tmp_path / "litellm.yaml"
    Admin(KafkaSettings(bootstrap_servers=kafka)).ensure_topics()
    settings = Settings(home=str(tmp_path / "home"), kafka=KafkaSettings(bootstrap_servers=kafka))
    seal = seal_of(settings)
    ledger.bootstrap(lake, application, OLD, "first", time=NOW, seal=seal)
    ledger.register(lake, application, NEW, time=NOW, seal=seal)
    assert served(lake, settings, application, config) == ("openai/bot-1", OLD.endpoint)
    forge(settings, application)
    assert served(lake, settings, application, config) == ("openai/bot-1", OLD.endpoint)

    ledger.append(
        lake, application, "promoted", NEW, id=ledger.decision_id(application), time=NOW,
        expected_champion=OLD.id, verdict="promote", evidence=dict.fromkeys(ledger.EVIDENCE, "hash"),
        seal=seal,
    )  # fmt: skip
    assert served(lake, settings, application, config) == ("openai/bot-2", NEW.endpoint)
    assert json.loads(config.read_text())["model_list"][0]["litellm_params"]["temperature"] == 0

    roll_back(lake, application, NEW.id, "worse", {"alert": "a"}, NOW, lambda _: None, seal)
    assert served(lake, settings, application, config) == ("openai/bot-1", OLD.endpoint)
