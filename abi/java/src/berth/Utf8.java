package berth;

/** UTF-8. Half of a surrogate pair and malformed bytes become U+FFFD. */
final class Utf8 {
    private Utf8() {
    }

    static byte[] encode(String text) {
        int length = text.length();
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            char c = text.charAt(i);
            if (c >= 0x80) {
                JsonWriter w = new JsonWriter(length + 16);
                w.raw(text);
                return w.copy();
            }
            bytes[i] = (byte) c;
        }
        return bytes;
    }

    static String decode(byte[] bytes, int from, int to) {
        char[] chars = new char[to - from];
        int n = 0;
        for (int i = from; i < to;) {
            int c = bytes[i++];
            if (c >= 0) {
                chars[n++] = (char) c;
                continue;
            }
            int following = c >= -16 && c < -8 ? 3 : c >= -32 && c < -16 ? 2 : c >= -62 && c < -32 ? 1 : 0;
            int point = following == 0 ? 0xfffd : c & (0x3f >> following);
            for (int k = 0; k < following; k++) {
                if (i == to || (bytes[i] & 0xc0) != 0x80) {
                    point = 0xfffd;
                    break;
                }
                point = point << 6 | bytes[i++] & 0x3f;
            }
            if (point >= 0x10000) {
                chars[n++] = (char) (0xd7c0 + (point >> 10));
                point = 0xdc00 | point & 0x3ff;
            }
            chars[n++] = (char) point;
        }
        return new String(chars, 0, n);
    }
}
