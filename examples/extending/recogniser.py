"""A recogniser of your own: names from a list. `python examples/extending/recogniser.py` builds a dataset with it.

[curate]
recognise_with = ["recogniser:Staff"]  # module:name
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from flows.curate.stage import curate
from flows.extend import recogniser
from flows.redact.protocol import Span
from flows.testing.events import interaction
from flows.testing.world import AS_OF, World

STAFF = ("Ines Kowalczyk", "Tomasz Wieczorek")
"""A real one would read them from a file that lies beside this one."""


@recogniser
class Staff:
    """People who work here, by name: no pattern tells them from other words."""

    def __init__(self) -> None:
        self._names = re.compile("|".join(map(re.escape, STAFF)), re.IGNORECASE)

    def find(self, text: str) -> Iterator[Span]:
        """Every name, as a person of the staff."""
        for match in self._names.finditer(text):
            yield Span(*match.span(), "staff")


def main() -> None:
    """A question that names one of them becomes a row that does not."""
    with tempfile.TemporaryDirectory() as home:
        world = World(Path(home), eval_share=0, recognise_with=("recogniser:Staff",))
        asked = interaction(1, input_messages=[{"role": "user", "content": "Ines Kowalczyk promised me a refund"}])
        world.happened(asked)
        world.judged({asked.id: "ok"})
        summary = curate(world.lake, world.settings, AS_OF)
        (file,) = Path(summary["training"]["path"]).glob("data/sft-*.parquet")
        (row,) = pq.read_table(file).to_pylist()
    print(row["messages"][0]["content"])


if __name__ == "__main__":
    main()
