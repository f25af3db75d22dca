"""WATER AT REST. Delta Lake tables under one root; where streams end and flows begin.

    <root>/interactions/                 one folder a table: Parquet files and their _delta_log
        ingest_date=2026-01-31/…parquet  raw tables are partitioned by ingest date
        _delta_log/…

layout      where tables lie
files       rows → Parquet files, and their hashes
append      a commit: files and the offsets behind them, at once
rows        records → rows of their table, and back; answers in batches
changes     what came to a table since a version, and the days that were rewritten: for folds that go on
parts       some files of a table: those that came since, those that may hold what is wanted
engine      who answers: DuckDB in this process, or
spark       Spark, for what no longer fits one machine
spilled     rows that lie on disk while a process needs them
query       questions as of a version; views that say each notion once
maintain    compaction, vacuum, removal of files
retire      rows that are removed for good, their places kept
spellings   a name in bytes that were never read, however it is spelled
forget      a person out of the raw tables
notes       small files beside the tables
lease       who is at work, many or one alone, on whatever machine
checked     what was verified before
audit       is every archived offset there, once and undamaged
arrow       Arrow without pandas

The only door to `deltalake`, `duckdb` and `pyspark`.
"""

from streams.lake import arrow
from streams.lake.layout import Lake

__all__ = ["Lake", "arrow"]
