"""What Spark sees in a table: `python spark_reader.py TABLE CONDITION…` prints its rows' offsets and counts as JSON.

Runs in an environment of its own with `pyspark` and `delta-spark`; fetches Delta's jars from Maven Central.
"""

from __future__ import annotations

import json
import sys

from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

builder = (
    SparkSession.builder.master("local[1]")
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.databricks.delta.snapshotPartitions", "1")
)
spark = configure_spark_with_delta_pip(builder).getOrCreate()
table = spark.read.format("delta").load(sys.argv[1])
found = {
    "offsets": sorted(row[0] for row in table.select("kafka_offset").collect()),
    "first": json.loads(table.orderBy("kafka_offset").limit(1).toJSON().collect()[0]),
    "counts": {condition: table.where(condition).count() for condition in sys.argv[2:]},
    "version_3": spark.read.format("delta").option("versionAsOf", 3).load(sys.argv[1]).count(),
}
sys.stdout.write(json.dumps(found))
