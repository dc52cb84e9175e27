package berth;

import org.teavm.interop.Address;

/** The open event, or one of a batch. Its values are fetched from the host when they are asked for. */
public final class Event {
    private static byte[] pointerBytes = new byte[64];

    int size;
    boolean finished;

    private final int index;
    private final String path;

    Event() {
        this(-1);
    }

    /** An event of the open batch; -1 outside of batches. */
    Event(int index) {
        this.index = index;
        this.path = "/events/" + index;
    }

    /** Adds a child to this event. It is published when the event finishes as ok. */
    public void emit(Child child) {
        Berth.emit(child, index);
    }

    /** Asks the host for a value of this event into its buffer. A malformed pointer stays one. */
    private int value(String pointer) {
        return field(index < 0 || !pointer.isEmpty() && pointer.charAt(0) != '/' ? pointer : path + pointer);
    }

    /** Asks the host for a value into its buffer. */
    private static int field(String pointer) {
        int n = pointer.length();
        if (n > pointerBytes.length) {
            pointerBytes = new byte[2 * n];
        }
        byte[] bytes = pointerBytes;
        for (int i = 0; i < n; i++) {
            char c = pointer.charAt(i);
            if (c >= 0x80) {
                bytes = Utf8.encode(pointer);
                n = bytes.length;
                break;
            }
            bytes[i] = (byte) c;
        }
        byte[] buffer = Host.buffer;
        return Host.field(Host.at(bytes), n, Host.at(buffer), buffer.length);
    }

    /** The value at a JSON Pointer as text: a string without quotes, anything else as JSON. Null if there is none. */
    public String text(String pointer) {
        return Host.text(value(pointer));
    }

    /** The whole number at a JSON Pointer, or otherwise if there is none. */
    public long number(String pointer, long otherwise) {
        int n = value(pointer);
        if (n == Host.NOT_FOUND) {
            return otherwise;
        }
        Host.refill(Host.check(n));
        byte[] b = Host.buffer;
        long value = 0;
        int i = n > 0 && b[0] == '-' ? 1 : 0;
        if (n - i > 18 || n == i) {
            return Long.parseLong(Utf8.decode(b, 0, n));
        }
        for (int k = i; k < n; k++) {
            if (b[k] < '0' || b[k] > '9') {
                throw new NumberFormatException(pointer + " is no whole number: " + Utf8.decode(b, 0, n));
            }
            value = value * 10 + (b[k] - '0');
        }
        return i == 0 ? value : -value;
    }

    /** The boolean at a JSON Pointer, or otherwise if there is none. */
    public boolean bool(String pointer, boolean otherwise) {
        String text = text(pointer);
        if (text == null) {
            return otherwise;
        }
        if (!text.equals("true") && !text.equals("false")) {
            throw new IllegalArgumentException(pointer + " is no boolean: " + text);
        }
        return text.equals("true");
    }

    /** The value at a JSON Pointer as JSON. Null if there is none. */
    public Json json(String pointer) {
        int slash = pointer.lastIndexOf('/');
        String parent = slash < 0 ? pointer : pointer.substring(0, slash);
        int n = value(parent);
        if (n == Host.NOT_FOUND) {
            return null;
        }
        Host.refill(Host.check(n));
        byte[] copy = new byte[n];
        System.arraycopy(Host.buffer, 0, copy, 0, n);
        if (slash < 0) {
            return Json.of(copy);
        }
        if (Host.check(exists(index < 0 ? pointer : path + pointer)) == 0) {
            return null;
        }
        Json container = Json.of(copy);
        String name = pointer.substring(slash + 1).replace("~1", "/").replace("~0", "~");
        Json member = container.get(name);
        return member != null ? member : container.at(Integer.parseInt(name));
    }

    /** 1 if there is a value at the pointer, 0 if not, or a code. */
    static int exists(String pointer) {
        int n = field(pointer);
        return n == Host.NOT_FOUND ? 0 : Math.min(n, 0) + (n < 0 ? 0 : 1);
    }

    /** Ends the event as ok with this result, or none. What the handler returns is then unused. INVALID if it is not JSON. */
    public void finish(Result result) {
        if (index >= 0) {
            throw new IllegalStateException("an event of a batch is finished by batch.succeed");
        }
        Host.check(result == null
                ? Host.finish(0, Address.fromInt(0), 0)
                : Host.finish(0, Host.at(result.bytes), result.length));
        finished = true;
    }

    /** The event's data. */
    public Json data() {
        return json("/data");
    }

    /** The whole event as JSON. */
    public String envelope() {
        return text("");
    }

    /** The length of the envelope in bytes. */
    public int size() {
        return index < 0 ? size : Host.check(value(""));
    }

    public String type() {
        return metadata("/event_type");
    }

    public String id() {
        return metadata("/metadata/event_id");
    }

    /** The same each time this event is delivered. */
    public String idempotencyKey() {
        return metadata("/metadata/idempotency_key");
    }

    public String source() {
        return metadata("/metadata/source");
    }

    public String subject() {
        return metadata("/metadata/subject");
    }

    public String time() {
        return metadata("/metadata/time");
    }

    public String correlationId() {
        return metadata("/metadata/correlation_id");
    }

    /** The id of the event that caused this one, or "". */
    public String causationId() {
        return metadata("/metadata/causation_id");
    }

    /** The W3C trace context, or "". */
    public String traceparent() {
        return metadata("/metadata/traceparent");
    }

    public int hops() {
        return (int) number("/metadata/hops", 0);
    }

    private String metadata(String pointer) {
        String text = text(pointer);
        return text == null ? "" : text;
    }

    /** 1 when the event is delivered for the first time. */
    public int attempt() {
        return Host.check(Host.attempt());
    }

    /** Milliseconds until the event's deadline. */
    public int remaining() {
        return Host.check(Host.remaining());
    }
}
