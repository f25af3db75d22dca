"""The table of tables: Arrow schema, partitioning and identity of everything at rest in the lake.

Raw tables hold events as they came, with their place in Kafka; derived tables hold what flows concluded from them.
A schema grows by adding nullable columns at its end, never by changing one. Go on to `streams/lake/`.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
TEXTS = pa.list_(pa.string())
JSON = pa.string()
"""JSON text: nested values whose shape the lake must not fix (inferred structs corrupt tool calls)."""

PLACE = [
    pa.field("event_version", pa.int32()),  # the version that the producer wrote; rows are lifted to the newest
    pa.field("kafka_partition", pa.int32(), nullable=False),
    pa.field("kafka_offset", pa.int64(), nullable=False),
    pa.field("kafka_time", TIME),
    pa.field("ingested_at", TIME, nullable=False),
    pa.field("ingest_date", pa.date32(), nullable=False),
    pa.field("kafka_topic_id", pa.string()),  # a topic that was deleted and made anew counts its offsets anew
]
"""Where a raw row came from: with the topic of its table, the way back to the Kafka offset."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One Delta table of the lake."""

    name: str
    schema: pa.Schema
    identity: tuple[str, ...]
    """The columns that name a row: equal values are one row to every reader."""
    partition_by: tuple[str, ...] = ()
    low_cardinality: tuple[str, ...] = ()
    """Columns worth a Parquet dictionary; on others it costs time and saves nothing."""
    raw: bool = False

    @property
    def of_run(self) -> bool:
        """Whether its rows belong to runs: visible once their run is finished."""
        return "run_id" in self.schema.names and self.identity != ("run_id",)


def _raw(name: str, low_cardinality: tuple[str, ...], *fields: pa.Field) -> Table:
    identity = [pa.field("id", pa.string(), nullable=False), pa.field("time", TIME, nullable=False)]
    schema = pa.schema([*identity, *fields, pa.field("extra", JSON), *PLACE])
    low = (*low_cardinality, "event_version", "kafka_partition", "kafka_topic_id", "ingested_at")
    return Table(
        name=name, schema=schema, identity=("id",), partition_by=("ingest_date",), low_cardinality=low, raw=True
    )


INTERACTIONS = _raw(
    "interactions",
    (
        "application", "operation_name", "provider_name", "request_model", "response_model", "prompt_version",
        "variant", "error_type", "finish_reasons.list.element",
    ),
    pa.field("application", pa.string(), nullable=False),
    pa.field("conversation_id", pa.string(), nullable=False),
    pa.field("user_id", pa.string()),
    pa.field("operation_name", pa.string()),
    pa.field("provider_name", pa.string()),
    pa.field("request_model", pa.string(), nullable=False),
    pa.field("response_model", pa.string()),
    pa.field("response_id", pa.string()),
    pa.field("prompt_version", pa.string()),
    pa.field("variant", pa.string()),
    pa.field("input_messages", JSON),
    pa.field("output_messages", JSON),
    pa.field("system_instructions", pa.string()),
    pa.field("tool_definitions", JSON),
    pa.field("request_parameters", JSON),
    pa.field("finish_reasons", TEXTS),
    pa.field("error_type", pa.string()),
    pa.field("input_tokens", pa.int64()),
    pa.field("output_tokens", pa.int64()),
    pa.field("duration_ms", pa.float64()),
    pa.field("time_to_first_chunk_ms", pa.float64()),
    pa.field("cost_usd", pa.float64()),
    pa.field("training_consent", pa.bool_()),
)  # fmt: skip
FEEDBACK = _raw(
    "feedback",
    ("application", "kind", "source", "label"),
    pa.field("application", pa.string(), nullable=False),
    pa.field("conversation_id", pa.string(), nullable=False),
    pa.field("interaction_id", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("source", pa.string()),
    pa.field("user_id", pa.string()),
    pa.field("value", pa.float64()),
    pa.field("label", pa.string()),
    pa.field("text", pa.string()),
    pa.field("replaced_by", pa.string()),
    pa.field("supersedes", pa.string()),
    pa.field("retracts", pa.string()),
)
ERASURES = _raw(
    "erasures",
    ("application",),
    pa.field("subject", pa.string(), nullable=False),
    pa.field("application", pa.string()),
    pa.field("requested_by", pa.string()),
    pa.field("reason", pa.string()),
)
_DECISION = [
    pa.field("application", pa.string(), nullable=False),
    pa.field("action", pa.string(), nullable=False),
    pa.field("candidate", JSON, nullable=False),
    pa.field("champion", JSON),
    pa.field("verdict", pa.string()),
    pa.field("reasons", TEXTS),
    pa.field("evidence", JSON),
    pa.field("decided_by", pa.string()),
    pa.field("sequence", pa.int64(), nullable=False),
    pa.field("previous_hash", pa.string(), nullable=False),
    pa.field("hash", pa.string(), nullable=False),
]
DECISIONS = _raw("decisions", ("application", "action"), *_DECISION)
"""What was announced on Kafka; the truth is `ledger`."""
DEAD_LETTERS = Table(
    name="dead_letters",
    schema=pa.schema([
        pa.field("kafka_topic", pa.string(), nullable=False),
        pa.field("kafka_partition", pa.int32(), nullable=False),
        pa.field("kafka_offset", pa.int64(), nullable=False),
        pa.field("kafka_time", TIME),
        pa.field("ingested_at", TIME, nullable=False),
        pa.field("ingest_date", pa.date32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),  # the bytes as they came, cut at archive.dead_letter_bytes
        pa.field("value_size", pa.int64()),
        pa.field("value_sha256", pa.string()),
        pa.field("headers", JSON),
        pa.field("kafka_topic_id", pa.string()),
        pa.field("offsets", pa.int64()),  # how many offsets from kafka_offset on the row stands for: 1 for an event
    ]),
    identity=("kafka_topic", "kafka_topic_id", "kafka_partition", "kafka_offset"),
    partition_by=("ingest_date",),
    low_cardinality=("kafka_topic", "kafka_topic_id", "reason", "ingested_at"),
    raw=True,
)  # fmt: skip

_RUN = pa.field("run_id", pa.string(), nullable=False)
"""Hash of what a run read and how: table versions, settings, code version. The same run twice is one run."""
_APPLICATION = pa.field("application", pa.string(), nullable=False)
_INTERACTION_ID = pa.field("interaction_id", pa.string(), nullable=False)

RUNS = Table(
    name="runs",
    schema=pa.schema([
        _RUN,
        pa.field("stage", pa.string(), nullable=False),
        _APPLICATION,
        pa.field("as_of", TIME, nullable=False),
        pa.field("versions", JSON, nullable=False),  # raw table name → Delta version read
        pa.field("settings_hash", pa.string(), nullable=False),
        pa.field("code_version", pa.string(), nullable=False),
        pa.field("summary", JSON),
        pa.field("sequence", pa.int64()),  # in which order the runs of the lake were finished, from 1
    ]),
    identity=("run_id",),
)  # fmt: skip
"""One row per finished run of a stage: written last, it makes the run's rows in other tables visible."""
OUTCOMES = Table(
    name="outcomes",
    schema=pa.schema([
        _RUN,
        _APPLICATION,
        _INTERACTION_ID,
        pa.field("time", TIME, nullable=False),
        pa.field("conversation_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("request_model", pa.string(), nullable=False),
        pa.field("prompt_version", pa.string()),
        pa.field("variant", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),  # ok, failed, unknown
        pa.field("score", pa.float64()),  # how far the signals speak for good, 0 to 1; null where nothing was said
        pa.field("reasons", TEXTS),
        pa.field("signals", pa.int32()),
        pa.field("text", pa.string()),  # what the person asked: the last user message
    ]),
    identity=("run_id", "interaction_id"),
    low_cardinality=(
        "run_id", "application", "request_model", "prompt_version", "variant", "outcome", "reasons.list.element",
    ),
)  # fmt: skip
CLUSTERS = Table(
    name="clusters",
    schema=pa.schema([
        _RUN,
        _APPLICATION,
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("theme_id", pa.string()),
        pa.field("name", pa.string(), nullable=False),
        pa.field("description", pa.string()),
        pa.field("terms", TEXTS),
        pa.field("medoid_interaction_id", pa.string()),
        pa.field("medoid_text", pa.string()),
        pa.field("reasons", TEXTS),
        pa.field("size", pa.int64(), nullable=False),  # failures in the run's window
        pa.field("size_total", pa.int64(), nullable=False),  # failures ever
        pa.field("rate", pa.float64()),  # failures per interaction of the window
        pa.field("rate_low", pa.float64()),
        pa.field("rate_high", pa.float64()),
        pa.field("status", pa.string(), nullable=False),  # new, growing, steady, shrinking, resolved, regressed, merged
        pa.field("parent_id", pa.string()),
        pa.field("alias_of", pa.string()),
        pa.field("first_seen", TIME),
        pa.field("last_seen", TIME),
        pa.field("trend", JSON),  # [[window start, failures, interactions], …]
        pa.field("closure", JSON),  # per promotion: rate before, after, difference with interval, verdict
        pa.field("segments", JSON),  # model, prompt version, variant → value → [failures, interactions, low, high]
    ]),
    identity=("run_id", "cluster_id"),
)  # fmt: skip
CLUSTER_MEMBERS = Table(
    name="cluster_members",
    schema=pa.schema([
        _RUN,  # the run that placed or moved it; only a split or merge that a person accepted moves a failure
        _APPLICATION,
        _INTERACTION_ID,
        pa.field("cluster_id", pa.string(), nullable=False),  # empty: unclustered
        pa.field("confidence", pa.float64()),
        pa.field("assigned_by", pa.string(), nullable=False),  # birth, vote, split, merged
        pa.field("text_hash", pa.string()),
        pa.field("moves", pa.int32()),  # how often it was moved so far; its row with the most moves holds
    ]),
    identity=("interaction_id", "moves"),
)  # fmt: skip
CLUSTER_EVENTS = Table(
    name="cluster_events",
    schema=pa.schema([
        _RUN,
        _APPLICATION,
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),  # born, split, merged, resolved, regressed, renamed, suspected
        pa.field("other_ids", TEXTS),
        pa.field("details", JSON),
    ]),
    identity=("run_id", "cluster_id", "event"),
)  # fmt: skip
CLUSTER_DECISIONS = Table(
    name="cluster_decisions",
    schema=pa.schema([
        pa.field("decision_id", pa.string(), nullable=False),
        _APPLICATION,
        pa.field("time", TIME, nullable=False),
        pa.field("decided_by", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),  # of the accepted proposal: split, merged
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("other_ids", TEXTS),
        pa.field("proposed_by", pa.string(), nullable=False),  # the run that proposed it
    ]),
    identity=("decision_id",),
)  # fmt: skip
"""Proposals that a person accepted; the next cluster run carries them out."""
EMBEDDINGS = Table(
    name="embeddings",
    schema=pa.schema([
        pa.field("embedder", pa.string(), nullable=False),
        pa.field("text_hash", pa.string(), nullable=False),
        pa.field("vector", pa.list_(pa.float32()), nullable=False),
    ]),
    identity=("embedder", "text_hash"),
    low_cardinality=("embedder",),
)  # fmt: skip
DATASET_VERSIONS = Table(
    name="dataset_versions",
    schema=pa.schema([
        _RUN,
        _APPLICATION,
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
EVALUATIONS = Table(
    name="evaluations",
    schema=pa.schema([
        _RUN,
        _APPLICATION,
        pa.field("evaluation_id", pa.string(), nullable=False),
        pa.field("candidate", JSON, nullable=False),
        pa.field("champion", JSON),
        pa.field("dataset_version", pa.string(), nullable=False),
        pa.field("created", TIME, nullable=False),
        pa.field("comparison", JSON, nullable=False),
        pa.field("policy", JSON),
        pa.field("eval_set", pa.string()),  # the name of the set: a recipe, or what it was frozen under
    ]),
    identity=("evaluation_id",),
)  # fmt: skip
SCORES = Table(
    name="scores",
    schema=pa.schema([
        pa.field("evaluation_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("unit", pa.string()),
        pa.field("slice", pa.string()),
        pa.field("role", pa.string(), nullable=False),  # candidate, champion
        pa.field("sample", pa.int32(), nullable=False),
        pa.field("scorer", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("unscored", pa.string()),  # why there is no score
        pa.field("output", pa.string()),
        pa.field("duration_ms", pa.float64()),
        pa.field("time_to_first_chunk_ms", pa.float64()),
        pa.field("input_tokens", pa.int64()),
        pa.field("output_tokens", pa.int64()),
        pa.field("cost_usd", pa.float64()),
        pa.field("tries", pa.int32()),
        pa.field("answered", pa.bool_()),
    ]),
    identity=("evaluation_id", "item_id", "role", "sample", "scorer"),
    low_cardinality=("evaluation_id", "role", "scorer", "unscored", "slice"),
)  # fmt: skip
LEDGER = Table(
    name="ledger",
    schema=pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("time", TIME, nullable=False), *_DECISION]),
    identity=("application", "sequence"),
)
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        INTERACTIONS, FEEDBACK, ERASURES, DECISIONS, DEAD_LETTERS,
        RUNS, OUTCOMES, CLUSTERS, CLUSTER_MEMBERS, CLUSTER_EVENTS, CLUSTER_DECISIONS, EMBEDDINGS,
        DATASET_VERSIONS, EVALUATIONS, SCORES, LEDGER,
    )
}  # fmt: skip
