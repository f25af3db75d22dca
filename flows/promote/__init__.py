"""Comparison into verdict into champion.

stage       the stage itself: read, think, publish (`flow.py` puts it under Prefect)
gate        four questions, the worst answer wins: the verdict
staleness   whether a comparison still stands on what it stood on
rollback    who served before serves again
report      the verdict for people
experiment  several candidates side by side on live users, with shares that follow and a stop
variants    live variants compared, where the application splits its users
mirror      the champion's alias in MLflow, kept in step with the ledger
forget      decisions that rest on a person's rows, named in the receipt
"""
