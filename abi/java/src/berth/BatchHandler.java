package berth;

/** Handles one batch at a time. */
@FunctionalInterface
public interface BatchHandler {
    /**
     * Handles the events of a batch. {@link Reject} and {@link Retry} are of all its events. Any other exception ends the
     * instance, and the events are delivered again after a pause.
     */
    void handle(Batch batch) throws Exception;
}
