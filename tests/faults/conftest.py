"""Faults need what the other tests with a real Kafka need."""

from tests.integration.conftest import ingest

__all__ = ["ingest"]
