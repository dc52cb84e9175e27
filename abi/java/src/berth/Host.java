package berth;

import org.teavm.interop.Address;
import org.teavm.interop.Import;

/** The functions of the ABI, and the buffer that they answer into. */
final class Host {
    private Host() {
    }

    static final int END = -1;
    static final int INVALID = -2;
    static final int NOT_FOUND = -4;

    /** Holds the answer of the latest call of text, bytes or {@link #last}. */
    static byte[] buffer = new byte[4096];

    @Import(module = "berth_v1", name = "next")
    static native int next(Address buffer, int capacity);

    @Import(module = "berth_v1", name = "last")
    static native int last(Address buffer, int capacity);

    @Import(module = "berth_v1", name = "error")
    static native int error(Address buffer, int capacity);

    @Import(module = "berth_v1", name = "field")
    static native int field(Address pointer, int length, Address buffer, int capacity);

    @Import(module = "berth_v1", name = "finish")
    static native int finish(int status, Address bytes, int length);

    @Import(module = "berth_v1", name = "emit")
    static native int emit(Address child, int length);

    @Import(module = "berth_v1", name = "log")
    static native void log(int level, Address text, int length);

    @Import(module = "berth_v1", name = "config")
    static native int config(Address buffer, int capacity);

    @Import(module = "berth_v1", name = "secret")
    static native int secret(Address name, int length, Address buffer, int capacity);

    @Import(module = "berth_v1", name = "kv_get")
    static native int kvGet(Address key, int length, Address buffer, int capacity);

    @Import(module = "berth_v1", name = "kv_set")
    static native int kvSet(Address key, int length, Address value, int valueLength);

    @Import(module = "berth_v1", name = "kv_cas")
    static native int kvCas(Address key, int length, Address old, int oldLength, Address value, int valueLength);

    @Import(module = "berth_v1", name = "kv_delete")
    static native int kvDelete(Address key, int length);

    @Import(module = "berth_v1", name = "kv_list")
    static native int kvList(Address prefix, int length, Address after, int afterLength, Address buffer, int capacity);

    @Import(module = "berth_v1", name = "kv_expire")
    static native int kvExpire(Address key, int length, int seconds);

    @Import(module = "berth_v1", name = "trace")
    static native int trace(Address buffer, int capacity);

    @Import(module = "berth_v1", name = "http")
    static native int http(Address request, int length, Address buffer, int capacity);

    @Import(module = "berth_v1", name = "attempt")
    static native int attempt();

    @Import(module = "berth_v1", name = "remaining")
    static native int remaining();

    @Import(module = "wasi_snapshot_preview1", name = "proc_exit")
    static native void exit(int code);

    /** The address of bytes. It is valid until the next allocation. */
    static Address at(byte[] bytes) {
        return Address.ofData(bytes);
    }

    /** Checks the answer of a call. */
    static int check(int n) {
        if (n < 0) {
            throw failure(n);
        }
        return n;
    }

    /** Fetches an answer of n bytes that the buffer was too small for. */
    static void refill(int n) {
        if (n > buffer.length) {
            buffer = new byte[Math.max(n, 2 * buffer.length)];
            last(at(buffer), buffer.length);
        }
    }

    /** The text of the answer of a call into the buffer; null for NOT_FOUND. */
    static String text(int n) {
        if (n == NOT_FOUND) {
            return null;
        }
        refill(check(n));
        return Utf8.decode(buffer, 0, n);
    }

    static HostException failure(int code) {
        byte[] text = new byte[512];
        int n = error(at(text), text.length);
        if (n > text.length) {
            text = new byte[n];
            n = last(at(text), text.length);
        }
        return new HostException(Code.of(code), Utf8.decode(text, 0, n));
    }
}
