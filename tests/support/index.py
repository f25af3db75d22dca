"""The web app's index of a lake, and all that it says: for tests that hold two of them against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.settings import Settings
from streams.lake import Lake
from ui.index.fold import FILE, Folder
from ui.index.lists import THERE
from ui.index.store import reader

SUMMED = ("day", "hour", "cluster_hour", "latency")


def held(home: Path) -> dict[str, Any]:
    """All that an index says, without the numbers that it gives to things."""
    with reader(home / FILE) as sql:
        interactions = sql.execute(
            "SELECT hex(i.id), i.time, i.arrived, i.conversation, i.unit, d.model, d.prompt, i.outcome, c.id, "
            "i.ask, i.reply "
            "FROM interaction AS i JOIN dim AS d ON d.n = i.dim LEFT JOIN home AS h USING (n) "
            "LEFT JOIN cluster AS c ON c.n = h.cluster ORDER BY 1"
        )
        said = sql.execute(
            "SELECT hex(id), hex(interaction), time, kind, source, value, stands FROM feedback "
            f"WHERE {THERE} ORDER BY 1"
        )
        found = {"interaction": [*map(tuple, interactions)], "feedback": [*map(tuple, said)]}
        for name in SUMMED:
            at = "cluster" if name == "cluster_hour" else "dim"
            rows = sql.execute(f"SELECT * FROM {name}").fetchall()
            found[name] = sorted(tuple(row[key] for key in row.keys() if key not in {at, "dim"}) for row in rows)  # noqa: SIM118
        words = sql.execute("SELECT count(*) FROM words WHERE words MATCH 'question OR parcel'").fetchone()[0]
        return found | {"words": words}


def fold(home: Path, lake: Lake) -> dict[str, Any]:
    """Take in what came to the lake since, and say what the index below this home says then."""
    folder = Folder(lake, Settings(home=str(home)))
    try:
        folder.fold()
    finally:
        folder.close()
    return held(home)
