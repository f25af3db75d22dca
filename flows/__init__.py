"""WORK. The turns of the wheel, one folder a stage.

    cluster     interactions and feedback  → outcomes, failures, clusters
    curate      outcomes and clusters      → dataset versions, frozen eval sets
    evaluate    eval set and two models    → scores, comparison
    promote     comparison and policy      → verdict, ledger row, decision event
    maintain    tables                     → compacted, vacuumed, audited tables

Each stage is pure modules, one `stage.py`, and one thin `flow.py` in Prefect's dress. Stages never import one another.
What they share:

    run             what an execution reads, and its id; `context` its settings and lake
    ledger          decisions as a hash chain; `announce` tells Kafka of them
    versions        dataset versions; `evalset` which of them decides; `evaluations` what was compared
    embed           text to vectors; `statistics` the gate's formulas; `extend` code of a person's own
    names           the name of a cluster wherever its id stands
    visible         strangers' text made harmless; `terminal`, `markdown` where it is shown
    testing         doubles and worlds, for tests of one's own

and what puts them together: `turn`, `erase`, `serve` (Prefect), `prefect_api`, `signin`, `rollback_watch`, `stack` (all
processes of `flywheel up`), `cli` with `commands`.
"""
