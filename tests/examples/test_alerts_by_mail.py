"""The example that mails alerts: what is signed arrives as a mail, what is not is refused, nothing is lost."""

from __future__ import annotations

import base64
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.errors import EndpointError
from schemas.events import Alert
from schemas.secrets import Secret
from schemas.serving import Webhook
from schemas.settings import Settings
from streams.broker.broker import free_port, is_free
from tests.support.waiting import eventually
from ui.notices.notifier import send

EXAMPLE = Path(__file__).parents[2] / "examples" / "alerts" / "mail.py"
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
ALERT = Alert(
    id="00000000-0000-4000-8000-000000000001", time=datetime(2026, 1, 5, tzinfo=UTC), application="bot",
    rule="failure_rate", message="half of them fail\r\nBcc: everybody@example.org",
)  # fmt: skip


class Mails(socketserver.ThreadingTCPServer):
    """A mail server that keeps what it is given."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int) -> None:
        self.got: list[bytes] = []
        super().__init__(("127.0.0.1", port), _Session)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Session(socketserver.StreamRequestHandler):
    server: Mails

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.server.got.append(b"".join(iter(self.rfile.readline, b".\r\n")))
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return


@pytest.fixture
def receiver() -> Iterator[tuple[int, int]]:
    """The example, running; its port, and the mail server's, where nobody listens yet."""
    port, smtp = free_port(), free_port()
    command = [sys.executable, str(EXAMPLE), "ops@example.org", "--smtp", f"127.0.0.1:{smtp}", "--port", str(port)]
    with subprocess.Popen(command, env={"WEBHOOK_SECRET": KEY}, stderr=subprocess.DEVNULL) as running:
        eventually(lambda: not is_free(port))
        yield port, smtp
        running.kill()


def test_an_alert_arrives_as_a_mail(receiver: tuple[int, int]) -> None:
    """Unsigned or with another key it is refused; while the mail server is away it is not taken, and so comes again."""
    port, smtp = receiver
    now = datetime.now(UTC)

    def tell(**fields: Any) -> None:
        send("mail", Webhook(url=Secret(f"http://127.0.0.1:{port}/"), **fields), ALERT, Settings(), now)

    for wrong in ({}, {"secret": Secret("whsec_" + base64.b64encode(b"x" * 32).decode())}):
        with pytest.raises(EndpointError, match="HTTP 401"):
            tell(**wrong)
    with pytest.raises(EndpointError, match="HTTP 503"):
        tell(secret=Secret(KEY))

    with Mails(smtp) as mails:
        tell(secret=Secret(KEY))
        mails.shutdown()
    (mail,) = (message_from_bytes(each, policy=policy.default) for each in mails.got)
    assert mail["Subject"] == "[warning] bot: failure_rate"
    assert mail["To"] == "ops@example.org"
    assert mail["Bcc"] is None
    assert "half of them fail" in mail.get_content()


def test_names_of_strangers_are_one_line_of_a_subject(receiver: tuple[int, int]) -> None:
    """What the example could not mail would come again for a day, before all that comes after it."""
    port, smtp = receiver
    to = Webhook(url=Secret(f"http://127.0.0.1:{port}/"), secret=Secret(KEY))
    hostile = msgspec.structs.replace(ALERT, application="b\u2028é", rule="x\r\nBcc: everybody@example.org\n\nbody")
    with Mails(smtp) as mails:
        send("mail", to, hostile, Settings(), datetime.now(UTC))
        mails.shutdown()
    (mail,) = (message_from_bytes(each, policy=policy.default) for each in mails.got)
    assert mail["Subject"] == "[warning] b é: x Bcc: everybody@example.org body"
    assert mail["Bcc"] is None


def test_a_length_that_is_none_is_refused_at_once(receiver: tuple[int, int]) -> None:
    """Below nothing it would read on until the sender ends: whoever is not signed would say how much is held."""
    with socket.create_connection(("127.0.0.1", receiver[0]), timeout=10) as caller:
        caller.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n")
        assert b" 401 " in caller.recv(1000)


def test_a_signature_in_no_ascii_is_refused(receiver: tuple[int, int]) -> None:
    """Whoever is not signed gets an answer, and no traceback is written for them."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\nwebhook-timestamp: %d\r\nwebhook-signature: v1,\xe9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", receiver[0]), timeout=10) as caller:
        caller.sendall(head % datetime.now(UTC).timestamp())
        assert b" 401 " in caller.recv(1000)
