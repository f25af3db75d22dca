"""The table of tables: Arrow schema, partitioning and identity of everything at rest in the lake.

Raw tables hold events as they came, with their place in Kafka; derived tables hold what flows concluded from them.
A schema grows by adding nullable columns at its end, never by changing one. Go on to `streams/lake/`.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.curated import CLEARED, DATASET_VERSIONS, EXAMPLES, GOLDEN, QUARANTINE
from schemas.table import APPLICATION, INTERACTION_ID, JSON, RUN_ID, TEXTS, TIME, Table

__all__ = [
    "CLEARED", "CLUSTERS", "CLUSTER_DECISIONS", "CLUSTER_EVENTS", "CLUSTER_MEMBERS", "DATASET_VERSIONS",
    "DEAD_LETTERS", "DECISIONS", "EMBEDDINGS", "ERASURES", "ERASURE_STOPS", "EVALUATIONS", "EXAMPLES", "FEEDBACK",
    "GOLDEN", "INTERACTIONS", "JSON", "LEDGER", "OUTCOMES", "PINNED_MEMBERS", "PLACE", "QUARANTINE", "RUNS", "SCORES",
    "TABLES", "TEXTS", "TIME", "VOICES", "Table",
]  # fmt: skip

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
WHAT_AND_WHEN = [pa.field("id", pa.string(), nullable=False), pa.field("time", TIME, nullable=False)]


def _raw(name: str, low_cardinality: tuple[str, ...], *fields: pa.Field, later: tuple[pa.Field, ...] = ()) -> Table:
    schema = pa.schema([*WHAT_AND_WHEN, *fields, pa.field("extra", JSON), *PLACE, *later])
    low, day = (*low_cardinality, "event_version", "kafka_partition", "kafka_topic_id", "ingested_at"), ("ingest_date",)
    return Table(name=name, schema=schema, identity=("id",), partition_by=day, low_cardinality=low, raw=True)


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
    pa.field("trace_id", pa.string()),
    pa.field("span_id", pa.string()),
    pa.field("parent_span_id", pa.string()),
)  # fmt: skip
FEEDBACK = _raw(
    "feedback",
    ("application", "kind", "source", "label", "target", "action"),
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
    pa.field("score", pa.float64()),
    pa.field("target", pa.string()),
    pa.field("action", pa.string()),
)
ERASURES = _raw(
    "erasures",
    ("application",),
    pa.field("subject", pa.string(), nullable=False),
    pa.field("application", pa.string()),
    pa.field("requested_by", pa.string()),
    pa.field("reason", pa.string()),
    later=(pa.field("signed_by", pa.string()),),  # the trusted key that orders it; null: it waits (`flows/erasures.py`)
)
_STOPPED = [pa.field("stopped_by", pa.string(), nullable=False), pa.field("reason", pa.string(), nullable=False)]
ERASURE_STOPS = Table(name="erasure_stops", schema=pa.schema([*WHAT_AND_WHEN, *_STOPPED]), identity=("id",))
_DECISION = [
    *(pa.field(name, pa.string(), nullable=False) for name in ("application", "action", "candidate")),
    *(pa.field(name, pa.string()) for name in ("champion", "verdict")),
    pa.field("reasons", TEXTS),
    *(pa.field(name, pa.string()) for name in ("evidence", "decided_by")),
    pa.field("sequence", pa.int64(), nullable=False),
    *(pa.field(name, pa.string(), nullable=False) for name in ("previous_hash", "hash")),
]
_FORMER = pa.field("former", pa.string())
DECISIONS = _raw("decisions", ("application", "action"), *_DECISION, later=(_FORMER,))
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

RUNS = Table(
    name="runs",
    schema=pa.schema([
        RUN_ID,
        pa.field("stage", pa.string(), nullable=False),
        APPLICATION,
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
        RUN_ID,
        APPLICATION,
        INTERACTION_ID,
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
        pa.field("text", pa.string()),  # what was asked: the last user message, with those before it where it is short
        pa.field("revision", pa.int32()),  # how often it was judged since the first row that is kept; the highest holds
        pa.field("voices", JSON),  # what was said: [[source, 1 for bad or 0], …], as in `voices`
        pa.field("found", TEXTS),  # what our own rules found in it: they run once
        pa.field("speakers", TEXTS),  # units of the people who were heard
        pa.field("left_out", pa.int32()),  # voices that were over the cap
        pa.field("own", pa.string()),  # what it shows by itself, of which its mode may be made: read once
        pa.field("edit", pa.string()),  # what a correction changed
        pa.field("mode", pa.string()),  # of a failure: how it failed (flows/cluster/modes)
    ]),
    identity=("run_id", "interaction_id"),
    low_cardinality=(
        "run_id", "application", "request_model", "prompt_version", "variant", "outcome", "reasons.list.element",
        "voices", "found.list.element", "own", "edit", "mode",
    ),
    apart=("outcome", "revision"),
)  # fmt: skip
"""What has changed: interactions that are new or that more, or less, is said of. Readers see each one's newest."""
VOICES = Table(
    name="voices",
    schema=pa.schema([
        RUN_ID,
        APPLICATION,
        pa.field("voices", JSON, nullable=False),  # [[source, 1 for bad or 0], …], sorted
        pa.field("interactions", pa.int64(), nullable=False),  # of how many just this was said
        pa.field("left_out", pa.int64(), nullable=False),  # voices on these that were over the cap
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
    ]),
    identity=("run_id", "voices"),
    low_cardinality=("run_id", "application", "outcome"),
)  # fmt: skip
"""What was said together, of how many interactions, and what that makes of them: all of a run, where any changed."""
CLUSTERS = Table(
    name="clusters",
    schema=pa.schema([
        RUN_ID,
        APPLICATION,
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
        pa.field("named", pa.string()),  # the act by which a person named it
        pa.field("ignored", JSON),  # the act that closed it until it grows, and what growth is held against
        pa.field("mode", pa.string()),  # the one mode that it holds, where it was split off by it
        pa.field("modes", JSON),  # how its failures failed: each mode with its rate, trend and closure
        pa.field("pinned", pa.string()),  # the act by which a person defined it
    ]),
    identity=("run_id", "cluster_id"),
)  # fmt: skip
CLUSTER_MEMBERS = Table(
    name="cluster_members",
    schema=pa.schema([
        RUN_ID,  # the run that placed or moved it; only a split or merge that was accepted moves a failure
        APPLICATION,
        INTERACTION_ID,
        pa.field("cluster_id", pa.string(), nullable=False),  # empty: unclustered
        pa.field("confidence", pa.float64()),
        pa.field("assigned_by", pa.string(), nullable=False),  # birth, vote, split, merged, person, taught
        pa.field("text_hash", pa.string()),
        pa.field("moves", pa.int32()),  # how often it was moved so far; its row with the most moves holds
    ]),
    identity=("interaction_id", "moves"),
)  # fmt: skip
PINNED_MEMBERS = Table(
    name="pinned_members",
    schema=pa.schema([
        RUN_ID,
        APPLICATION,
        INTERACTION_ID,
        pa.field("cluster_id", pa.string(), nullable=False),  # a pinned cluster: an interaction may be in several
    ]),
    identity=("interaction_id", "cluster_id"),
)  # fmt: skip
CLUSTER_EVENTS = Table(
    name="cluster_events",
    schema=pa.schema([
        RUN_ID,
        APPLICATION,
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),  # as in `schemas.records.ClusterEvent`
        pa.field("other_ids", TEXTS),
        pa.field("details", JSON),
    ]),
    identity=("run_id", "cluster_id", "event"),
)  # fmt: skip
CLUSTER_DECISIONS = Table(
    name="cluster_decisions",
    schema=pa.schema([
        pa.field("decision_id", pa.string(), nullable=False),
        APPLICATION,
        pa.field("time", TIME, nullable=False),
        pa.field("decided_by", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),  # as in `schemas.acts.ClusterDecision`
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("other_ids", TEXTS),
        pa.field("proposed_by", pa.string(), nullable=False),  # the run that proposed it; empty: a person's own act
        pa.field("name", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("words", pa.string()),
        pa.field("interaction_ids", TEXTS),
        pa.field("undoes", pa.string()),  # the decision that is taken back
    ]),
    identity=("decision_id",),
)  # fmt: skip
"""What people decided about clusters; the next cluster run carries it out."""
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
EVALUATIONS = Table(
    name="evaluations",
    schema=pa.schema([
        RUN_ID,
        APPLICATION,
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
        pa.field("feedback_id", pa.string()),  # of a review: the event that it was told as
    ]),
    identity=("evaluation_id", "item_id", "role", "sample", "scorer"),
    low_cardinality=("evaluation_id", "role", "scorer", "unscored", "slice"),
)  # fmt: skip
LEDGER = Table(
    name="ledger", identity=("application", "sequence"),
    schema=pa.schema([
        *WHAT_AND_WHEN, *_DECISION,
        pa.field("signature", pa.string()),  # of the hash: `flows/seal.py`
        _FORMER,
    ]),
)  # fmt: skip
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        INTERACTIONS, FEEDBACK, ERASURES, ERASURE_STOPS, DECISIONS, DEAD_LETTERS,
        RUNS, OUTCOMES, VOICES, CLUSTERS, CLUSTER_MEMBERS, PINNED_MEMBERS, CLUSTER_EVENTS, CLUSTER_DECISIONS,
        EMBEDDINGS, EXAMPLES, DATASET_VERSIONS, QUARANTINE, CLEARED, GOLDEN, EVALUATIONS, SCORES, LEDGER,
    )
}  # fmt: skip
