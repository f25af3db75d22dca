import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.from_json;
import static org.apache.spark.sql.functions.to_date;

import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.DataStreamReader;
import org.apache.spark.sql.streaming.Trigger;
import org.apache.spark.sql.types.StructType;

/** Kafka to Delta by Spark Structured Streaming: what is there, then ends. Arguments: servers, topic, folder, rows of a
 * micro-batch at most (0: all at once, its best case), the event's fields as Spark's DDL. */
public final class Sink {
    public static void main(String[] given) throws Exception {
        SparkSession spark = SparkSession.builder()
            .master("local[2]")
            .appName("sink")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
            .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
            .config("spark.sql.session.timeZone", "UTC")
            .getOrCreate();
        DataStreamReader reader = spark.readStream()
            .format("kafka")
            .option("kafka.bootstrap.servers", given[0])
            .option("subscribe", given[1])
            .option("startingOffsets", "earliest");
        if (!given[3].equals("0")) {
            reader = reader.option("maxOffsetsPerTrigger", given[3]);
        }
        reader.load()
            .select(
                from_json(col("value").cast("string"), StructType.fromDDL(given[4])).as("event"),
                col("partition").as("kafka_partition"),
                col("offset").as("kafka_offset"),
                col("timestamp").as("kafka_time"))
            .select("event.*", "kafka_partition", "kafka_offset", "kafka_time")
            .withColumn("ingest_date", to_date(col("kafka_time")))
            .writeStream()
            .format("delta")
            .partitionBy("ingest_date")
            .option("checkpointLocation", given[2] + "/checkpoint")
            .trigger(Trigger.AvailableNow())
            .start(given[2] + "/table")
            .awaitTermination();
        spark.stop();
    }
}
