package berth;

import org.teavm.interop.Address;

/** The run loop, and what is neither the event's nor the key-value state's. */
public final class Berth {
    private Berth() {
    }

    /** Handles events until the host has no more. Call it from main. */
    public static void run(Handler handler) {
        Event event = new Event();
        try {
            for (;;) {
                int n = Host.next(Address.fromInt(0), 0);
                if (n == Host.END) {
                    return;
                }
                event.size = Host.check(n);
                handle(handler, event);
            }
        } catch (Throwable t) {
            Crash.report(t);
        }
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

    /** Adds a child with this JSON as data. It is published when the event finishes as ok. */
    public static void emit(String type, String data) {
        emit(type, data, null, null);
    }

    /** Adds a child. Subject and idempotency key may be null. */
    public static void emit(String type, String data, String subject, String key) {
        JsonObject child = new JsonObject().put("event_type", type).json("data", data);
        if (subject != null || key != null) {
            JsonObject metadata = new JsonObject();
            if (subject != null) {
                metadata.put("subject", subject);
            }
            if (key != null) {
                metadata.put("idempotency_key", key);
            }
            child.put("metadata", metadata);
        }
        byte[] bytes = Utf8.encode(child.toString());
        Host.check(Host.emit(Host.at(bytes), bytes.length));
    }
}
