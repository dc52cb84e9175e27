package berth;

/** Thrown by a handler: the event is delivered again after a pause. */
public final class Retry extends RuntimeException {
    public Retry(String reason) {
        super(reason);
    }
}
