"""Runs the door as a process: on loopback unless told otherwise, and then only for those who have a token.

`python -m streams door`, `flywheel door` and `flywheel up` end here. Go on to `streams/doors/app.py`.
"""

from __future__ import annotations

import logging

import uvicorn

from schemas.errors import PortTaken, SettingsError
from schemas.settings import Settings
from streams.broker.broker import free_port, is_free
from streams.doors.app import make_app
from streams.doors.champions import Champions
from streams.doors.outbox import Outbox
from streams.doors.tokens import Tokens, is_loopback
from streams.keyring import trust_of

CONNECTIONS = 500
"""At once; each costs some kB."""
_log = logging.getLogger(__name__)


def door(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError, PortTaken, UsageError (no broker is named)."""
    host, port = settings.door.host, settings.door.port or free_port()
    if not is_loopback(host) and not Tokens(settings.home_path).all():
        raise SettingsError(
            f"door.host is {host}, which others reach, and there is no token: make one with `flywheel door token make`"
        )
    if not is_free(port):
        raise PortTaken(f"port {port} is in use by another program: stop that, or set FLYWHEEL_DOOR_PORT (0: any free)")
    app = make_app(settings, Outbox(settings.kafka), Champions(settings.kafka, trust_of(settings)))
    _log.info("the door is open at http://%s:%s", host, port)
    uvicorn.Server(uvicorn.Config(
        app, host, port, log_level="warning", access_log=False, server_header=False, limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=5, ws="none",
    )).run()  # fmt: skip
