"""Failures into clusters that keep their name. Read `flow.py` first: read, think, publish."""
