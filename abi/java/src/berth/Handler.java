package berth;

/** Handles one event at a time. */
@FunctionalInterface
public interface Handler {
    /**
     * Handles the event. Any exception but {@link Reject} and {@link Retry} ends the
     * instance, and the event is delivered again after a pause.
     *
     * @return the result, or null for none
     */
    Result handle(Event event) throws Exception;
}
