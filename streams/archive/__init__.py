"""Kafka to lake, exactly once: the archiver, a process of its own.

run             the process: tuned, measured, stopped by a signal
archiver        the loop: consume, decode, commit, seek to what the table says
record          what came beside a value: time, headers, key, or a note of what was wrong with them
batch           one decoded stretch of a partition: rows, dead letters, the offset after it
dead_letters    a dead letter for each cause
columns         Arrow columns that grow by blocks
buffer          what was decoded and is not handed on yet
landing         the thread that writes files and commits while the archiver decodes on
probe           where a record batch that no client can read ends
metrics         what Prometheus sees of it
"""
