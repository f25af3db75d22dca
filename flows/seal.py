"""Seals ledger rows with this home's key, and remembers outside the lake how far each ledger was.

A hash chain shows that a row was edited; who may write to the lake can compute a whole new chain. Such a chain is found
by what the lake does not hold: the key that signs each row's hash, and the last row that this home has seen, kept in
`<home>/ledgers`. Go on to `ledger.py`, the user.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import LedgerBroken
from schemas.settings import Settings
from schemas.signing import Signer, Trust
from streams.keyring import signer_of, trust_of

FOLDER = "ledgers"
"""Below the home: one anchor an application."""
KIND = "llm-flywheel ledger row"
"""What is signed, so that no signature of an event is one of a row."""


class Anchor(msgspec.Struct, frozen=True):
    """The newest row of a ledger that this home has seen."""

    application: str
    sequence: int
    hash: str
    signed_from: int | None = None
    """The first row that has a signature: those before it were written before rows were signed. None: not noted yet."""


class Seal:
    """Signs the hashes of rows as they are appended, and says later whose they are."""

    def __init__(self, signer: Signer, trust: Trust, folder: Path) -> None:
        self._signer, self._trust, self._folder = signer, trust, folder

    def mark(self, row_hash: str) -> str:
        """What is kept beside a row to prove who appended it."""
        return self._signer.mark(KIND, row_hash.encode())

    def signer(self, row_hash: str, mark: str | None) -> str | None:
        """The trusted key that marked this row; None where none did."""
        return self._trust.marked(KIND, row_hash.encode(), mark)

    def check(self, rows: Sequence[Mapping[str, Any]], seen: Anchor | None) -> None:
        """Raise LedgerBroken for the first of a ledger's rows that a trusted key should have signed and did not.

        `seen` is what this home remembers of it: from where signatures began nothing passes for an older row.
        """
        first = signed_from(rows)
        if seen is not None and seen.signed_from is not None:
            first = min(first, seen.signed_from)
        for row in rows[first:]:
            if self.signer(row["hash"], row.get("signature")) is None:
                raise LedgerBroken(f"{place_of(row)} is signed by nobody trusted: it was not appended by this program")
        if rows and first == len(rows):
            raise LedgerBroken(
                f"{rows[0]['application']}: none of the {first} ledger rows is signed: they are from before rows were "
                "signed, or somebody took the signatures off; the next decision that you take vouches for all of them"
            )

    def last(self, application: str) -> Anchor | None:
        """The newest row that this home has seen; None where it has seen none."""
        try:
            return msgspec.json.decode(self._path(application).read_bytes(), type=Anchor)
        except FileNotFoundError:
            return None

    def remember(self, application: str, sequence: int, row_hash: str, signed_from: int) -> None:
        """Note a newer row: nothing earlier may change or go from now on, and no signature from `signed_from` on.

        Where signatures begin is noted once. Of two processes that note at once the later row stays.
        """
        path = self._path(application)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._remember(path, application, sequence, row_hash, signed_from)

    def _remember(self, path: Path, application: str, sequence: int, row_hash: str, signed_from: int) -> None:
        last = self.last(application)
        if last is not None and last.signed_from is not None:
            signed_from = last.signed_from
        anchor = Anchor(application, sequence, row_hash, signed_from)
        if last is not None and last.sequence >= sequence:
            anchor = msgspec.structs.replace(last, signed_from=signed_from)
        if anchor == last:
            return
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(msgspec.json.encode(anchor))
        draft.replace(path)

    def _path(self, application: str) -> Path:
        """No application's name becomes part of a path."""
        return self._folder / f"{hashlib.sha256(application.encode()).hexdigest()[:16]}.json"


def signed_from(rows: Sequence[Mapping[str, Any]]) -> int:
    """The place of the first row with a signature; of the next row, where none has one."""
    return next((n for n, row in enumerate(rows) if row.get("signature") is not None), len(rows))


def place_of(row: Mapping[str, Any]) -> str:
    """How a message names a row."""
    return f"{row['application']}: ledger row {row['sequence']}"


def seal_of(settings: Settings) -> Seal:
    """The seal of a home: its own key signs, `trusted_keys` are believed too."""
    return Seal(signer_of(settings), trust_of(settings), settings.home_path / FOLDER)
