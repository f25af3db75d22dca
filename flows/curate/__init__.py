"""Clusters and outcomes into datasets that a trainer can trust. Read `flow.py` first: read, think, publish."""
