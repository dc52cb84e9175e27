package berth;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** One or more events in the order of the log, no two with the same order key. */
public final class Batch {
    private final List<Event> events = new ArrayList<>();
    private final Result[] results;
    private final RuntimeException[] failures;
    final boolean single;

    /** The batch of what the host has opened. */
    Batch() {
        single = Event.exists("/event_type") == 1;
        int count = single ? 1 : count();
        for (int i = 0; i < count; i++) {
            events.add(new Event(single ? -1 : i));
        }
        results = new Result[count];
        failures = new RuntimeException[count];
    }

    /** The number of events of the open batch, without its text. */
    private static int count() {
        int above = 1;
        while (Event.exists("/events/" + above + "/event_type") == 1) {
            above *= 2;
        }
        int below = above / 2;
        while (above - below > 1) {
            int middle = (above + below) / 2;
            if (Event.exists("/events/" + middle + "/event_type") == 1) {
                below = middle;
            } else {
                above = middle;
            }
        }
        return above;
    }

    /** The events, by their indexes. */
    public List<Event> events() {
        return Collections.unmodifiableList(events);
    }

    /** Says that an event succeeds with a result, or null for none. An event of which nothing is said has none. */
    public void succeed(int index, Result result) {
        results[index] = result;
        failures[index] = null;
    }

    /**
     * Says that an event fails, by a Reject or a Retry. With "state": "atomic" the host refuses a batch in which some
     * events fail: throw the failure of all instead.
     */
    public void fail(int index, RuntimeException failure) {
        results[index] = null;
        failures[index] = failure;
    }

    RuntimeException failure() {
        return failures[0];
    }

    /** The result of the batch. */
    Result result() {
        if (single) {
            return results[0];
        }
        StringBuilder out = new StringBuilder("{\"results\":");
        for (int i = 0; i < results.length; i++) {
            Result result = results[i];
            out.append(i == 0 ? '[' : ',');
            out.append(result == null || result.length == 0 ? "null" : Utf8.decode(result.bytes, 0, result.length));
        }
        out.append(']');
        String separator = ",\"failures\":[";
        for (int i = 0; i < failures.length; i++) {
            RuntimeException failure = failures[i];
            if (failure != null) {
                String status = failure instanceof Reject ? "reject" : "retry";
                String reason = failure.getMessage() == null ? "" : failure.getMessage();
                out.append(separator).append(new JsonObject().put("index", i).put("status", status).put("reason", reason));
                separator = ",";
            }
        }
        out.append(separator.length() == 1 ? "]}" : "}");
        return Result.json(out.toString());
    }
}
