"""Settings of the SDK: each with its default and its reason; the environment is read once, by `init`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Event = dict[str, Any]
"""An event by the contract, as plain JSON-able values."""
Redact = Callable[[Event], "Event | None"]
VARIABLES = ("FLYWHEEL_APPLICATION", "FLYWHEEL_URL", "FLYWHEEL_TOKEN", "FLYWHEEL_SAMPLE", "FLYWHEEL_STATE_DIR")
"""What the environment may say that concerns the SDK alone; FLYWHEEL_TRUSTED_KEYS it shares with the flywheel."""


class Settings(NamedTuple):
    """Everything that the SDK can be told."""

    application: str
    """The name under which all events of this application stand."""
    url: str
    """`kafka://host:9092,host2:9092?security.protocol=SSL`, `http(s)://host:port` (the door), or `file:///folder`."""
    token: str = ""
    """The door's bearer token."""
    sample: float = 1.0
    """Share of conversations that are kept, each whole or not at all. Feedback is never sampled."""
    redact: Redact | None = None
    """Called with each event before it leaves the process, in the writer's thread: gives the event to send, or None to
    drop it. An event on which it fails is dropped and counted: nothing leaves unredacted."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys whose decisions are believed, as `flywheel ledger key` prints them."""
    state_dir: Path = Path()
    """Where the journal and the last known champion lie."""
    capacity: int = 10_000
    """Events that wait in memory: a minute at 150 a second."""
    memory_bytes: int = 32 * 2**20
    """And their size, roughly."""
    journal_bytes: int = 256 * 2**20
    """Events on disk while nobody takes them: some 100,000 of 2 kB."""
    max_event_bytes: int = 2**20 - 2**13
    """A longer event would be refused (the limit is 1 MiB): its texts are cut, and it is never trained on."""

    @property
    def place(self) -> str:
        """A folder name for this application and destination; user-supplied text is never part of a path."""
        return hashlib.sha256(f"{self.url}\n{self.application}".encode()).hexdigest()[:16]


def read(environment: Mapping[str, str], **given: Any) -> Settings:
    """Settings from what `init` was given, else from the environment. Raises ValueError, TypeError."""
    given = {name: value for name, value in given.items() if value is not None}
    for name in ("application", "url", "token", "sample", "state_dir"):
        if name not in given and (text := environment.get(f"FLYWHEEL_{name.upper()}")):
            given[name] = text
    if missing := [name for name in ("application", "url") if not given.get(name)]:
        raise ValueError(f"{' and '.join(missing)} missing: give it to init(), or set FLYWHEEL_{missing[0].upper()}")
    given["application"] = str(given["application"])[:256]
    given["sample"] = float(given.get("sample", 1.0))
    if not 0 <= given["sample"] <= 1:
        raise ValueError(f"sample must be a share from 0 to 1, got {given['sample']}")
    if not callable(given.get("redact", read)):
        raise TypeError("redact must be a function of an event")
    given["trusted_keys"] = _keys(given.get("trusted_keys") or environment.get("FLYWHEEL_TRUSTED_KEYS", ""))
    given["state_dir"] = Path(given["state_dir"]) if "state_dir" in given else state_dir(environment)
    return Settings(**given)


def state_dir(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/llm-flywheel`, else the same under the home folder, else a private folder of /var/tmp."""
    homes = [environment.get("XDG_STATE_HOME"), os.path.expanduser("~/.local/state")]  # noqa: PTH111 - `~` may not exist
    for home in homes:
        if home and os.access(_existing(Path(home)), os.W_OK):
            return Path(home) / "llm-flywheel"
    var_tmp = Path("/var/tmp")  # noqa: S108 - survives a restart; `private` below sees to it that it is ours
    user = os.getuid() if hasattr(os, "getuid") else 0
    if not var_tmp.is_dir():
        import tempfile  # costs 10 ms, and only Windows comes here

        var_tmp = Path(tempfile.gettempdir())
    return var_tmp / f"llm-flywheel-{user}"


def private(folder: Path) -> Path:
    """Make a folder that only this user can read. Raises OSError, also where it is somebody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid not in {os.getuid(), 0}:
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def _keys(given: str | Sequence[str]) -> tuple[str, ...]:
    """Keys as a sequence, one after a comma, or a JSON list, as the flywheel's own variable of this name has it."""
    text = given if isinstance(given, str) else ",".join(given)
    return tuple(key for part in text.split(",") if (key := part.strip(' []"')))


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
