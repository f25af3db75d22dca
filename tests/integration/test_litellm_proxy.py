"""LiteLLM's real proxy with our callback: it captures, and it follows the champion without a restart.

Needs a Python of its own: `python tests/support/venvs.py litellm` makes it; skipped where there is none.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from flows.testing.events import event_id
from schemas.events import Decision
from schemas.records import make_candidate
from streams.broker.broker import free_port
from streams.keyring import signer_of
from streams.producer import EventProducer
from tests.support import venvs
from tests.support.kafka import Ingest
from tests.support.llm import serving
from tests.support.open_door import ask
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(venvs.python("litellm") is None, reason="LiteLLM is not here: tests/support/venvs.py litellm"),
]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gateways" / "litellm.yaml"
SDK = Path(__file__).resolve().parents[2] / "sdk" / "src"
MASTER = "sk-gY7mQ2wLx8VbN4"
APPLICATION = """
import sys, openai
import llm_flywheel as fly
fly.init("shop", sys.argv[1], state_dir=sys.argv[2])
assert fly.instrument()
client = openai.OpenAI(base_url=sys.argv[3] + "/v1", api_key=sys.argv[4])
reply = client.chat.completions.create(model="champion", messages=[{"role": "user", "content": "seen twice"}])
print(fly.last_id())
fly.thumb(up=True)
assert fly.flush(30)
"""


@contextmanager
def proxy(ingest: Ingest, endpoint: str, folder: Path) -> Iterator[str]:
    """The proxy, serving the first candidate under the alias `champion`."""
    port = free_port()
    config = yaml.safe_load(EXAMPLE.read_text())
    config["model_list"][0]["litellm_params"] |= {"model": "openai/leaf-1", "api_base": f"{endpoint}/v1"}
    config["general_settings"] = {"master_key": MASTER}
    (folder / "config.yaml").write_text(json.dumps(config))
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONPATH": str(SDK), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False",
        "CHAMPION_API_KEY": "k", "FLYWHEEL_APPLICATION": "shop", "FLYWHEEL_URL": f"kafka://{ingest.settings.kafka.bootstrap_servers}",
        "FLYWHEEL_STATE_DIR": str(folder / "state"), "FLYWHEEL_TRUSTED_KEYS": signer_of(ingest.settings).public_key,
    }  # fmt: skip
    python = venvs.python("litellm")
    assert python is not None
    command = [str(python.parent / "litellm"), "--config", str(folder / "config.yaml"), "--port", str(port)]
    with (folder / "proxy.log").open("w") as log:
        running = subprocess.Popen(
            [*command, "--host", "127.0.0.1"], env=environment, stdout=log, stderr=log, cwd=folder
        )
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: running.poll() is not None or is_up(url), seconds=240)
            assert running.poll() is None, (folder / "proxy.log").read_text()[-4000:]
            yield url
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(60)


def is_up(url: str) -> bool:
    """Whether the proxy answers."""
    try:
        with urllib.request.urlopen(f"{url}/health/liveliness", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def call(url: str, text: str, key: str = MASTER) -> tuple[int, str]:
    """Status, and which deployment served."""
    body = {"model": "champion", "messages": [{"role": "user", "content": text}]}
    status, _, headers = ask(f"{url}/v1/chat/completions", json.dumps(body).encode(), token=key)
    return status, headers.get("x-litellm-model-id", "")


def promote(ingest: Ingest, model: str, endpoint: str) -> str:
    """Announce a champion, signed; its id."""
    candidate = make_candidate(model, f"{endpoint}/v1")
    decision = Decision(
        id=event_id(700), time=datetime(2026, 1, 5, tzinfo=UTC), application="shop", action="promoted",
        candidate=candidate, champion=candidate, sequence=1,
    )  # fmt: skip
    with EventProducer(ingest.settings.kafka, signer=signer_of(ingest.settings)) as producer:
        producer.send(decision)
    return candidate.id


def test_the_proxy_captures_and_follows_the_champion(ingest: Ingest, tmp_path: Path) -> None:
    """One process to its end: calls around a promotion, a failure, a refused key, one that the SDK saw too."""
    python = venvs.python("litellm")
    assert python is not None
    with serving() as endpoint, proxy(ingest, endpoint.url, tmp_path) as url:
        assert call(url, "before") == (200, "first")
        assert call(url, "refused", key="sk-wrong")[0] in {400, 401}
        assert call(url, "boom")[0] == 400
        promoted = promote(ingest, "leaf-2", endpoint.url)
        eventually(lambda: call(url, "after")[1] == promoted)

        arguments = [f"kafka://{ingest.settings.kafka.bootstrap_servers}", str(tmp_path / "app"), url, MASTER]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(SDK)}
        ran = subprocess.run(
            [str(python), "-c", APPLICATION, *arguments], env=environment, capture_output=True, text=True, check=True
        )
    ingest.archive(idle_s=3)

    rows = ingest.ask("SELECT DISTINCT id, error_type, response_model, input_messages FROM interactions")
    by_text = {json.loads(row["input_messages"])[0]["content"]: row for row in rows}
    assert by_text.keys() == {"before", "after", "boom", "seen twice"}
    assert by_text["before"]["response_model"] == "leaf-1"
    assert by_text["after"]["response_model"] == "leaf-2"
    assert by_text["boom"]["error_type"] == "BadRequestError"
    twice = ran.stdout.strip()
    assert len([row for row in ingest.stored("interactions") if row["id"] == twice]) == 2  # by the SDK and the gateway
    assert ingest.ask(f"SELECT count(*) AS events FROM interactions WHERE id = '{twice}'") == [{"events": 1}]
    assert [row["interaction_id"] for row in ingest.ask("SELECT interaction_id FROM feedback")] == [twice]
