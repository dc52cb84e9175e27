package berth;

import org.teavm.interop.Address;

/** The run loop, and what is neither the event's nor the key-value state's. */
public final class Berth {
    private Berth() {
    }

    /** Handles events until the host has no more. Call it from main. */
    public static void run(Handler handler) {
        Event event = new Event();
        boolean first = true;
        try {
            for (;;) {
                int n = Host.next(Address.fromInt(0), 0);
                if (n == Host.END) {
                    return;
                }
                event.size = Host.check(n);
                if (first && Event.exists("/event_type") != 1) {
                    throw new IllegalStateException("the manifest asks for batches: use Berth.runBatches");
                }
                first = false;
                handle(handler, event);
            }
        } catch (Throwable t) {
            Crash.report(t);
        }
    }

    /**
     * As run, for a manifest with a batch. If the operator has disabled batches, each event comes in a batch of its own.
     */
    public static void runBatches(BatchHandler handler) {
        try {
            for (;;) {
                int n = Host.next(Address.fromInt(0), 0);
                if (n == Host.END) {
                    return;
                }
                Host.check(n);
                Batch batch = new Batch();
                batch.events().get(0).size = n;
                handle(handler, batch);
            }
        } catch (Throwable t) {
            Crash.report(t);
        }
    }

    private static void handle(BatchHandler handler, Batch batch) throws Exception {
        try {
            handler.handle(batch);
            if (batch.single && batch.failure() != null) {
                throw batch.failure();
            }
        } catch (Reject reject) {
            finish(2, reject.getMessage());
            return;
        } catch (Retry retry) {
            finish(1, retry.getMessage());
            return;
        }
        new Event().finish(batch.result());
    }

    private static void handle(Handler handler, Event event) throws Exception {
        Result result;
        event.finished = false;
        try {
            result = handler.handle(event);
        } catch (Reject reject) {
            finish(2, reject.getMessage());
            return;
        } catch (Retry retry) {
            finish(1, retry.getMessage());
            return;
        }
        if (!event.finished) {
            event.finish(result);
        }
    }

    private static void finish(int status, String reason) {
        byte[] bytes = Utf8.encode(reason == null ? "" : reason);
        Host.finish(status, Host.at(bytes), bytes.length);
    }

    /** The handler's configuration as JSON. */
    public static Json config() {
        byte[] buffer = Host.buffer;
        return Json.of(Host.text(Host.config(Host.at(buffer), buffer.length)));
    }

    /** A granted secret. */
    public static String secret(String name) {
        byte[] bytes = Utf8.encode(name);
        byte[] buffer = Host.buffer;
        String value = Host.text(Host.secret(Host.at(bytes), bytes.length, Host.at(buffer), buffer.length));
        if (value == null) {
            throw Host.failure(Host.NOT_FOUND);
        }
        return value;
    }

    /** The W3C traceparent of the attempt, or null if the host does not trace it. */
    public static String trace() {
        byte[] buffer = Host.buffer;
        return Host.text(Host.trace(Host.at(buffer), buffer.length));
    }

    /** Adds a child with this JSON as data. It is published when the event finishes as ok. */
    public static void emit(String type, String data) {
        emit(type, data, null, null);
    }

    /** Adds a child. Subject and idempotency key may be null. */
    public static void emit(String type, String data, String subject, String key) {
        emit(new Child(type, data).subject(subject).idempotencyKey(key), -1);
    }

    /** Adds a child to the open event. In a batch use {@link Event#emit}. */
    public static void emit(Child child) {
        emit(child, -1);
    }

    static void emit(Child child, int parent) {
        JsonObject metadata = new JsonObject();
        if (child.subject != null) {
            metadata.put("subject", child.subject);
        }
        if (child.key != null) {
            metadata.put("idempotency_key", child.key);
        }
        if (child.at != null) {
            metadata.put("deliver_at", child.at);
        }
        if (child.afterMillis != 0) {
            metadata.put("deliver_after", child.afterMillis + "ms");
        }
        JsonObject out = new JsonObject().put("event_type", child.type).json("data", child.data).put("metadata", metadata);
        if (parent >= 0) {
            out.put("parent_index", parent);
        }
        byte[] bytes = Utf8.encode(out.toString());
        Host.check(Host.emit(Host.at(bytes), bytes.length));
    }
}
