"""WATER AT REST. Delta Lake tables under one root; where streams end and flows begin.

    <root>/interactions/                 one folder a table: Parquet files and their _delta_log
        ingest_date=2026-01-31/…parquet  raw tables are partitioned by ingest date
        _delta_log/…

`append.py` commits rows, `query.py` reads them as of a version, `rows.py` makes them from records and back, `layout.py`
says where they lie, `maintain.py` keeps them healthy. The only door to `deltalake` and `duckdb`;
`arrow.py` keeps pandas out.
"""

from streams.lake import arrow
from streams.lake.layout import Lake

__all__ = ["Lake", "arrow"]
