"""Comparison into verdict into champion. Read `flow.py` first: read, think, publish."""
