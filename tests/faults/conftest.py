"""Faults need what the other tests with a real Kafka need."""

from tests.integration.conftest import ingest, s3

__all__ = ["ingest", "s3"]
