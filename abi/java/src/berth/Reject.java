package berth;

/** Thrown by a handler: the event becomes a dead letter at once. */
public final class Reject extends RuntimeException {
    public Reject(String reason) {
        super(reason);
    }
}
