package berth;

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
}
