package berth;

/** The result of a handler: JSON. */
public final class Result {
    final byte[] bytes;
    final int length;

    Result(byte[] bytes, int length) {
        this.bytes = bytes;
        this.length = length;
    }

    /** A result that is JSON already. The host checks it. */
    public static Result json(String text) {
        byte[] bytes = Utf8.encode(text);
        return new Result(bytes, bytes.length);
    }
}
