import berth.Batch;
import berth.Berth;
import berth.Child;
import berth.Event;
import berth.HostException;
import berth.Http;
import berth.Json;
import berth.JsonObject;
import berth.Kv;
import berth.Log;
import berth.Reject;
import berth.Result;
import berth.Retry;

/** The conformance handler: what each operation does is in abi/conformance. */
public final class Handler {
    private static int count;
    private static String kept;

    public static void main(String[] args) {
        if (Berth.config().get("batch") != null) {
            Berth.runBatches(Handler::handleBatch);
        } else {
            Berth.run(Handler::handle);
        }
    }

    static void handleBatch(Batch batch) {
        for (int i = 0; i < batch.events().size(); i++) {
            Event event = batch.events().get(i);
            String op = event.text("/data/op");
            if ("fail_all".equals(op)) {
                throw new Retry(event.text("/data/reason"));
            }
            if ("size".equals(op)) {
                batch.succeed(i, new JsonObject().put("size", batch.events().size()).result());
                continue;
            }
            try {
                batch.succeed(i, handle(event));
            } catch (Reject | Retry failure) {
                batch.fail(i, failure);
            }
        }
    }

    static Result handle(Event event) {
        count++;
        try {
            return perform(event);
        } catch (HostException e) {
            return new JsonObject().put("error", e.code().name()).result();
        }
    }

    private static Result perform(Event event) {
        String op = event.text("/data/op");
        switch (op == null ? "" : op) {
            case "echo":
                Json value = event.json("/data/value");
                if (value == null) {
                    throw new Reject("no value");
                }
                return Result.json(value.toString());
            case "envelope":
                return new JsonObject().put("bytes", event.size()).result();
            case "typed":
                return typed(event);
            case "field":
                String text = event.text(event.text("/data/pointer"));
                return text == null
                        ? new JsonObject().put("error", "NOT_FOUND").result()
                        : new JsonObject().put("value", text).result();
            case "number":
                return number(event);
            case "empty":
                return null;
            case "raw":
                try {
                    event.finish(Result.json(event.text("/data/text")));
                } catch (HostException e) {
                    throw new Reject("refused");
                }
                return null;
            case "retry":
                throw new Retry(event.text("/data/reason"));
            case "reject":
                throw new Reject(event.text("/data/reason"));
            case "retry_until":
                if (event.attempt() < event.number("/data/attempt", 1)) {
                    throw new Retry("attempt " + event.attempt());
                }
                return new JsonObject().put("attempt", event.attempt()).result();
            case "config":
                return Result.json(Berth.config().toString());
            case "log":
                log(event.text("/data/level"), event.text("/data/text"));
                return null;
            case "emit":
                event.emit(new Child(event.text("/data/type"), event.json("/data/child").toString())
                        .subject(event.text("/data/subject"))
                        .idempotencyKey(event.text("/data/key"))
                        .deliverAt(event.text("/data/at"))
                        .deliverAfterMillis(1000 * event.number("/data/after", 0)));
                return new JsonObject().put("emitted", true).result();
            case "trace":
                String trace = Berth.trace();
                return trace == null
                        ? new JsonObject().put("error", "NOT_FOUND").result()
                        : new JsonObject().put("value", trace).result();
            case "secret":
                return new JsonObject().put("value", Berth.secret(event.text("/data/name"))).result();
            case "count":
                return new JsonObject().put("count", count).result();
            case "work":
                long n = event.number("/data/n", 0);
                for (long i = 0; i < n; i++) {
                    kept = "item " + i;
                }
                return new JsonObject().put("done", n).result();
            case "panic":
                throw new IllegalStateException(event.text("/data/message"));
            case "http":
                return http(event);
            default:
                return op != null && op.startsWith("kv_") ? kv(op, event) : unknown();
        }
    }

    private static Result unknown() {
        throw new Reject("unknown op");
    }

    private static Result number(Event event) {
        try {
            if (event.text("/data/int") != null && event.text("/data/bool") != null) {
                return new JsonObject().put("int", event.number("/data/int", 0))
                        .put("bool", event.bool("/data/bool", false)).result();
            }
        } catch (IllegalArgumentException e) {
            // of another type, or beyond a long
        }
        throw new Reject("no number");
    }

    private static Result typed(Event event) {
        return new JsonObject().put("event_type", event.type())
                .put("event_id", event.id())
                .put("idempotency_key", event.idempotencyKey())
                .put("source", event.source())
                .put("subject", event.subject())
                .put("time", event.time())
                .put("correlation_id", event.correlationId())
                .put("causation_id", event.causationId())
                .put("traceparent", event.traceparent())
                .put("hops", event.hops())
                .put("attempt", event.attempt())
                .put("time_left", event.remaining() > 0)
                .result();
    }

    private static void log(String level, String text) {
        switch (level) {
            case "debug":
                Log.debug(text);
                break;
            case "info":
                Log.info(text);
                break;
            case "warn":
                Log.warn(text);
                break;
            default:
                Log.error(text);
        }
    }

    private static Result kv(String op, Event event) {
        String key = event.text("/data/key");
        switch (op) {
            case "kv_get":
                String value = Kv.get(key);
                return value == null
                        ? new JsonObject().put("error", "NOT_FOUND").result()
                        : new JsonObject().put("value", value).result();
            case "kv_set":
                Kv.set(key, event.text("/data/value"));
                return new JsonObject().put("set", true).result();
            case "kv_cas":
                Json old = event.json("/data/old");
                Kv.cas(key, old == null || old.isNull() ? null : old.text(), event.text("/data/value"));
                return new JsonObject().put("set", true).result();
            case "kv_expire":
                Kv.expire(key, (int) event.number("/data/seconds", 0));
                return new JsonObject().put("expires", true).result();
            case "kv_fill":
                long n = event.number("/data/n", 0);
                for (long i = 0; i < n; i++) {
                    Kv.set(event.text("/data/prefix") + i, "");
                }
                return new JsonObject().put("filled", n).result();
            case "kv_list":
                return list(event.text("/data/prefix"));
            case "kv_delete":
                Kv.delete(key);
                return new JsonObject().put("deleted", true).result();
            default:
                return unknown();
        }
    }

    private static Result list(String prefix) {
        StringBuilder keys = new StringBuilder("[");
        for (String key : Kv.keys(prefix)) {
            String object = new JsonObject().put("", key).toString(); // {"":"key"}
            keys.append(keys.length() > 1 ? "," : "").append(object, 4, object.length() - 1);
        }
        return new JsonObject().json("keys", keys.append("]").toString()).result();
    }

    private static Result http(Event event) {
        Http request = Http.method(event.text("/data/method"), event.text("/data/url"));
        String header = event.text("/data/header");
        if (header != null) {
            request.header("x-conform", header);
        }
        String body = event.text("/data/body");
        if (body != null) {
            request.body(body);
        }
        Http.Response response = request.send();
        String type = response.header("content-type");
        return new JsonObject().put("status", response.status())
                .put("body", response.body())
                .put("content_type", type == null ? "" : type)
                .result();
    }
}
