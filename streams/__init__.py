"""MOTION. Kafka to lake.

Owns: the embedded broker, the producer, the archiver, triage, and the lake where streams come to rest.
Promises: every event that Kafka acknowledged is in the lake or among the dead letters exactly once.
Imports `schemas`; never `flows`. Of this room, `flows` uses `streams.lake`, `streams.producer`, `streams.admin` and
process entry points.
"""
