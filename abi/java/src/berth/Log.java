package berth;

/** The handler's log. A line is cut at 8 KiB. */
public final class Log {
    private Log() {
    }

    public static void debug(String text) {
        write(0, text);
    }

    public static void info(String text) {
        write(1, text);
    }

    public static void warn(String text) {
        write(2, text);
    }

    public static void error(String text) {
        write(3, text);
    }

    private static void write(int level, String text) {
        byte[] bytes = Utf8.encode(text);
        Host.log(level, Host.at(bytes), bytes.length);
    }
}
