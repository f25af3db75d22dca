"""MOTION. Kafka to lake: programs around the lake in which streams come to rest.

    broker       the embedded Apache Kafka
    archive      Kafka to lake, exactly once
    triage       live rates and alerts
    doors        HTTP and OpenTelemetry in, the champion out
    importers    what other tools kept, in
    processes    supervision of child processes
    lake         the Delta tables, and the only door to them

Beside them what several use: producer, alerts, admin, access, keyring, logs, web_guard, files, replay, dead_letters,
purge.
Every event that Kafka acknowledged is in the lake or among the dead letters exactly once. Imports `schemas`; never
`flows`.
"""
