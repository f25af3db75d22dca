"""The HTTP door: events, feedback and OpenTelemetry in, the champion out. docs/contracts.md has the protocol.

    POST /v1/events      CloudEvents: one, an array, or one a line
    POST /v1/feedback    feedback in short, for those who hold a response id
    POST /v1/traces      OTLP: spans
    POST /v1/logs        OTLP: log records
    GET  /v1/champion/APPLICATION
    GET  /ready          200 once Kafka answers; what was taken and refused so far

200 is said once Kafka has acknowledged. Go on to `streams/doors/batch.py`, `streams/doors/otlp.py` and
`streams/doors/outbox.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

from schemas.errors import BrokerError, SettingsError
from schemas.otel.span import LOST, REASONS
from schemas.settings import Settings
from streams.doors import otlp
from streams.doors.batch import (
    BadBatch,
    Checked,
    TooMany,
    check,
    check_feedback,
    check_mapped,
    cloud_events,
)
from streams.doors.body import Bodies, Refused
from streams.doors.champions import Champions
from streams.doors.outbox import Outbox
from streams.doors.tokens import Grant, Tokens
from streams.web_guard import Guarded

JSON, PROTOBUF = "application/json", "application/x-protobuf"
EVENT_TYPES = frozenset({
    "application/cloudevents-batch+json", "application/cloudevents+json", "application/x-ndjson", JSON,
})  # fmt: skip
RETRY_AFTER_S = 5
"""Kafka is away: a broker that restarts is back in some seconds."""
_log = logging.getLogger(__name__)


def make_app(settings: Settings, outbox: Outbox, champions: Champions) -> FastAPI:
    """The door as an ASGI application, over an outbox and what is known of champions."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        champions.start()
        yield
        outbox.close()
        champions.close()

    app = FastAPI(title="llm-flywheel door", openapi_url=None, lifespan=lifespan)
    door = Door(settings, outbox, champions)
    app.add_api_route("/v1/events", door.events, methods=["POST"])
    app.add_api_route("/v1/feedback", door.feedback, methods=["POST"])
    app.add_api_route("/v1/traces", door.traces, methods=["POST"])
    app.add_api_route("/v1/logs", door.logs, methods=["POST"])
    app.add_api_route("/v1/champion/{application:path}", door.champion, methods=["GET"])
    app.add_api_route("/ready", door.ready, methods=["GET"])
    app.add_exception_handler(Refused, _refused)
    if settings.door.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.door.origins, allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"], max_age=600,
        )  # fmt: skip
    app.add_middleware(Guarded, names=settings.door.names, origins=settings.door.origins)
    return app


class Door:
    """The answers, one a method."""

    def __init__(self, settings: Settings, outbox: Outbox, champions: Champions) -> None:
        self._max_event = settings.archive.max_event_bytes
        self._bodies = Bodies(settings.door.max_body_bytes)
        self._tokens = Tokens(settings.home_path, settings.door.host)
        self._outbox, self._champions = outbox, champions
        self._counts: Counter[str] = Counter()

    async def events(self, request: Request) -> Response:
        """CloudEvents in."""
        grant, kind = self._grant(request), _content_type(request, EVENT_TYPES)
        async with self._bodies.read(request) as body:
            try:
                checked = await run_in_threadpool(lambda: check(cloud_events(body, kind), grant, self._max_event))
            except BadBatch as error:
                raise _bad(error) from error
            await self._send(checked)
        return _answer(_told(checked))

    async def feedback(self, request: Request) -> Response:
        """Feedback in short."""
        grant, _ = self._grant(request), _content_type(request, {JSON})
        async with self._bodies.read(request) as body:
            try:
                checked, ids = await run_in_threadpool(lambda: check_feedback(body, grant, self._max_event))
            except BadBatch as error:
                raise _bad(error) from error
            await self._send(checked)
        return _answer({**_told(checked), "ids": ids})

    async def traces(self, request: Request) -> Response:
        """Spans in."""
        return await self._otlp(request, "traces")

    async def logs(self, request: Request) -> Response:
        """Log records in."""
        return await self._otlp(request, "logs")

    async def champion(self, request: Request, application: str) -> Response:
        """Who serves, as the bytes that were signed."""
        grant = self._grant(request)
        if grant.application not in {"", application}:
            raise Refused(HTTPStatus.FORBIDDEN, f"this token is for the application {grant.application}")
        found = self._champions.of(application)
        if found is None and not self._champions.ready.is_set():
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "decisions are not read yet", RETRY_AFTER_S)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"nobody was ever promoted in {application[:256]}")
        headers = {"ETag": found.etag, "ce-signature": found.signature, "Cache-Control": "no-cache"}
        if found.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.value, media_type=JSON, headers=headers)

    async def ready(self) -> Response:
        """Whether Kafka answers, and what was taken and refused since the door opened, by reason."""
        ready = self._champions.ready.is_set()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return _answer({"ready": ready, "counts": dict(sorted(self._counts.items()))}, status)

    def _grant(self, request: Request) -> Grant:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            grant = self._tokens.grant(token.strip() if scheme.lower() == "bearer" else None)
        except SettingsError as error:
            _log.error("nobody is let in: %s", error)
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the door cannot read its tokens", RETRY_AFTER_S) from error
        if grant is None:
            self._counts["unauthorized"] += 1
            raise Refused(HTTPStatus.UNAUTHORIZED, "no such token: `flywheel door token make` makes one")
        return grant

    async def _send(self, checked: Checked) -> None:
        """Have Kafka acknowledge what is to be sent. Raises Refused: 403, 503."""
        for each in checked.rejected:
            self._counts["forbidden" if each.forbidden else f"rejected: {each.reason.partition(':')[0]}"] += 1
        if checked.forbidden:
            raise Refused(HTTPStatus.FORBIDDEN, checked.rejected[0].reason)
        try:
            await self._outbox.send(checked.records)
        except BrokerError as error:
            self._counts["unavailable"] += 1
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error), RETRY_AFTER_S) from error
        self._counts["accepted"] += checked.events - len(checked.rejected)

    async def _otlp(self, request: Request, signal: otlp.Signal) -> Response:
        grant, kind = self._grant(request), _content_type(request, {JSON, PROTOBUF})
        json = kind == JSON
        async with self._bodies.read(request) as body:
            try:
                events, skipped = await run_in_threadpool(
                    lambda: otlp.events_of(body, signal, json=json, application=grant.application or None)
                )
            except otlp.BadRequest as error:
                raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
            checked = await run_in_threadpool(lambda: check_mapped(events, grant, self._max_event))
            await self._send(checked)
        self._counts.update({f"skipped: {reason}": count for reason, count in skipped.items()})
        lost = {reason: count for reason, count in skipped.items() if reason in LOST}
        sentences = [f"{count} × {REASONS[reason]}" for reason, count in sorted(lost.items())]
        sentences += [each.reason for each in checked.rejected[:3]]
        rejected = sum(lost.values()) + len(checked.rejected)
        return Response(otlp.answer(signal, rejected, "; ".join(sentences), json=json), media_type=kind)


def _content_type(request: Request, known: frozenset[str] | set[str]) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in known:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type is one of {', '.join(sorted(known))}")
    return kind


def _told(checked: Checked) -> dict[str, Any]:
    rejected = [{"index": each.index, "reason": each.reason} for each in checked.rejected]
    return {"accepted": checked.events - len(rejected), "rejected": rejected}


def _bad(error: BadBatch) -> Refused:
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if isinstance(error, TooMany) else HTTPStatus.BAD_REQUEST
    return Refused(status, str(error))


def _answer(value: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(value), status, media_type=JSON)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - what it is registered for
    answer = _answer({"error": str(error)}, error.status)
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
