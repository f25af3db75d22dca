"""A model behind an OpenAI-compatible endpoint: one request in, one answer or the named reason why there is none.

Each request travels with the hash of its content as `Idempotency-Key`, the same at every try and after every restart: a
gateway that honours it pays the model for it once. Never raises for what an endpoint does. Answers are kept under the
same hash (`journal.py`); `runner.py` sends many requests at once.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from flows.addresses import check_url
from flows.evaluate.answers import Answer, Incoming, unanswered
from flows.evaluate.failures import RETRIED, reason_of
from flows.evaluate.pace import Pace
from flows.outbound import session, without
from llm_flywheel.prompts import with_prompt
from schemas.errors import EndpointError
from schemas.events import Candidate
from schemas.prompts import messages_of
from schemas.settings import EvaluateSettings

BACKOFF_MAX_S = 30.0
"""The longest wait between two tries that nobody asked for (Retry-After may ask for more)."""
WAITS = 20
"""With the n-th wait up to n times as long, twenty of a second each are three minutes."""
GIVEN_UP = unanswered("endpoint_down", "not asked: the endpoint failed too many requests in a row")
_SECONDS = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*")
_encoder = msgspec.json.Encoder(order="sorted")


class Request(Struct, frozen=True):
    """One call to make: where, what, and the key under which its answer is kept."""

    url: URL
    model: str
    body: bytes
    key: str
    """SHA-256 of URL, headers, body and sample number: the same call is paid for once."""
    headers: Mapping[str, str] = {}


def make_request(
    candidate: Candidate, messages: Any, tools: Any = (), *, settings: EvaluateSettings, sample: int = 0
) -> Request:
    """The call that asks a candidate for its answer to messages in chat form.

    The prompt version is what the candidate is asked under: its messages, those that it was registered with or else
    those of `evaluate.prompts`, come first, as `llm_flywheel.with_prompt` puts them; its name always travels in the
    header `x-prompt-version`, for endpoints that keep their own prompts.
    Raises EndpointError if the endpoint's URL may not be called.
    """
    url = _completions(candidate.endpoint, settings.private_endpoints)
    version = candidate.prompt_version
    prompt = candidate.prompt_messages or messages_of(settings.prompts, version)
    messages = [_sendable(dict(message)) for message in with_prompt(messages, prompt)]
    what: dict[str, Any] = {**candidate.parameters, "model": candidate.model, "messages": messages}
    if tools:
        what["tools"] = tools
    if settings.stream:
        what |= {"stream": True, "stream_options": {"include_usage": True}}
    body = _encoder.encode(what)
    headers = {"x-prompt-version": quote(version)} if version else {}
    name = b"\0".join((str(url).encode(), (version or "").encode(), str(sample).encode(), body))
    return Request(url, candidate.model, body, hashlib.sha256(name).hexdigest(), headers)


def _sendable(message: dict[str, Any]) -> dict[str, Any]:
    """A message with the arguments of its calls as text, as the API wants them."""
    if not message.get("tool_calls"):
        return message
    return {**message, "tool_calls": [_call(call) for call in message["tool_calls"]]}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    if isinstance(arguments := function.get("arguments", ""), str):
        return call
    return {**call, "function": {**function, "arguments": _encoder.encode(arguments).decode()}}


@functools.lru_cache(maxsize=64)
def _completions(endpoint: str, declared: tuple[str, ...]) -> URL:
    """Where an endpoint, named by its base URL, takes chat requests."""
    return check_url(endpoint.rstrip("/"), declared) / "chat" / "completions"


class Client:
    """Connections to all endpoints of one evaluation: bounded, paced, patient, and suspicious.

    Opened with `async with`. A Retry-After holds back every request to that endpoint, and a slow one is sent fewer at
    a time (`pace.py`); an endpoint that has given nothing but failures `settings.give_up_after` times in a row, or
    nothing at all for as long as all tries of one request may take, is not asked again (`endpoint_down`).
    """

    def __init__(self, settings: EvaluateSettings, seed: int) -> None:
        self._settings = settings
        self._random = random.Random(seed)  # noqa: S311 jitter, not a secret
        self._stopping = asyncio.Event()
        self._resume_at: dict[URL, float] = {}
        self._failures: dict[URL, int] = {}
        self._paces: dict[URL, Pace] = {}
        self._silent_since: dict[URL, float] = {}
        self._keys = {
            URL(base.rstrip("/")) / "chat" / "completions": key.reveal() for base, key in settings.api_keys.items()
        }

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        settings = self._settings
        self._session = session(settings.private_endpoints, settings.timeout_s, settings.connections)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self._session.close()
        await asyncio.sleep(0)  # sockets are closed in the loop's next round, which may be its last

    async def ask(self, request: Request) -> Answer:
        """The answer to one request, after as many tries as the settings allow.

        Being told to come back later is no failed try, for WAITS times: where many share a rate limit, most of them
        hear it often.
        """
        answer, tries, waits, url = GIVEN_UP, 0, 0, request.url
        while tries < self._settings.tries and self._failures.get(url, 0) < self._settings.give_up_after:
            if url in self._resume_at:
                await self._pause(url)
            if self._stopping.is_set():
                break
            answer, later = await self._in_turn(request)
            if answer.unscored == "rate_limited" and later is not None and waits < WAITS:
                waits += 1
                await self._nap(self._random.uniform(0, later * waits))  # each time wider: not all at once again
                continue
            tries += 1
            if answer.unscored not in RETRIED:
                break
            if later is None and tries < self._settings.tries:  # full jitter
                await self._nap(self._random.uniform(0, min(BACKOFF_MAX_S, self._settings.backoff_s * 2**tries)))
        self._count(url, answer)
        return answer if tries == 1 else msgspec.structs.replace(answer, tries=tries)

    async def _in_turn(self, request: Request) -> tuple[Answer, float | None]:
        """`_try`, once the endpoint has room."""
        url, how = request.url, self._settings
        pace = self._paces.setdefault(url, Pace(how.connections, how.timeout_s))
        async with pace.turn() as learn:
            if self._stopping.is_set() or self._failures.get(url, 0) >= how.give_up_after:
                return GIVEN_UP, None
            now = asyncio.get_running_loop().time
            begin = now()
            self._silent_since.setdefault(url, begin)  # while nobody is asked, nobody is silent
            answer, later = await self._try(request)
            if answer.unscored == "timeout":
                learn(None)
                if now() - self._silent_since.get(url, begin) > how.tries * how.timeout_s:
                    self._failures[url] = how.give_up_after
                return answer, later
            self._silent_since.pop(url, None)
            if answer.unscored is None:
                learn(now() - begin)
            return answer, later

    def _count(self, url: URL, answer: Answer) -> None:
        if answer.unscored is None:
            self._failures[url] = 0
        elif answer.unscored in RETRIED:
            self._failures[url] = self._failures.get(url, 0) + 1

    def stop(self) -> None:
        """Send nothing more: requests on their way are waited for, and whoever waits for another try gives up."""
        self._stopping.set()

    async def _pause(self, url: URL) -> None:
        loop = asyncio.get_running_loop()
        while (wait := self._resume_at[url] - loop.time()) > 0 and not self._stopping.is_set():  # it may be moved
            await self._nap(wait + self._random.uniform(0, min(1.0, wait)))

    async def _nap(self, seconds: float) -> None:
        """Sleep, unless told to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _try(self, request: Request) -> tuple[Answer, float | None]:
        """The answer to one sending, and the seconds after which the server wants to be asked again, if it says so.

        What was seen of a bad answer is kept for people; a key that the server repeats in it is not.
        """
        answer, later = await self._send(request)
        key = self._keys.get(request.url)
        if key and answer.detail:
            answer = msgspec.structs.replace(answer, detail=without(key, answer.detail))
        return answer, later

    async def _send(self, request: Request) -> tuple[Answer, float | None]:
        begin = time.perf_counter()
        try:
            async with self._session.post(
                request.url, data=request.body, headers=self._headers_of(request), allow_redirects=False
            ) as response:
                if response.status == 200:
                    answer = await self._read(response, begin)
                else:
                    answer = _refused(response.status, await _excerpt(response))
                busy = response.status != 200 or answer.unscored in {"rate_limited", "server_error"}
                return answer, self._later(request.url, response.headers) if busy else None
        except TimeoutError:
            return unanswered("timeout", f"no answer within {self._settings.timeout_s:g} s"), None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return unanswered("unreachable", f"{type(error).__name__}: {error}"), None
        except EndpointError as error:
            return unanswered("forbidden_address", error), None

    def _later(self, url: URL, headers: Mapping[str, str]) -> float | None:
        """Hold every request to the endpoint back for as long as it asks, within limits."""
        asked = _milliseconds(headers.get("retry-after-ms"))
        asked = _retry_after(headers.get("retry-after")) if asked is None else asked
        if asked is None:
            return None
        wait = min(asked, self._settings.retry_after_max_s)
        self._resume_at[url] = max(asyncio.get_running_loop().time() + wait, self._resume_at.get(url, 0.0))
        return wait

    def _headers_of(self, request: Request) -> Mapping[str, str]:
        headers = {**request.headers, "idempotency-key": request.key}
        if key := self._keys.get(request.url):
            headers["authorization"] = f"Bearer {key}"
        return headers

    async def _read(self, response: aiohttp.ClientResponse, begin: float) -> Answer:
        limit = self._settings.max_response_bytes
        incoming = Incoming(response.content_type if "content-type" in response.headers else "")
        size, first = 0, None
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > limit:
                response.close()
                return unanswered("too_large", f"more than {limit} bytes")
            incoming.feed(chunk)
            if first is None and incoming.begun:
                first = 1000 * (time.perf_counter() - begin)
        answer = incoming.answer()
        duration = 1000 * (time.perf_counter() - begin)
        return msgspec.structs.replace(answer, duration_ms=duration, time_to_first_chunk_ms=first)


def _refused(status: int, excerpt: str) -> Answer:
    reason = reason_of(status)
    return unanswered(reason, f"HTTP {status}: {'redirects are not followed' if reason == 'redirect' else excerpt}")


async def _excerpt(response: aiohttp.ClientResponse) -> str:
    return (await response.content.read(160)).decode(errors="replace")


def _milliseconds(value: str | None) -> float | None:
    """`retry-after-ms`, as Azure and others send it, in seconds."""
    found = _SECONDS.fullmatch(value or "")
    return float(found[1]) / 1000 if found else None


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form of the header (RFC 9110 §10.2.3); None where it says nothing usable.

    Fractions of a second are not in the standard, and sent.
    """
    if not value:
        return None
    if seconds := _SECONDS.fullmatch(value):
        return float(seconds[1])
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
