"""Tables that stay healthy for years: forgotten, retired, compacted, vacuumed, audited.

stage       the stage itself (`flow.py` puts it under Prefect)
superseded  what later runs have said anew
status      what `flywheel status` says
"""
