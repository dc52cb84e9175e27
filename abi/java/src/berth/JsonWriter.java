package berth;

/** Writes JSON as UTF-8. */
class JsonWriter {
    private byte[] bytes;
    private int length;

    JsonWriter(int capacity) {
        bytes = new byte[capacity];
    }

    private void grow(int n) {
        if (length + n > bytes.length) {
            byte[] larger = new byte[Math.max(2 * bytes.length, length + n)];
            System.arraycopy(bytes, 0, larger, 0, length);
            bytes = larger;
        }
    }

    void write(char c) {
        grow(1);
        bytes[length++] = (byte) c;
    }

    /** Writes text as it is. */
    void raw(String text) {
        int n = text.length();
        grow(n);
        for (int i = 0; i < n; i++) {
            char c = text.charAt(i);
            if (c < 0x80) {
                grow(n - i);
                bytes[length++] = (byte) c;
            } else {
                i += wide(text, i, n);
            }
        }
    }

    /** Writes text as a JSON string, with its quotes. */
    void string(String text) {
        int n = text.length();
        grow(n + 2);
        bytes[length++] = '"';
        for (int i = 0; i < n; i++) {
            char c = text.charAt(i);
            grow(6 + n - i);
            if (c >= 0x80) {
                i += wide(text, i, n);
            } else if (c >= 0x20 && c != '"' && c != '\\') {
                bytes[length++] = (byte) c;
            } else if (c >= 0x20) {
                bytes[length++] = '\\';
                bytes[length++] = (byte) c;
            } else {
                raw(c < 0x10 ? "\\u000" : "\\u001");
                bytes[length++] = (byte) "0123456789abcdef".charAt(c & 15);
            }
        }
        write('"');
    }

    /** Writes the character beyond ASCII at i, and returns how many more chars it took. */
    private int wide(String text, int i, int end) {
        grow(4);
        int c = text.charAt(i);
        if (c < 0x800) {
            bytes[length++] = (byte) (0xc0 | c >> 6);
            bytes[length++] = (byte) (0x80 | c & 0x3f);
            return 0;
        }
        if (c >= 0xd800 && c < 0xe000) {
            int low = c < 0xdc00 && i + 1 < end ? text.charAt(i + 1) : 0;
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + (c - 0xd800 << 10) + (low - 0xdc00);
                bytes[length++] = (byte) (0xf0 | c >> 18);
                bytes[length++] = (byte) (0x80 | c >> 12 & 0x3f);
                bytes[length++] = (byte) (0x80 | c >> 6 & 0x3f);
                bytes[length++] = (byte) (0x80 | c & 0x3f);
                return 1;
            }
            c = 0xfffd;
        }
        bytes[length++] = (byte) (0xe0 | c >> 12);
        bytes[length++] = (byte) (0x80 | c >> 6 & 0x3f);
        bytes[length++] = (byte) (0x80 | c & 0x3f);
        return 0;
    }

    void number(long n) {
        grow(20);
        if (n < 0) {
            bytes[length++] = '-';
        } else {
            n = -n; // negative numbers have one more
        }
        int end = length + 1;
        for (long left = n / 10; left != 0; left /= 10) {
            end++;
        }
        for (int i = end - 1; i >= length; i--) {
            bytes[i] = (byte) ('0' - n % 10);
            n /= 10;
        }
        length = end;
    }

    int length() {
        return length;
    }

    /** The bytes written, with more behind them. */
    byte[] bytes() {
        return bytes;
    }

    byte[] copy() {
        byte[] copy = new byte[length];
        System.arraycopy(bytes, 0, copy, 0, length);
        return copy;
    }

    @Override
    public String toString() {
        return Utf8.decode(bytes, 0, length);
    }
}
