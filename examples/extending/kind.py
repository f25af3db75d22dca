"""A dataset kind of your own: drafts and what they became. `python examples/extending/kind.py` builds one.

[curate]
kinds = ["kind:revision"]  # module:name
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from datasets import load_dataset

from flows.curate.folder.shapes import Kind, Shaped
from flows.curate.stage import curate
from flows.testing.events import feedback, interaction
from flows.testing.world import AS_OF, World
from schemas.records import Example


def _rows(examples: Sequence[Example]) -> Shaped:
    """One row an example: the chat up to the draft, and the reply that a person wanted instead."""
    return Shaped(
        sources=list(examples),
        chats={
            "draft": [(example.prompt, example.rejected or "[]") for example in examples],
            "revised": [(example.answer,) for example in examples],
        },
        others={"longer": [len(example.answer) > len(example.rejected or "") for example in examples]},
    )


revision = Kind(
    name="revision",
    columns={"draft": "chat", "revised": "chat", "longer": "flag"},
    takes=lambda made: tuple(example for example in made.pairs if example.origin == "correction"),
    shape=_rows,
)


def main() -> None:
    """A corrected answer becomes a row, beside those of our own kinds, and `datasets` opens it."""
    with tempfile.TemporaryDirectory() as home:
        world = World(Path(home), eval_share=0, kinds=("kind:revision",))
        asked = interaction(1)
        world.happened(asked, feedback(1, asked, "correction", text="Your refund was paid on Monday."))
        world.judged({asked.id: "failed"})
        summary = curate(world.lake, world.settings, AS_OF)
        (row,) = load_dataset(summary["training"]["path"], "revision", split="train", cache_dir=f"{home}/cache")
    print(f"{row['draft'][-1]['content']} → {row['revised'][0]['content']}")


if __name__ == "__main__":
    main()
