"""DOORS. What comes in by other ways than an application's own Kafka client: HTTP, OpenTelemetry, a Collector's topic.

run             the process: `flywheel door`
app             the HTTP endpoints
body            a request's body, within bounds
tokens          who may send what
batch           what was posted, checked event by event
otlp            OpenTelemetry's requests, protobuf or JSON, as spans and log records
outbox          records to Kafka, and its word that it has them
champions       who serves, followed on the topic of decisions
bridge          a Collector's topic, carried over

docs/door.md is for those who send. Start with `app.py`.
"""
