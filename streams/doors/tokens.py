"""Who may send what through the door: bearer tokens, each for one application, kept as hashes.

A token is shown once, when it is made; `<home>/secrets/door-tokens.json` holds its SHA-256 (it is 256 random bits,
which nobody guesses) and what it may do. The running door sees a new or a revoked token at its next request. Go on to
`streams/doors/batch.py`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import secrets
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from schemas.errors import SettingsError, UsageError
from schemas.secrets import Secret
from streams.keyring import FOLDER

May = Literal["interactions", "feedback", "verdicts", "erasures"]
"""feedback: what users say and do (source `user`). verdicts: what guardrails, judges, rules and reviewers find."""
ALL: tuple[May, ...] = get_args(May)
USUAL: tuple[May, ...] = ("interactions", "feedback", "verdicts")
"""What an application needs. It forgets nobody: erasures are a grant of their own."""
FILE = "door-tokens.json"
PREFIX = "fly_"
"""Makes a token that leaked into a log or a repository easy to find."""
_TYPES: dict[str, May] = {"llm.interaction.v1": "interactions", "llm.erasure.v1": "erasures"}
FEEDBACK = "llm.feedback.v1"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What one sender may do."""

    name: str
    """How people call the token."""
    application: str
    """Whose events it sends, and no other's; empty: anybody's."""
    may: tuple[May, ...] = USUAL
    """What it sends."""
    hash: str = ""
    """SHA-256 of the token."""
    made_at: datetime | None = None

    def refusal(self, type_name: str, fields: dict[str, Any]) -> str:
        """Why such an event is not taken from this sender; empty where it is."""
        needed = self._needed(type_name, fields)
        if needed is None:
            return f"{type_name[:64]} is not sent by applications"
        if needed not in self.may:
            return f"this token sends {', '.join(self.may) or 'nothing'}: {needed} are not among them"
        named = fields.get("application")
        if self.application and named != self.application:
            return f"this token is for the application {self.application}, not for {str(named)[:64]!r}"
        return ""

    @staticmethod
    def _needed(type_name: str, fields: dict[str, Any]) -> May | None:
        if type_name == FEEDBACK:
            return "feedback" if fields.get("source") in (None, "user") else "verdicts"
        return _TYPES.get(type_name)


ANYBODY = Grant(name="anybody on this machine", application="")
"""While no token was made: as trusted as whoever reaches the broker itself, which has no password either."""


class Tokens:
    """The tokens of one home, read anew whenever their file has changed."""

    def __init__(self, home: Path, host: str = "127.0.0.1") -> None:
        """`host` is where the door listens: only on loopback may anybody send while there is no token."""
        self._file = home / FOLDER / FILE
        self._open = is_loopback(host)
        self._seen: tuple[int, int] | None = None
        self._grants: tuple[Grant, ...] = ()

    def all(self) -> tuple[Grant, ...]:
        """Every grant, oldest first. Raises SettingsError where the file is not to be trusted."""
        try:
            facts = self._file.stat()
        except FileNotFoundError:
            self._seen, self._grants = None, ()
            return ()
        if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"others may read or write {self._file}: run `chmod 600 {self._file}`")
        if (seen := (facts.st_mtime_ns, facts.st_ino)) != self._seen:
            try:
                self._grants = msgspec.json.decode(self._file.read_bytes(), type=tuple[Grant, ...])
            except msgspec.MsgspecError as error:
                raise SettingsError(f"{self._file} cannot be read: {error}") from error
            self._seen = seen
        return self._grants

    def grant(self, bearer: str | None) -> Grant | None:
        """What the owner of a token may do; None where nobody has it."""
        grants = self.all()
        if not grants and self._open:
            return ANYBODY
        found = _hash(bearer or "")
        return next((each for each in grants if secrets.compare_digest(each.hash, found)), None)

    def make(self, grant: Grant) -> Secret:
        """A new token, which is not kept. Raises UsageError where its name is taken."""
        grants = self.all()
        if any(each.name == grant.name for each in grants):
            raise UsageError(f"there is a token {grant.name!r} already: revoke it, or name this one otherwise (--name)")
        token = PREFIX + secrets.token_urlsafe(32)
        self._write((*grants, msgspec.structs.replace(grant, hash=_hash(token))))
        return Secret(token)

    def revoke(self, name: str) -> Grant:
        """Forget a token: whoever has it is refused from now on. Raises UsageError where there is none."""
        grants = self.all()
        found = next((each for each in grants if each.name == name), None)
        if found is None:
            raise UsageError(
                f"there is no token {name!r}; there are {', '.join(each.name for each in grants) or 'none'}"
            )
        if len(grants) == 1:
            raise UsageError(
                f"{name!r} is the last token: without any, a door on loopback lets everybody send, and any other "
                f"nobody. Make another one first, or delete {self._file}"
            )
        self._write([each for each in grants if each is not found])
        return found

    def _write(self, grants: Sequence[Grant]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._file.with_name(f".{FILE}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(grants)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
