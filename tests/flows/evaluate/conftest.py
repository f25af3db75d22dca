"""A model endpoint that does what a test tells it to: the double of every server that evaluation meets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from flows import ledger
from flows.run import begin, finish
from schemas.events import Candidate
from schemas.records import make_candidate
from schemas.settings import EvaluateSettings, Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows

Reply = str | dict[str, Any] | web.Response | Exception
"""Text becomes a completion, a dict the JSON body, a response itself; an exception hangs up."""


class Endpoint:
    """A real HTTP server on a free port, in a thread of its own. `reply(body)` decides each answer."""

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, Any]], Reply] = lambda _: "ok"
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paid: dict[str, dict[str, Any]] = {}
        """Good answers by `Idempotency-Key`: a repeated key is answered from here, as gateways do."""
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
        key = request.headers["Idempotency-Key"]
        if key in self.paid:
            return web.json_response(self.paid[key])
        reply = self.reply(body)
        if isinstance(reply, Exception):
            request.transport.close()
            return web.Response()
        if isinstance(reply, web.Response):
            return reply
        self.paid[key] = completion(reply) if isinstance(reply, str) else reply
        return web.json_response(self.paid[key])


def completion(text: str | None, **message: Any) -> dict[str, Any]:
    """The body of a good answer."""
    return {
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }


TEXTS = ("item_id", "reference", "slice", "unit", "rubric")
EVAL_SET = pa.schema([
    ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
    ("tools", pa.list_(pa.string())),
    *((name, pa.string()) for name in TEXTS),
])  # fmt: skip


class Bench:
    """A lake with an application in it: an eval set, a champion and a candidate, as the other stages leave them."""

    application = "support-bot"
    as_of = datetime(2026, 1, 6, tzinfo=UTC)

    def __init__(self, lake: Lake, home: Path, how: EvaluateSettings, endpoint: Endpoint) -> None:
        self.lake, self.endpoint = lake, endpoint
        self.settings = Settings(home=str(home), lake=lake.root, evaluate=how)

    def freeze(self, count: int) -> Path:
        """An eval set of `count` questions on disk and in the lake."""
        file = self.settings.datasets_path / "app" / "v1" / "data" / "eval-test-00000-of-00001.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([self._row(n) for n in range(count)], EVAL_SET), file)
        run = begin(self.lake, "curate", self.application, self.as_of, (), None)
        manifest = {"files": {f"data/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()}}
        row = {
            "run_id": run.run_id, "application": self.application, "dataset": "all", "version": "v1", "kind": "eval",
            "path": "app/v1", "sha256": "", "created": self.as_of, "manifest": json.dumps(manifest),
            "status": "current",
        }  # fmt: skip
        publish(self.lake, "dataset_versions", to_rows("dataset_versions", [row]), run.run_id)
        finish(self.lake, run, {})
        return file

    def enlist(self) -> tuple[Candidate, Candidate]:
        """A champion and a candidate in the ledger, both behind the endpoint."""
        old, new = self.endpoint.candidate("old"), self.endpoint.candidate("new")
        ledger.bootstrap(self.lake, self.application, old, "the first", time=self.as_of)
        ledger.register(self.lake, self.application, new, time=self.as_of)
        return old, new

    @staticmethod
    def answer(body: dict[str, Any]) -> str:
        """The new model knows every answer, the old one every other."""
        number = int(body["messages"][-1]["content"].removeprefix("question "))
        return f"Answer {number}!" if body["model"] == "new" or number % 2 else "no idea"

    @staticmethod
    def _row(n: int) -> dict[str, Any]:
        texts = {"item_id": f"item-{n}", "reference": f"answer {n}", "slice": f"cluster-{n % 2}", "unit": f"user-{n}"}
        return {**texts, "messages": [{"role": "user", "content": f"question {n}"}], "tools": []}


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


@pytest.fixture
def bench(lake: Lake, tmp_path: Path, quick: EvaluateSettings, endpoint: Endpoint) -> Bench:
    endpoint.reply = Bench.answer
    return Bench(lake, tmp_path, quick, endpoint)
