"""Tables that stay healthy for years: forgotten, retired, compacted, vacuumed, audited.

stage     the stage itself (`flow.py` puts it under Prefect)
status    what `flywheel status` says
"""
