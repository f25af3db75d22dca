"""Alerts as mail: takes what a webhook sends, believes what is signed, and hands it to a mail server.

    WEBHOOK_SECRET=whsec_… python examples/alerts/mail.py ops@example.org --smtp localhost:25 --port 8099

    [alerts.webhooks.mail]
    url = "http://127.0.0.1:8099/"
    secret = "whsec_…"      # python -c "import base64, os; print('whsec_' + base64.b64encode(os.urandom(32)).decode())"

Only the standard library. An alert that the mail server does not take is answered 503, and comes again.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import smtplib
import time
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONGEST = 1_000_000
OLDEST_S = 300


class Receiver(BaseHTTPRequestHandler):
    """One webhook's end."""

    to: str
    smtp: str
    key: bytes

    def do_POST(self) -> None:
        """Check, mail, and only then say that it was taken."""
        size = self.headers.get("content-length", "")
        body = self.rfile.read(min(int(size), LONGEST) if size.isdecimal() else 0)
        if not self._is_signed(body):
            self._answer(401)
            return
        alert = json.loads(body)["data"]
        mail = EmailMessage()
        mail["To"], mail["From"] = self.to, "flywheel@localhost"
        subject = f"[{alert['severity']}] {alert['application']}: {alert['rule']}"
        mail["Subject"] = " ".join(subject.split())  # names may hold new lines, a subject none
        mail["Message-ID"] = f"<{alert['id']}@flywheel>"  # sent twice, it is one mail
        mail.set_content(f"{alert['message']}\n\n{alert['link']}\n")
        host, _, port = self.smtp.partition(":")
        try:
            with smtplib.SMTP(host, int(port or 25), timeout=8) as server:
                server.send_message(mail)
        except (OSError, smtplib.SMTPException):
            self._answer(503)
            return
        self._answer(204)

    def _is_signed(self, body: bytes) -> bool:
        name, moment = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "0")
        digest = hmac.new(self.key, f"{name}.{moment}.".encode() + body, hashlib.sha256).digest()
        ours, theirs = b"v1," + base64.b64encode(digest), self.headers.get("webhook-signature", "").encode()
        fresh = moment.isdecimal() and abs(time.time() - int(moment)) < OLDEST_S
        return fresh and hmac.compare_digest(ours, theirs)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


def main() -> None:
    """Listen until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to")
    parser.add_argument("--smtp", default="localhost:25")
    parser.add_argument("--port", type=int, default=8099)
    given = parser.parse_args()
    Receiver.to, Receiver.smtp = given.to, given.smtp
    Receiver.key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    ThreadingHTTPServer(("127.0.0.1", given.port), Receiver).serve_forever()


if __name__ == "__main__":
    main()
