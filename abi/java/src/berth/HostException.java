package berth;

/** A call of the host failed. */
public final class HostException extends RuntimeException {
    private final Code code;

    HostException(Code code, String text) {
        super(code.name() + ": " + text);
        this.code = code;
    }

    /** The reason; its name is the ABI's. */
    public Code code() {
        return code;
    }
}
