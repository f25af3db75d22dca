"""Redaction as work that can be sent to where the examples are: what it replaced comes back beside them.

It knows patterns and the names of a person's own recognisers, and nothing else of the settings. Go on to `redact.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pyarrow as pa

from flows.redact.own import redactor_of
from flows.redact.redact import Redactor, TooCostly
from flows.run import code_with, same_code
from schemas.records import Example
from schemas.settings import CurateSettings

GIVEN = pa.schema([("example", pa.string())])
"""What it is given: examples as JSON."""


@dataclass(frozen=True)
class Redact:
    """The work: each example as JSON, without personal data; null where looking through it would take too long."""

    regions: tuple[str, ...]
    recognisers: dict[str, str]
    recognise_with: tuple[str, ...]
    code: str
    """Of whoever asks: other code might find something else."""

    @classmethod
    def of(cls, settings: CurateSettings) -> Redact:
        """As the settings have it. Raises SettingsError."""
        own = settings.recognise_with
        return cls(settings.regions, settings.recognisers, own, code_with(*own))

    @property
    def schema(self) -> pa.Schema:
        """`example`, and how often which kind of personal data was replaced, as JSON."""
        return pa.schema([("example", pa.string()), ("redacted", pa.string())])

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Row by row. Raises LakeError where the code differs from the asker's; SettingsError, ExtensionError."""
        same_code(self.code, *self.recognise_with)
        redactor, decoder = redactor_of(self), msgspec.json.Decoder(Example)
        for batch in batches:
            rows = [_redacted(decoder.decode(row["example"]), redactor) for row in batch.to_pylist()]
            yield pa.RecordBatch.from_pylist(rows, schema=self.schema)


def _redacted(example: Example, redactor: Redactor) -> dict[str, str | None]:
    redactor.counts.clear()
    try:
        clean = msgspec.json.encode(redactor.example(example)).decode()
    except TooCostly:
        clean = None
    return {"example": clean, "redacted": msgspec.json.encode(redactor.counts).decode()}
