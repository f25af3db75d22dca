"""The events that the ingest benchmarks send: interactions of some 2 KiB, from a seed. Go on to `ingest.py`."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

import msgspec
from confluent_kafka import Producer

from schemas.topics import INTERACTIONS

VERBS = "lost", "pay", "where is", "cancel", "declined", "change", "my", "verify", "top up", "cannot find", "delayed"
NOUNS = "card", "refund", "order", "password", "account", "invoice", "parcel", "address", "limit", "currency", "app"
WORDS = [f"{verb} {noun}" for verb in VERBS for noun in NOUNS]


def value(number: int, chance: random.Random) -> bytes:
    """One interaction of 1 to 2 KiB: four short messages, and the fields that a real gateway fills."""

    def text(words: int) -> str:
        return " ".join(chance.choice(WORDS) for _ in range(words))

    return msgspec.json.encode({
        "id": str(uuid.UUID(int=(0x0190 << 112) | (7 << 76) | (2 << 62) | number)), "time": "2026-01-05T09:00:00.123Z",
        "application": "support-bot", "conversation_id": f"c-{number // 3}", "user_id": f"u-{number % 5000}",
        "provider_name": "openai", "request_model": chance.choice(["bot-1", "bot-2"]), "response_model": "bot-1-2026",
        "response_id": f"chatcmpl-{number:024x}", "prompt_version": "v7", "variant": "control",
        "input_messages": [
            {"role": "system", "content": text(28)}, {"role": "user", "content": text(15)},
            {"role": "assistant", "content": text(20)}, {"role": "user", "content": text(13)},
        ],
        "output_messages": [{"role": "assistant", "content": text(24)}],
        "request_parameters": {"temperature": 0.2, "max_tokens": 512}, "finish_reasons": ["stop"],
        "input_tokens": chance.randint(100, 900), "output_tokens": chance.randint(10, 300),
        "duration_ms": round(chance.random() * 3000, 2), "cost_usd": round(chance.random() / 100, 6),
    })  # fmt: skip


def produce(servers: str, events: int, spoil: Callable[[int, bytes], bytes] = lambda _, record: record) -> float:
    """Fill the topic; mean bytes of an event. Texts come from a pool, under ever new ids; `spoil` may break some."""
    chance = random.Random(1)
    pool = [value(number, chance) for number in range(10_000)]
    producer = Producer({
        "bootstrap.servers": servers, "compression.type": "lz4", "linger.ms": 50, "enable.idempotence": True,
        "partitioner": "murmur2_random", "queue.buffering.max.messages": 200_000,
    })  # fmt: skip
    headers = [("ce_specversion", b"1.0"), ("ce_source", b"/benchmark"), ("ce_type", b"llm.interaction.v1")]
    for number in range(events):
        record = pool[number % len(pool)]
        fresh = str(uuid.UUID(int=(0x0190 << 112) | (7 << 76) | (2 << 62) | number)).encode()
        record = spoil(number, record.replace(record[7:43], fresh, 1))
        while True:
            try:
                producer.produce(INTERACTIONS.name, record, key=b"c-%d" % (number // 3), headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    return sum(map(len, pool)) / len(pool)
