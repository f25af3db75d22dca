"""Keys and secrets that an installation makes for itself: one file each in `<home>/secrets`, mode 0600.

Nothing here is a setting: what is made on first use need not be chosen, and what nobody types nobody mistypes. Go on to
`schemas/signing.py` for what is done with the key of decisions.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from schemas.errors import SettingsError
from schemas.settings import Settings
from schemas.signing import Signer, Trust
from schemas.unit import spelled

FOLDER = "secrets"
"""Below the home, mode 0700."""
DECISIONS = "decisions"
"""The private key of this home's decisions; its public half may be shown to everybody."""
RECEIPTS = "receipts"
"""The key under which those who were forgotten are noted."""
BYTES = 32
"""256 bits of the operating system's randomness: as many as the keys that are made of it."""


def own_secret(home: Path, name: str) -> str:
    """The secret of a name, made on first use; of two processes that make it at once, both get the same one.

    URL-safe text of 256 random bits. Raises SettingsError where others may read the file, or it cannot be written.
    """
    folder = home / FOLDER
    path = folder / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise SettingsError(f"the secret {path} can be neither read nor made: {error.strerror or error}") from error


def signer_of(settings: Settings) -> Signer:
    """What signs the decisions of this home."""
    return Signer(own_secret(settings.home_path, DECISIONS))


def trust_of(settings: Settings) -> Trust:
    """Whose decisions are believed here: this home's own and the `trusted_keys`.

    Raises SettingsError where one of these is no key.
    """
    try:
        return Trust((signer_of(settings).public_key, *settings.trusted_keys))
    except ValueError as error:
        raise SettingsError(
            f"trusted_keys: one is no public key, as `flywheel ledger key` prints it ({error})"
        ) from error


def mark_of(home: Path, person: str) -> str:
    """A person's name as a home's receipts and notes have it: HMAC-SHA-256 of its one spelling, in hexadecimal.

    Whoever has no key of this home cannot try names and e-mail addresses on it.
    """
    return hmac.digest(own_secret(home, RECEIPTS).encode(), spelled(person).encode(), "sha256").hex()


def _make(path: Path) -> None:
    """Write the file beside its place, then link it there: whoever finds it finds it whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(BYTES))
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # another process was first: its secret is the secret
        os.link(draft, path)
    draft.unlink()


def _read(path: Path) -> str:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsError(f"others may read {path}: run `chmod 600 {path}`, and make the secret anew if they did")
    return path.read_text().strip()
