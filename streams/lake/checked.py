"""What was verified before, so that only what is new is read again: hashes of files, offsets that were all there.

A file is read anew when its size or its time of change is another one, and one in SHARES whatever they are each day: a
disk may change a bit and tell nobody. A note beside the tables remembers; without it everything is read. Go on to
`audit.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import msgspec
from pyarrow import fs

from streams.lake import notes
from streams.lake.files import filesystem
from streams.lake.layout import Lake

NOTE = "checked.json"
SHARES = 7
"""Days in which every file is read anew at least once, a seventh each day: a file's name says on which."""


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A file whose content was what its name says."""

    size: int
    changed: int
    """When the store says that it was written, in nanoseconds."""
    day: int
    """When it was read, as a day's number."""


class Checked(msgspec.Struct):
    """All that is remembered."""

    files: dict[str, dict[str, Seen]] = {}
    """Table → path → when it was whole."""
    offsets: dict[str, dict[str, int]] = {}
    """Table → `committed_id` of a Kafka partition → the offset up to which every one was there once."""
    blanked: dict[str, list[str]] = {}
    """A file of dead letters → keyed hashes of the subjects that it was searched for."""
    settled: dict[str, list[int]] = {}
    """Table → its versions in the last nights that removed what was superseded, oldest first."""


def load(lake: Lake) -> Checked:
    """What is remembered; nothing where the note is not there or says something else."""
    content = notes.read(lake, NOTE)
    try:
        return msgspec.json.decode(content or b"{}", type=Checked)
    except msgspec.DecodeError:
        return Checked()


def save(lake: Lake, checked: Checked) -> None:
    """Remember. Of two at one moment the later one's memory stays: the other's files are read again."""
    notes.write(lake, NOTE, msgspec.json.encode(checked, order="sorted"))


def stand(lake: Lake, name: str, paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Size and time of change of a table's files as the store has them now; a file that is gone is left out."""
    if lake.is_local:
        root, found = Path(lake.uri(name)), {}
        for path in paths:
            try:
                known = (root / unquote(path)).stat()
            except OSError:
                continue
            found[path] = (known.st_size, known.st_mtime_ns)
        return found
    wanted = {unquote(path): path for path in paths}
    listed = filesystem(lake, name).get_file_info(fs.FileSelector("", recursive=True, allow_not_found=True))
    return {wanted[info.path]: (info.size, info.mtime_ns) for info in listed if info.path in wanted}


def is_due(path: str, seen: Seen | None, now: tuple[int, int] | None, today: date) -> bool:
    """Whether a file is to be read: it is new, or another than it was, or its day has come."""
    if seen is None or now is None or now != (seen.size, seen.changed):
        return True
    number, days = int(Path(path).stem[:8] or "0", 16) % SHARES, today.toordinal()
    return seen.day <= days - SHARES or (days % SHARES == number and seen.day != days)
