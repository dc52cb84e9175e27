package berth;

/** An event that follows from the open one. */
public final class Child {
    final String type;
    final String data;
    String subject;
    String key;
    String at;
    long afterMillis;

    /** A child of that type, with this JSON as data. */
    public Child(String type, String data) {
        this.type = type;
        this.data = data;
    }

    /** What the child is about; null for nothing. */
    public Child subject(String subject) {
        this.subject = subject;
        return this;
    }

    /** The key that makes the child unique; null has the host derive one from the parent's. */
    public Child idempotencyKey(String key) {
        this.key = key;
        return this;
    }

    /** When the child is due, in RFC 3339, at most a year ahead; null for at once. */
    public Child deliverAt(String time) {
        this.at = time;
        return this;
    }

    /** How long after the commit of its parent the child is due; 0 for at once. It cannot be used together with deliverAt. */
    public Child deliverAfterMillis(long millis) {
        this.afterMillis = millis;
        return this;
    }
}
