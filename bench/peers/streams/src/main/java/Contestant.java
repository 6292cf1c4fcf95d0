import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams with exactly_once_v2, one thread: copy, or case routing with a cached and logged RocksDB store.
 * The same work as bench/peers/work.py. Arguments: bootstrap, topic, application id, state directory, then either
 * the copy's topic or the three topics of ledger lines, events and dispatches.
 */
public final class Contestant {
    private static final int ENTRY_BYTES = 50;
    private static final int ID_BYTES = 16;
    private static final String STORE = "seen";
    private static final byte[] MEMBER = ascii("platform");
    private static final byte[] FILL = ascii("x".repeat(60));

    public static void main(String[] args) throws InterruptedException {
        Topology topology = new Topology();
        Serde<String> text = Serdes.String();
        Serde<byte[]> bytes = Serdes.ByteArray();
        topology.addSource("in", text.deserializer(), bytes.deserializer(), args[1]);
        if (args.length == 5) {
            topology.addSink("copy", args[4], text.serializer(), bytes.serializer(), "in");
        } else {
            topology.addProcessor("route", Router::new, "in");
            topology.addStateStore(
                Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), text, bytes)
                    .withCachingEnabled().withLoggingEnabled(Map.of()), "route");
            topology.addSink("routed", args[4], text.serializer(), bytes.serializer(), "route");
            topology.addSink("events", args[5], text.serializer(), bytes.serializer(), "route");
            topology.addSink("deliver", args[6], text.serializer(), bytes.serializer(), "route");
        }
        KafkaStreams streams = new KafkaStreams(topology, settings(args));
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            ended.countDown();
        }));
        streams.start();
        ended.await();
    }

    private static Properties settings(String[] args) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[2]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        // 100 ms is Kafka Streams' own default for exactly-once.
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 8 << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 512 << 10);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);
        return settings;
    }

    /** First sight of an id: remembered, and three records out. */
    private static final class Router implements Processor<String, byte[], String, byte[]> {
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> store;
        private MessageDigest hash;

        @Override
        public void init(ProcessorContext<String, byte[]> given) {
            context = given;
            store = given.getStateStore(STORE);
            try {
                hash = MessageDigest.getInstance("SHA-256");
            } catch (java.security.NoSuchAlgorithmException impossible) {
                throw new IllegalStateException(impossible);
            }
        }

        @Override
        public void process(Record<String, byte[]> record) {
            Headers headers = record.headers();
            byte[] id = headers.lastHeader("ce_id").value();
            byte[] digest = headers.lastHeader("ce_digest").value();
            byte[] rawId = unhex(id);
            byte[] state = store.get(record.key());
            if (state != null && seen(state, rawId)) {
                return;
            }
            int length = state == null ? 0 : state.length;
            byte[] next = state == null ? new byte[ENTRY_BYTES] : Arrays.copyOf(state, length + ENTRY_BYTES);
            System.arraycopy(rawId, 0, next, length, ID_BYTES);
            byte[] rawDigest = unhex(digest);
            System.arraycopy(rawDigest, 0, next, length + ID_BYTES, rawDigest.length);
            store.put(record.key(), next);

            hash.update(id);
            hash.update((byte) '/');
            byte[] dispatch = ascii(HexFormat.of().formatHex(hash.digest(MEMBER), 0, ID_BYTES));
            byte[] type = headers.lastHeader("ce_type").value();
            byte[] source = headers.lastHeader("ce_source").value();
            byte[] time = headers.lastHeader("ce_time").value();
            byte[] line = join(id, ascii(record.key()), ascii("routed"), dispatch, MEMBER, type, source, type, time,
                digest, FILL);
            context.forward(record.withValue(line).withHeaders(new RecordHeaders()), "routed");
            Headers event = new RecordHeaders(headers).add("hub_disposition", ascii("routed"))
                .add("hub_stage", ascii("accepted"));
            context.forward(record.withHeaders(event), "events");
            Headers sent = new RecordHeaders(headers).add("hub_dispatch", dispatch).add("hub_kind", type);
            context.forward(record.withHeaders(sent), "deliver");
        }
    }

    private static boolean seen(byte[] state, byte[] id) {
        for (int place = 0; place < state.length; place += ENTRY_BYTES) {
            if (Arrays.equals(state, place, place + ID_BYTES, id, 0, ID_BYTES)) {
                return true;
            }
        }
        return false;
    }

    private static byte[] join(byte[]... parts) {
        int length = parts.length - 1;
        for (byte[] part : parts) {
            length += part.length;
        }
        byte[] all = new byte[length];
        int place = 0;
        for (byte[] part : parts) {
            if (place > 0) {
                all[place++] = '|';
            }
            System.arraycopy(part, 0, all, place, part.length);
            place += part.length;
        }
        return all;
    }

    private static byte[] unhex(byte[] text) {
        return HexFormat.of().parseHex(new String(text, StandardCharsets.ISO_8859_1));
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }
}
