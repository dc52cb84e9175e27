package berth;

/** Why a call of the host failed. */
public enum Code {
    /** There are no more events. */
    END,
    /** An argument is malformed. */
    INVALID,
    /** The capability is not granted to this plugin. */
    DENIED,
    /** There is no such key, field or secret. */
    NOT_FOUND,
    /** Something is over a limit. */
    TOO_LARGE,
    /** The backend failed; a retry may help. */
    UNAVAILABLE,
    /** The event's deadline passed, or the call's own. */
    TIMEOUT,
    /** The value differs from the one it was compared with. */
    CONFLICT;

    static Code of(int n) {
        return values()[-1 - n];
    }
}
