"""An alert as a webhook takes it: body and headers, signed as Standard Webhooks do (standardwebhooks.com, v1).

What it says are strangers' words (names of models and clusters): they are one line, and in the shape for chats no
markup. The signature is HMAC-SHA256 over `id.time.body`. Go on to `notifier.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import structs

from flows.visible import one_line
from schemas.events import Alert, to_json
from schemas.serving import Webhook

PREFIX = "whsec_"
"""How a secret begins whose rest is base64 of the key."""
TEXT_LONGEST = 2000
"""Characters of a message: what whoever may write to Kafka made longer is cut."""
_MARKS = {"critical": "Critical", "warning": "Warning", "info": "For your information"}


def request_of(alert: Alert, link: str, to: Webhook, now: datetime) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers. The id stays the same however often it is sent: it is the alert's."""
    body = _text(alert, link) if to.shape == "text" else _event(alert, link)
    headers = {
        "content-type": "application/json",
        "webhook-id": alert.id,
        "webhook-timestamp": f"{now.timestamp():.0f}",
    }
    if to.secret:
        signed = f"{alert.id}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(key_of(to.secret.reveal()), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return body, headers


def key_of(secret: str) -> bytes:
    """The bytes that sign: of `whsec_…` what base64 says, of any other text its own."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _event(alert: Alert, link: str) -> bytes:
    cut = structs.replace(alert, message=alert.message[:TEXT_LONGEST])
    data = msgspec.json.decode(to_json(cut))
    return to_json(
        {"type": "llm.alert.v1", "timestamp": data["time"], "data": {**data, "severity": alert.severity, "link": link}}
    ).encode()


def _text(alert: Alert, link: str) -> bytes:
    said = one_line(f"{_MARKS[alert.severity]} in {alert.application}: {alert.message}")[:TEXT_LONGEST]
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # else `<!channel>` would call everybody
        said = said.replace(sign, written)
    for sign in "*_~`@[]":  # a chat's markup and mentions: a space of no width parts them from what follows
        said = said.replace(sign, sign + "\u200b")
    return msgspec.json.encode({"text": f"{said}\n{link}"})
