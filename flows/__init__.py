"""WORK. The turns of the wheel, one folder a stage.

    cluster   interactions and feedback  → outcomes, failures, clusters
    curate    outcomes and clusters      → dataset versions, frozen eval sets
    evaluate  eval set and two models    → scores, comparison
    promote   comparison and policy      → verdict, ledger row, decision event
    maintain  tables                     → compacted, vacuumed, audited tables

Each stage is pure modules and one thin `flow.py`: read, think, publish. Stages never import one another;
`flows/serve.py` alone knows them all.
"""
