"""A model endpoint that does what a test tells it to: the double of every server that evaluation meets."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from schemas.events import Candidate
from schemas.records import Item, make_candidate
from schemas.settings import EvaluateSettings

Reply = str | dict[str, Any] | web.Response | Exception
"""Text becomes a completion, a dict the JSON body, a response itself; an exception hangs up."""


class Endpoint:
    """A real HTTP server on a free port, in a thread of its own. `reply(body)` decides each answer."""

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, Any]], Reply] = lambda _: "ok"
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def candidate(self, model: str = "model", **fields: Any) -> Candidate:
        return make_candidate(model, self.url, **fields)

    @staticmethod
    def sse(*events: dict[str, Any] | str) -> web.Response:
        """Events as a finished stream."""
        lines = [f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events]
        return web.Response(body="".join(lines).encode(), content_type="text/event-stream")

    async def _serve(self) -> int:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return site._server.sockets[0].getsockname()[1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        self.headers.append(dict(request.headers))
        await asyncio.sleep(self.delay_s)
        reply = self.reply(body)
        if isinstance(reply, Exception):
            request.transport.close()
            return web.Response()
        if isinstance(reply, web.Response):
            return reply
        return web.json_response(completion(reply) if isinstance(reply, str) else reply)


def completion(text: str | None, **message: Any) -> dict[str, Any]:
    """The body of a good answer."""
    return {
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }


def asked(body: dict[str, Any]) -> str:
    """What the user said in a request."""
    return str(next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user"))


def item(n: int, reference: str | None = "right", **fields: Any) -> Item:
    """The n-th eval item."""
    message = {"role": "user", "content": f"question {n}"}
    return Item(f"item-{n}", (message,), reference, unit=f"user-{n}", **fields)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def quick() -> EvaluateSettings:
    """Settings whose waits are short."""
    return EvaluateSettings(connections=4, timeout_s=2.0, tries=3, backoff_s=0.01, retry_after_max_s=0.2)
