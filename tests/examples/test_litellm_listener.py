"""A listener knows who serves from the decisions alone."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows import ledger
from flows.announce import Announcer, announce_pending
from flows.promote.rollback import roll_back
from schemas.records import make_candidate
from schemas.settings import KafkaSettings
from streams.admin import Admin
from streams.lake import Lake

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 1, 5, tzinfo=UTC)
OLD = make_candidate("bot-1", "http://127.0.0.1:8000/v1")
NEW = make_candidate("bot-2", "http://127.0.0.1:8001/v1", parameters={"temperature": 0})


def served(lake: Lake, kafka: str, application: str, config: Path) -> tuple[str, str]:
    """What the proxy's file says once the ledger was announced and heard."""
    with Announcer(KafkaSettings(bootstrap_servers=kafka)) as announce:
        announce_pending(lake, application, announce)
    command = [sys.executable, str(ROOT / "examples" / "litellm_listener.py"), "--bootstrap", kafka]
    options = ["--application", application, "--config", str(config), "--idle-s", "5"]
    subprocess.run([*command, *options], check=True, timeout=120)
    (model,) = json.loads(config.read_text())["model_list"]
    return model["litellm_params"]["model"], model["litellm_params"]["api_base"]


@pytest.mark.integration
def test_the_proxy_serves_whom_the_ledger_names(lake: Lake, kafka: str, tmp_path: Path) -> None:
    """First champion, promotion, rollback: real decisions over real Kafka, each of them enough by itself."""
    application, config = f"app-{tmp_path.name}", tmp_path / "litellm.yaml"
    Admin(KafkaSettings(bootstrap_servers=kafka)).ensure_topics()
    ledger.bootstrap(lake, application, OLD, "first", time=NOW)
    ledger.register(lake, application, NEW, time=NOW)
    assert served(lake, kafka, application, config) == ("openai/bot-1", OLD.endpoint)

    ledger.append(
        lake, application, "promoted", NEW, id=ledger.decision_id(application), time=NOW,
        expected_champion=OLD.id, verdict="promote", evidence=dict.fromkeys(ledger.EVIDENCE, "hash"),
    )  # fmt: skip
    assert served(lake, kafka, application, config) == ("openai/bot-2", NEW.endpoint)
    assert json.loads(config.read_text())["model_list"][0]["litellm_params"]["temperature"] == 0

    roll_back(lake, application, NEW.id, "worse", {"alert": "a"}, NOW, lambda _: None)
    assert served(lake, kafka, application, config) == ("openai/bot-1", OLD.endpoint)
