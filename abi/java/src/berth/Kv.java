package berth;

import java.util.Iterator;
import java.util.NoSuchElementException;
import org.teavm.interop.Address;

/** The plugin's durable state: keys and values, shared by all of its instances. It needs the capability kv. */
public final class Kv {
    private Kv() {
    }

    /** The value of a key, or null if there is none. */
    public static String get(String key) {
        byte[] bytes = Utf8.encode(key);
        byte[] buffer = Host.buffer;
        return Host.text(Host.kvGet(Host.at(bytes), bytes.length, Host.at(buffer), buffer.length));
    }

    public static void set(String key, String value) {
        byte[] k = Utf8.encode(key);
        byte[] v = Utf8.encode(value);
        Host.check(Host.kvSet(Host.at(k), k.length, Host.at(v), v.length));
    }

    /** Writes a value if the present one is old, or, if old is null, if there is none; CONFLICT otherwise. */
    public static void cas(String key, String old, String value) {
        byte[] k = Utf8.encode(key);
        byte[] o = old == null ? null : Utf8.encode(old);
        byte[] v = Utf8.encode(value);
        int n = o == null
                ? Host.kvCas(Host.at(k), k.length, Address.fromInt(0), -1, Host.at(v), v.length)
                : Host.kvCas(Host.at(k), k.length, Host.at(o), o.length, Host.at(v), v.length);
        Host.check(n);
    }

    public static void delete(String key) {
        byte[] bytes = Utf8.encode(key);
        Host.check(Host.kvDelete(Host.at(bytes), bytes.length));
    }

    /**
     * Has a key disappear after so many seconds. 0 removes the limit, and so does set; cas keeps it. NOT_FOUND if there
     * is no such key.
     */
    public static void expire(String key, int seconds) {
        byte[] bytes = Utf8.encode(key);
        Host.check(Host.kvExpire(Host.at(bytes), bytes.length, seconds));
    }

    /**
     * The keys that begin with a prefix, "" for all, in the order of their bytes. They are asked for as they are needed:
     * keys written meanwhile may or may not appear.
     */
    public static Iterable<String> keys(String prefix) {
        return () -> new Keys(Utf8.encode(prefix));
    }

    private static final class Keys implements Iterator<String> {
        private final byte[] prefix;
        private byte[] after = new byte[0];
        private byte[] page = new byte[0];
        private int at;
        private boolean done;

        Keys(byte[] prefix) {
            this.prefix = prefix;
        }

        @Override
        public boolean hasNext() {
            if (at == page.length && !done) {
                byte[] buffer = Host.buffer;
                int n = Host.check(Host.kvList(Host.at(prefix), prefix.length, Host.at(after), after.length, Host.at(buffer),
                        buffer.length));
                Host.refill(n);
                page = new byte[n];
                System.arraycopy(Host.buffer, 0, page, 0, n);
                at = 0;
                done = n == 0;
            }
            return !done;
        }

        @Override
        public String next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            int size = page[at] & 0xff | (page[at + 1] & 0xff) << 8; // at most 256
            after = new byte[size];
            System.arraycopy(page, at + 4, after, 0, size);
            at += 4 + size;
            return Utf8.decode(after, 0, size);
        }
    }
}
