"""A model endpoint for tests: a real HTTP server that answers, fails, hangs up and dawdles as it is told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

from schemas.events import Candidate
from schemas.records import make_candidate

Reply = str | dict[str, Any] | web.Response | Exception
"""Text becomes a completion, a dict the JSON body, a response itself; an exception hangs up."""


class Endpoint:
    """`POST /v1/chat/completions` on a free port of loopback, served by a thread of its own.

    with Endpoint() as endpoint:
        endpoint.reply = lambda body: f"you said {body['messages'][-1]['content']}"
    """

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, Any]], Reply] = lambda _: "ok"
        """Decides each answer, given the request's body; called from the server's thread."""
        self.seen: list[dict[str, Any]] = []
        """The bodies of all requests, in the order in which they arrived."""
        self.headers: list[dict[str, str]] = []
        """And their headers."""
        self.paid: dict[str, dict[str, Any]] = {}
        """Good answers by `Idempotency-Key`: a repeated key is answered from here, as gateways do."""
        self.delay_s = 0.0
        """Seconds before each answer."""
        self.serial_s = 0.0
        """Seconds that an answer takes of a machine that makes one at a time, also for those who wait no longer."""
        self.port = 0
        self._machine = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Its base URL, as a candidate names it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def candidate(self, model: str = "model", **fields: Any) -> Candidate:
        """A candidate that is served here."""
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
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(body)
        self.headers.append(dict(request.headers))
        key = request.headers.get("Idempotency-Key", f"no key {len(self.seen)}")
        await asyncio.sleep(self.delay_s)
        if self.serial_s:
            async with self._machine:
                await asyncio.sleep(self.serial_s)
        if key in self.paid:
            return web.json_response(self.paid[key])
        reply = self.reply(body)
        if isinstance(reply, Exception):
            if request.transport:
                request.transport.close()
            return web.Response()
        if isinstance(reply, web.Response):
            return reply
        answer = completion(reply) if isinstance(reply, str) else reply
        if "error" not in json.dumps(answer):  # a gateway keeps what was paid for
            self.paid[key] = answer
        return web.json_response(answer)


def completion(text: str | None, **message: Any) -> dict[str, Any]:
    """The body of a good answer."""
    return {
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
