import org.teavm.interop.Address;
import org.teavm.interop.Import;

/** Does what the typical handler does, by the ABI's functions alone. It reads and writes strings as any Java program does. */
public final class Handler {
    @Import(module = "berth_v1", name = "next")
    static native int next(Address buffer, int capacity);

    @Import(module = "berth_v1", name = "field")
    static native int field(Address pointer, int length, Address buffer, int capacity);

    @Import(module = "berth_v1", name = "finish")
    static native int finish(int status, Address bytes, int length);

    private static final byte[] buffer = new byte[256];

    public static void main(String[] args) {
        byte[] order = bytes("/data/order_id");
        byte[] status = bytes("/data/status");
        byte[] cents = bytes("/data/total_cents");
        while (next(Address.fromInt(0), 0) >= 0) {
            byte[] result = bytes("{\"order\":\"" + text(order) + "\",\"status\":\"" + text(status)
                    + "\",\"cents\":" + text(cents) + "}");
            finish(0, Address.ofData(result), result.length);
        }
    }

    private static String text(byte[] pointer) {
        int n = field(Address.ofData(pointer), pointer.length, Address.ofData(buffer), buffer.length);
        char[] chars = new char[Math.max(n, 0)];
        for (int i = 0; i < chars.length; i++) {
            chars[i] = (char) buffer[i];
        }
        return new String(chars);
    }

    private static byte[] bytes(String text) {
        byte[] bytes = new byte[text.length()];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) text.charAt(i);
        }
        return bytes;
    }
}
