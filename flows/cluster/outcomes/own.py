"""Our own rules over interactions, done where the interactions are: what they find, and what was asked, comes back.

Messages are nearly all that an interaction weighs, and no later step looks at them. Go on to `judging.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa

from flows.cluster.modes.modes import own_mode
from flows.cluster.outcomes.rules import Asked, findings
from flows.run import code_version, same_code
from flows.topic import topic
from schemas.messages import parse, read
from schemas.prompts import Examples, unprompted
from schemas.tables import OUTCOMES

KEPT = ("time", "conversation_id", "user_id", "request_model", "prompt_version", "variant")
"""Columns of an interaction that its outcome has too."""


@dataclass(frozen=True)
class Own:
    """The work: rows of `interactions.sql` into rows of `again.sql` with what the rules found and what was asked."""

    code: str = field(default_factory=code_version)
    """Of whoever asks: other code might find something else."""
    shots: Examples = ()
    """Examples of known prompts, which nobody asked and no agent did."""

    @property
    def schema(self) -> pa.Schema:
        """`id`, `KEPT`, and of `outcomes` what follows from the interaction alone."""
        columns = [OUTCOMES.schema.field(name) for name in (*KEPT, "found", "text", "own")]
        return pa.schema([pa.field("id", pa.string()), *(column.with_nullable(True) for column in columns)])

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Row by row. Raises LakeError where the code differs from the asker's."""
        same_code(self.code)
        for batch in batches:
            rows = [_looked_at(row, self.shots) for row in batch.to_pylist()]
            yield pa.RecordBatch.from_pylist(rows, schema=self.schema)


def _looked_at(row: dict[str, object], shots: Examples) -> dict[str, object]:
    own = msgspec.convert({name: row[name] for name in Asked.__struct_fields__}, Asked)
    request, answer = unprompted(parse(own.input_messages), shots), read(own.output_messages)
    return {
        "id": row["id"],
        **{name: row[name] for name in KEPT},
        "found": findings(own, answer),
        "text": topic(request),
        "own": own_mode(request, answer.chat),
    }
