"""The tables of the stage that makes datasets. Go on to `tables.py`, which has all."""

from __future__ import annotations

import pyarrow as pa

from schemas.table import APPLICATION, INTERACTION_ID, JSON, RUN_ID, TIME, Table

EXAMPLES = Table(
    name="examples",
    schema=pa.schema([
        APPLICATION,
        pa.field("how", pa.string(), nullable=False),  # hash of how it was made: redaction, consent, salt, code
        pa.field("key", pa.string(), nullable=False),  # hash of what its conversation rested on when it was made
        pa.field("place", pa.int32(), nullable=False),  # which of what the conversation gave
        INTERACTION_ID,
        pa.field("other_id", pa.string()),
        pa.field("feedback_id", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("told_by", pa.string()),
        pa.field("time", TIME),
        pa.field("reason", pa.string()),  # why it gives no example
        pa.field("example", JSON),  # redacted
        pa.field("redacted", JSON),  # kind of personal data → how often it was replaced
    ]),
    identity=("application", "key", "place"),
    low_cardinality=("application", "how", "reason", "redacted"),
)  # fmt: skip
"""A memory of what interactions teach: what it lacks is made again."""
DATASET_VERSIONS = Table(
    name="dataset_versions",
    schema=pa.schema([
        RUN_ID,
        APPLICATION,
        pa.field("dataset", pa.string(), nullable=False),  # the recipe's name
        pa.field("version", pa.string(), nullable=False),  # content hash: names the folder
        pa.field("kind", pa.string(), nullable=False),  # training, eval, frozen, sample
        pa.field("path", pa.string(), nullable=False),  # below the datasets root
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("created", TIME, nullable=False),
        pa.field("rows", JSON),  # config/split → rows
        pa.field("manifest", JSON, nullable=False),
        pa.field("status", pa.string(), nullable=False),  # current, stale, withdrawn
        pa.field("status_reason", pa.string()),
    ]),
    identity=("version", "status"),
)  # fmt: skip
QUARANTINE = Table(
    name="quarantine",
    schema=pa.schema([
        RUN_ID,
        APPLICATION,
        INTERACTION_ID,
        pa.field("feedback_id", pa.string()),
        pa.field("origin", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("contributor", pa.string()),  # keyed hash of whose row it is
    ]),
    identity=("run_id", "interaction_id", "feedback_id", "reason"),
    low_cardinality=("run_id", "application", "origin", "reason", "contributor"),
)  # fmt: skip
"""Rows that a build held until somebody vouches for them."""
CLEARED = Table(
    name="cleared",
    schema=pa.schema([
        pa.field("id", pa.string(), nullable=False),  # of the interaction, or of a stranger's correction
        APPLICATION,
        pa.field("time", TIME, nullable=False),
        pa.field("cleared_by", pa.string(), nullable=False),
    ]),
    identity=("id",),
)  # fmt: skip
"""Whom a reviewer vouched for; the next build reads it."""
GOLDEN = Table(
    name="golden",
    schema=pa.schema([
        pa.field("act_id", pa.string(), nullable=False),
        APPLICATION,
        pa.field("time", TIME, nullable=False),
        pa.field("decided_by", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),  # added, edited, retired
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),  # of the item, from 1: every act is one more
        pa.field("messages", JSON, nullable=False),
        pa.field("reference", pa.string(), nullable=False),
        pa.field("rubric", pa.string()),
        pa.field("slice", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("interaction_id", pa.string()),  # that it was made from
        pa.field("unit", pa.string()),  # whose that is, so that it goes with them
        pa.field("asked_at", TIME),
    ]),
    identity=("act_id",),
)  # fmt: skip
"""What people did to eval items of their own making; the next build reads it. A row is the item from then on."""
