r"""A listener to `llm.decisions`: whoever is champion is what a LiteLLM proxy serves as `champion`.

    python examples/litellm_listener.py --bootstrap 127.0.0.1:9092 --application support-bot --config litellm.yaml \
        --key $(flywheel ledger key)

Applications ask the proxy for the model `champion` and never learn of a change. Any listener can be this small: each
decision carries the whole champion, so the newest one is all that has to be known. Whoever may write to the topic could
send all traffic elsewhere, so only what the key signed is believed. Needs confluent-kafka and cryptography, and nothing
of the flywheel. The file is JSON, which is YAML; restart or reload the proxy when this prints a line.
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOPIC = "llm.decisions"


def model_list(decision: dict[str, Any]) -> dict[str, Any] | None:
    """The proxy's configuration after a decision; None while nobody serves."""
    champion = decision.get("champion")
    if not champion:
        return None
    parameters = {
        **champion.get("parameters", {}),
        "model": f"openai/{champion['model']}",
        "api_base": champion["endpoint"],
        "api_key": "os.environ/CHAMPION_API_KEY",
    }
    return {
        "model_list": [
            {"model_name": "champion", "litellm_params": parameters, "model_info": {"id": champion["id"]}},
        ]
    }


def write(config: dict[str, Any], path: Path) -> bool:
    """Replace the file as a whole, and only where something changes; whether it did."""
    text = json.dumps(config, indent=2) + "\n"
    if path.exists() and path.read_text() == text:
        return False
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
    return True


def signed(record: Any, key: str) -> bool:
    """Whether the owner of this public key signed exactly these bytes as a decision."""
    signatures = [value for name, value in headers_of(record) if name == "ce_signature" and value]
    message = b"llm-flywheel event\0llm.decision.v1\0" + (record.value() or b"")
    for signature in signatures:
        try:
            Ed25519PublicKey.from_public_bytes(_bytes(key.encode())).verify(_bytes(signature), message)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def headers_of(record: Any) -> list[tuple[str, bytes]]:
    """A record's headers; none where a name is no UTF-8, which can be anybody's.

    confluent-kafka then both raises and answers, which after some plain calls of `record.headers()` goes unseen.
    """
    try:
        return methodcaller("headers")(record) or []
    except (UnicodeDecodeError, SystemError):
        return []


def _bytes(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def decisions(bootstrap: str, application: str, key: str, idle_s: float) -> Iterator[dict[str, Any]]:
    """Every decision about an application, from the beginning: the topic is compacted, so that is not much."""
    options = {"bootstrap.servers": bootstrap, "group.id": "litellm-listener", "enable.auto.commit": False}
    consumer = Consumer(options)
    partitions = consumer.list_topics(TOPIC, timeout=30).topics[TOPIC].partitions
    consumer.assign([TopicPartition(TOPIC, number, OFFSET_BEGINNING) for number in partitions])
    newest, heard = -1, time.monotonic()
    while time.monotonic() < heard + idle_s:
        record = consumer.poll(1)
        if record is None or record.error():
            continue
        heard = time.monotonic()
        if not signed(record, key):
            print(f"record {record.offset()} of {TOPIC} is signed by nobody known, and not heeded", flush=True)
            continue
        decision = json.loads(record.value())
        if decision["application"] == application and decision.get("sequence", 0) > newest:
            newest = decision.get("sequence", 0)
            yield decision
    consumer.close()


def main() -> None:
    """Follow decisions until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True, help="Kafka, host:port")
    parser.add_argument("--application", required=True, help="whose champion")
    parser.add_argument("--key", required=True, help="the public key that `flywheel ledger key` prints")
    parser.add_argument("--config", type=Path, required=True, help="the proxy's file")
    parser.add_argument("--idle-s", type=float, default=float("inf"), help="end after so many quiet seconds")
    options = parser.parse_args()
    for decision in decisions(options.bootstrap, options.application, options.key, options.idle_s):
        config = model_list(decision)
        if config and write(config, options.config):
            print(f"{decision['action']}: {decision['champion']['model']} serves", flush=True)


if __name__ == "__main__":
    main()
