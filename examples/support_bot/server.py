"""The endpoint: several brains behind one OpenAI-compatible HTTP API.

`python -m examples.support_bot.server --models DIR --port N` serves every model folder in DIR and finds new ones when
they are first asked for. Go on to `customers.py` for who asks.

Served: `POST /v1/chat/completions` (whole or streamed), `GET /v1/models`, `GET /v1/models/NAME`, `GET /healthz`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException

from schemas.errors import InputFileError
from schemas.messages import last_text, to_chat

from .model import Answer, Brain, is_model, load

MAX_BODY = 1 << 20
"""Bytes of one request: a chat of a thousand long messages."""
MAX_BATCH = 64
"""Texts answered in one go: about 25 ms of a worker thread."""
MAX_WAITING = 4_096
"""Requests in line for one model, about two seconds of work; further ones are told 429."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Model names are folder names: no separator, no leading dot."""
_PIECE = re.compile(r"\s*\S+")
"""What counts as one token, and what one chunk of a stream carries: a word with the space before it."""


class ChatMessage(Struct, frozen=True):
    """One message of a request; fields that this endpoint does not use are passed over."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(Struct, frozen=True):
    """How a stream ends."""

    include_usage: bool = False


class ChatRequest(Struct, frozen=True):
    """What this endpoint reads of a chat completion request; a classifier has no use for temperature and seed."""

    model: str
    messages: Annotated[list[ChatMessage], Meta(min_length=1, max_length=10_000)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None


class ApiError(Exception):
    """An answer other than 200, in OpenAI's shape."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Served:
    """One brain with its line of waiting requests: a single worker thread answers them in batches.

    So the event loop never waits for a classifier, and one call of it serves all who came in the meantime.
    """

    def __init__(self, brain: Brain) -> None:
        self._brain = brain
        self._line: asyncio.Queue[tuple[str, asyncio.Future[Answer]]] = asyncio.Queue(MAX_WAITING)
        self._worker = asyncio.create_task(self._work())

    async def answer(self, text: str) -> Answer:
        """Wait in line for the answer to one text."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            self._line.put_nowait((text, future))
        except asyncio.QueueFull as error:
            raise ApiError(429, f"{MAX_WAITING} requests are waiting already: try again in a second") from error
        return await future

    async def close(self) -> None:
        """Stop the worker; who still waits is cancelled."""
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        while not self._line.empty():
            self._line.get_nowait()[1].cancel()

    async def _work(self) -> None:
        while True:
            batch = [await self._line.get()]
            while len(batch) < MAX_BATCH and not self._line.empty():
                batch.append(self._line.get_nowait())
            try:
                answers = await asyncio.to_thread(self._brain.answer, [text for text, _ in batch])
            except Exception as error:  # whoever asked is told; the worker outlives any one batch
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)


class Shelf:
    """The models of a folder, each loaded once, when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._served: dict[str, Served] = {}
        self._loading = asyncio.Lock()

    def names(self) -> list[str]:
        """Every model that could be asked for now."""
        return sorted(p.name for p in self._folder.iterdir() if _NAME.fullmatch(p.name) and is_model(p))

    async def get(self, name: str) -> Served:
        """The model of that name.

        Raises ApiError: 404 where there is none, 500 where it cannot be read.
        """
        if found := self._served.get(name):
            return found
        async with self._loading:
            if name not in self._served:
                self._served[name] = Served(await self._load(name))
            return self._served[name]

    async def close(self) -> None:
        """Stop every worker."""
        for served in self._served.values():
            await served.close()

    async def _load(self, name: str) -> Brain:
        folder = self._folder / name
        if not _NAME.fullmatch(name) or not is_model(folder):
            raise ApiError(404, f"The model {name[:128]!r} does not exist.", code="model_not_found", param="model")
        try:
            return await asyncio.to_thread(load, folder)
        except InputFileError as error:
            raise ApiError(500, str(error), code="model_unreadable", param="model") from error


def create_app(models: Path) -> FastAPI:
    """The application over a folder of models, which must exist; it loads what is there before it answers."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        shelf = app.state.shelf = Shelf(models)
        for name in shelf.names():
            await shelf.get(name)
        yield
        await shelf.close()

    app = FastAPI(title="support-bot", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/healthz", _healthz, methods=["GET"])
    app.add_api_route("/v1/models", _models, methods=["GET"])
    app.add_api_route("/v1/models/{name}", _model, methods=["GET"])
    app.add_api_route("/v1/chat/completions", _chat, methods=["POST"], response_model=None)
    app.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(Exception, _refuse)
    app.add_exception_handler(404, _unknown_url)
    app.add_exception_handler(405, _unknown_url)
    return app


async def _healthz(request: Request) -> Response:
    return _json({"status": "ok", "models": len(request.app.state.shelf.names())})


async def _models(request: Request) -> Response:
    return _json({"object": "list", "data": [_card(name) for name in request.app.state.shelf.names()]})


async def _model(request: Request, name: str) -> Response:
    await request.app.state.shelf.get(name)
    return _json(_card(name))


async def _chat(request: Request) -> Response:
    chat = _parse(await _body(request))
    messages = to_chat(msgspec.to_builtins(chat.messages))
    text = last_text(messages, "user")
    if not text.strip():
        raise ApiError(400, "messages must hold a message of role 'user' with text", param="messages")
    served = await request.app.state.shelf.get(chat.model)
    pieces = _PIECE.findall((await served.answer(text)).reply)
    limit = chat.max_completion_tokens or chat.max_tokens or len(pieces)
    finish = "length" if len(pieces) > limit else "stop"
    prompt = sum(len(_PIECE.findall(message["content"])) for message in messages)
    spent = min(limit, len(pieces))
    usage = {"prompt_tokens": prompt, "completion_tokens": spent, "total_tokens": prompt + spent}
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": chat.model}
    if chat.stream:
        asked = chat.stream_options is not None and chat.stream_options.include_usage
        chunks = _chunks(head, pieces[:limit], finish, usage if asked else None)
        return StreamingResponse(_events(chunks), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    message = {"role": "assistant", "content": "".join(pieces[:limit])}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return _json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ApiError(413, f"the request is larger than {MAX_BODY} bytes")
    return bytes(body)


def _parse(body: bytes) -> ChatRequest:
    try:
        return msgspec.json.decode(body, type=ChatRequest)
    except msgspec.ValidationError as error:
        where = re.search(r"at `\$\.(\w+)", str(error)) or re.search(r"field `(\w+)`", str(error))
        raise ApiError(400, str(error), param=where[1] if where else None) from error
    except msgspec.DecodeError as error:
        raise ApiError(400, f"the request is not JSON: {error}") from error


def _chunks(
    head: dict[str, Any], pieces: list[str], finish: str, usage: dict[str, int] | None
) -> Iterator[dict[str, Any]]:
    """The chunks of a stream: role, words, end, and the usage where it was asked for."""
    head = {**head, "object": "chat.completion.chunk"}
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces), {}]
    for delta in deltas:
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else finish}]}
    if usage:
        yield {**head, "choices": [], "usage": usage}


async def _events(chunks: Iterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield b"data: " + msgspec.json.encode(chunk) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "support-bot"}


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _refuse(_: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, ApiError) else ApiError(500, f"internal error: {type(error).__name__}")
    return _json(refusal.body, refusal.status)


async def _unknown_url(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    refusal = ApiError(status, f"Invalid URL ({request.method} {request.url.path})", code="unknown_url")
    return _json(refusal.body, status)


def main() -> None:
    """Serve a folder of models until told to stop; the first line printed names the address."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.server", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder with one folder a model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    args = parser.parse_args()
    if not args.models.is_dir():
        parser.error(f"--models {args.models}: no such folder")
    family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
    try:
        listener = socket.create_server((args.host, args.port), family=family, backlog=2048)
    except OSError as error:
        parser.error(f"cannot listen on {args.host}:{args.port}: {error.strerror}")
    host, port = listener.getsockname()[:2]
    print(f"support-bot answers at http://{f'[{host}]' if ':' in host else host}:{port}/v1", flush=True)
    config = uvicorn.Config(create_app(args.models), access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
