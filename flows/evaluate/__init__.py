"""Eval set and models into scores and a paired comparison. Read `flow.py` first: read, think, publish."""
