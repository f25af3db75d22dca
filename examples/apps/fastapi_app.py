"""FastAPI, or any ASGI application: a request is a conversation's, an answer says which interaction it is.

FLYWHEEL_APPLICATION=support FLYWHEEL_URL=http://127.0.0.1:4318 uvicorn fastapi_app:app
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

import llm_flywheel as fly


class Conversations:
    """Pure ASGI, since a `BaseHTTPMiddleware` would part streamed answers from their context."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """All that is captured while a request is answered belongs to its conversation."""
        given = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        talk = fly.conversation(given.get(b"x-conversation-id") or fly.new_id(), user_id=given.get(b"x-user-id"))

        async def reply(message: Any) -> None:
            if message["type"] == "http.response.start" and talk.last:
                told = (b"x-interaction-id", talk.last.interaction_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), told]}
            await send(message)

        with talk:
            await self.app(scope, receive, reply if scope["type"] == "http" else send)


fly.init()
app = FastAPI()
app.add_middleware(Conversations)


@app.post("/chat")
def chat(question: str) -> dict[str, str]:
    """An answer; with `fly.instrument()` the call of a vendor's client would be captured by itself."""
    with fly.interaction(model="echo", messages=question) as turn:
        turn.output(question.upper())
    return {"answer": question.upper()}


@app.post("/stream")
def stream(question: str) -> StreamingResponse:
    """A streamed answer: its id is known before the first byte."""
    turn = fly.interaction(model="echo", messages=question)
    turn.remember()

    def words() -> Iterator[str]:
        with turn:
            yield from question.upper()
            turn.output(question.upper())

    return StreamingResponse(words(), media_type="text/plain")


@app.post("/feedback")
def feedback(interaction: str, up: bool) -> None:
    """A thumb."""
    fly.thumb(up, interaction=interaction)
