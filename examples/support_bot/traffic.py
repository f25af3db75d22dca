"""One turn's traffic: customers ask the champion over HTTP, and everything they say and do goes to Kafka.

`serve` plays the requests of `customers.py` against the endpoint; `Gateway` knows who serves, because it listens to
`llm.decisions` as any gateway would. Go on to `demo.py`, which turns the wheel.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp
import msgspec
from kafka import KafkaConsumer

import llm_flywheel as fly
from llm_flywheel.transports.tolerant import tolerate
from schemas import topics
from schemas.codec import decode
from schemas.errors import EndpointError, EventError, NotEnoughData
from schemas.events import Candidate, Decision, Event, Feedback, Interaction, Message

from .customers import Reaction, Request, Traffic
from .utterances import Utterance

CONNECTIONS = 16
"""Customers who wait for an answer at the same time."""
TIMEOUT_S = 600.0
"""Far above the slowest answer of a small model on a CPU that CONNECTIONS customers wait for."""
GARBAGE = (b'{"id": "not-a-uuid"}', b'{"id": 1, "time": ', b"\xff\xfe no JSON at all")
"""What real producers send now and then; each must come to rest among the dead letters."""


class Gateway:
    """Routes requests to whoever the newest decision on Kafka names."""

    def __init__(self, bootstrap_servers: str, application: str) -> None:
        self._application = application
        self._consumer = KafkaConsumer(
            topics.DECISIONS.name, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", group_id=None
        )
        tolerate(self._consumer)
        self._champion: Candidate | None = None

    def champion(self) -> Candidate:
        """Who serves now, by all decisions seen so far. Raises NotEnoughData before the first one."""
        while polled := self._consumer.poll(timeout_ms=500):
            for records in polled.values():
                for record in records:
                    self._take(record.value)
        if self._champion is None:
            raise NotEnoughData(f"no decision on {topics.DECISIONS.name} names a champion yet")
        return self._champion

    def wait_for(self, candidate_id: str, seconds: float = 60) -> Candidate:
        """The champion, once it is the one given. Raises NotEnoughData when it is not within the time."""
        for _ in range(int(seconds)):
            champion = self.champion()
            if champion.id == candidate_id:
                return champion
            time.sleep(0.5)
        raise NotEnoughData(
            f"{candidate_id} was promoted, but {topics.DECISIONS.name} did not say so in {seconds:.0f} s"
        )

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def _take(self, value: bytes | None) -> None:
        try:
            event = decode(value or b"", topics.DECISIONS.event_type).event
        except EventError:  # anybody may write to the topic
            return
        if isinstance(event, Decision) and event.application == self._application and event.champion:
            self._champion = event.champion


@dataclass
class Served:
    """What one turn's traffic came to."""

    interactions: int = 0
    feedback: int = 0
    garbage: int = 0
    right: int = 0
    """Answers that were the right reply: the truth, which no part of the flywheel ever sees."""
    ids: set[str] = field(default_factory=set)

    @property
    def events(self) -> int:
        """All records that were produced."""
        return self.interactions + self.feedback + self.garbage


@dataclass(frozen=True)
class Reply:
    """What an endpoint said to a request."""

    text: str
    duration_ms: float
    finish_reason: str
    input_tokens: int | None
    """None where the server does not say."""
    output_tokens: int | None


@dataclass(frozen=True)
class Line:
    """The way to Kafka: how to send an event, and how to send bytes that are none."""

    send: Callable[[Event], None]
    send_raw: Callable[[str, bytes], None]


async def serve(
    champion: Candidate,
    traffic: Traffic,
    requests: Sequence[Request],
    replies: dict[str, str],
    line: Line,
    *,
    application: str,
    connections: int = CONNECTIONS,
    tick: Callable[[], None] = lambda: None,
) -> Served:
    """Play a turn's requests; `tick` is called after each. Raises EndpointError where the endpoint is down."""
    served = Served()
    limit = asyncio.Semaphore(connections)
    async with _session() as session:

        async def one(request: Request) -> None:
            async with limit:
                await _converse(session, champion, traffic, request, replies, line, served, application)
            tick()

        await asyncio.gather(*(one(request) for request in requests))
    for garbage in GARBAGE:
        line.send_raw(topics.INTERACTIONS.name, garbage)
        served.garbage += 1
    return served


async def accuracy(
    champion: Candidate, utterances: Sequence[Utterance], replies: dict[str, str], *, connections: int = CONNECTIONS
) -> float:
    """Share of utterances that the endpoint answers rightly."""
    limit = asyncio.Semaphore(connections)
    async with _session() as session:

        async def right(utterance: Utterance) -> bool:
            async with limit:
                reply = await _ask(session, champion, utterance.text)
            return reply.text.strip() == replies[utterance.label].strip()

        found = await asyncio.gather(*(right(utterance) for utterance in utterances))
    return sum(found) / len(found)


def event_id(when: datetime, *key: object) -> str:
    """A UUIDv7 (RFC 9562) from a time and a key: the same customer doing the same thing is the same event."""
    digest = int.from_bytes(hashlib.sha256(":".join(map(str, key)).encode()).digest()[:10], "big")
    milliseconds = int(when.timestamp() * 1000)
    random_a, random_b = digest >> 68, digest & ((1 << 62) - 1)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | random_a << 64 | 2 << 62 | random_b))


async def _converse(
    session: aiohttp.ClientSession,
    champion: Candidate,
    traffic: Traffic,
    request: Request,
    replies: dict[str, str],
    line: Line,
    served: Served,
    application: str,
) -> None:
    """One request, its reactions, and the attempts that follow from them."""
    asked: Request | None = request
    while asked:
        reply = await _ask(session, champion, asked.text)
        interaction = _interaction(asked, reply, champion, application)
        line.send(interaction)
        served.interactions += 1
        served.ids.add(interaction.id)
        right_reply = replies[asked.label]
        served.right += reply.text.strip() == right_reply.strip()
        follow_up = None
        for number, reaction in enumerate(traffic.reactions(asked, reply.text, right_reply)):
            follow_up = traffic.follow_up(asked, reaction) or follow_up
            line.send(_feedback(asked, interaction, number, reaction, follow_up))
            served.feedback += 1
        asked = follow_up


async def _ask(session: aiohttp.ClientSession, champion: Candidate, text: str) -> Reply:
    """The champion's answer."""
    body = fly.request(msgspec.to_builtins(champion), [{"role": "user", "content": text}])
    headers = {"x-prompt-version": champion.prompt_version} if champion.prompt_version else {}
    began = time.perf_counter()
    try:
        async with session.post(f"{champion.endpoint}/chat/completions", json=body, headers=headers) as response:
            response.raise_for_status()
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise EndpointError(f"{champion.model} at {champion.endpoint} does not answer: {error!r}") from error
    choice, usage = answer["choices"][0], answer.get("usage") or {}
    return Reply(
        text=str(choice["message"]["content"]),
        duration_ms=1000 * (time.perf_counter() - began),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
    )


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))


def _interaction(request: Request, reply: Reply, champion: Candidate, application: str) -> Interaction:
    return Interaction(
        id=_id_of(request),
        time=request.time,
        application=application,
        conversation_id=request.conversation_id,
        user_id=request.user_id,
        provider_name="support-bot",
        request_model=champion.model,
        response_model=champion.model,
        prompt_version=champion.prompt_version,
        input_messages=[Message(role="user", content=request.text)],
        output_messages=[Message(role="assistant", content=reply.text)],
        finish_reasons=[reply.finish_reason],
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        duration_ms=round(reply.duration_ms, 3),
        training_consent=True,
    )


def _feedback(
    request: Request, about: Interaction, number: int, reaction: Reaction, follow_up: Request | None
) -> Feedback:
    when = about.time + timedelta(seconds=reaction.delay_s)
    again = reaction.kind in {"retry", "regenerate"} and follow_up is not None
    return Feedback(
        id=event_id(when, about.id, number),
        time=when,
        application=about.application,
        conversation_id=about.conversation_id,
        interaction_id=about.id,
        user_id=request.user_id,
        kind=reaction.kind,
        source=reaction.source,
        value=reaction.value,
        text=None if reaction.kind == "retry" else reaction.text,
        replaced_by=_id_of(follow_up) if again and follow_up else None,
    )


def _id_of(request: Request) -> str:
    return event_id(request.time, "interaction", request.turn, request.index, request.attempt)
