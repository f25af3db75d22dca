"""Tables that stay healthy for years. Read `flow.py` first: read, think, publish."""
