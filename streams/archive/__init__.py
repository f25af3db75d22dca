"""Kafka to lake, exactly once: the archiver, a process of its own.

archiver    the loop: consume, decode, commit, seek to what the table says
batch       one decoded stretch of a partition: rows, dead letters, the offset after it
columns     Arrow columns that grow by blocks
landing     the thread that writes files and commits while the archiver decodes on
probe       where a record batch that no client can read ends
metrics     what Prometheus sees of it
"""
