import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.PartitionSpec;
import org.apache.iceberg.Schema;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.data.IcebergGenerics;
import org.apache.iceberg.data.Record;
import org.apache.iceberg.hadoop.HadoopCatalog;
import org.apache.iceberg.io.CloseableIterable;
import org.apache.iceberg.types.Type;
import org.apache.iceberg.types.Types;

/** The table that Iceberg's sink fills: `create FOLDER FIELDS`, with fields as Spark's DDL, or `count FOLDER`. */
public final class LakeTable {
    private static final TableIdentifier NAME = TableIdentifier.of("lake", "interactions");

    public static void main(String[] given) throws Exception {
        try (HadoopCatalog catalog = new HadoopCatalog(new Configuration(), given[1])) {
            if (given[0].equals("create")) {
                catalog.createTable(
                    NAME, schema(given[2]), PartitionSpec.unpartitioned(),
                    Map.of("write.parquet.compression-codec", "snappy"));
            } else {
                count(catalog);
            }
        }
    }

    private static Schema schema(String fields) {
        List<Types.NestedField> found = new ArrayList<>();
        for (String field : fields.split(", ")) {
            String[] words = field.split(" ");
            found.add(Types.NestedField.optional(found.size() + 1, words[0], type(words[1])));
        }
        return new Schema(found);
    }

    private static Type type(String name) {
        return switch (name) {
            case "STRING" -> Types.StringType.get();
            case "TIMESTAMP" -> Types.TimestampType.withZone();
            case "BIGINT" -> Types.LongType.get();
            case "DOUBLE" -> Types.DoubleType.get();
            case "BOOLEAN" -> Types.BooleanType.get();
            case "ARRAY<STRING>" -> Types.ListType.ofOptional(1000, Types.StringType.get());
            default -> throw new IllegalArgumentException(name);
        };
    }

    private static void count(HadoopCatalog catalog) throws Exception {
        long rows = 0, blank = 0, untyped = 0;
        Set<String> ids = new HashSet<>();
        try (CloseableIterable<Record> read =
                IcebergGenerics.read(catalog.loadTable(NAME)).select("id", "input_tokens").build()) {
            for (Record record : read) {
                Object id = record.getField("id");
                rows++;
                if (id == null) {
                    blank++;
                } else {
                    ids.add(id.toString());
                    untyped += record.getField("input_tokens") == null ? 1 : 0;
                }
            }
        }
        System.out.printf(
            "{\"rows\": %d, \"ids\": %d, \"blank\": %d, \"untyped\": %d}%n", rows, ids.size(), blank, untyped);
    }
}
