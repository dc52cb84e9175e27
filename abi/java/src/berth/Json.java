package berth;

import java.util.ArrayList;
import java.util.List;

/** A value of valid JSON, read in place. */
public final class Json {
    private final byte[] bytes;
    private final int start;
    private final int end;

    private Json(byte[] bytes, int start, int end) {
        this.bytes = bytes;
        this.start = start;
        this.end = end;
    }

    /** Reads JSON text. Only the parts that are asked for are looked at. */
    public static Json of(String text) {
        return of(Utf8.encode(text));
    }

    static Json of(byte[] bytes) {
        int from = blanks(bytes, 0);
        return new Json(bytes, from, skip(bytes, from));
    }

    /** The last member of an object with this name, or null. */
    public Json get(String name) {
        return find(Utf8.encode(name), -1);
    }

    /** The element of an array, or null. */
    public Json at(int index) {
        return index < 0 ? null : find(null, index);
    }

    /** The names of an object's members, in their order. */
    public List<String> names() {
        List<String> names = new ArrayList<>();
        walk(null, -1, names);
        return names;
    }

    private Json find(byte[] name, int index) {
        return walk(name, index, null);
    }

    /** Finds a member or element, or collects the names of the members. */
    private Json walk(byte[] name, int index, List<String> names) {
        boolean object = name != null || names != null;
        if (start >= end || bytes[start] != (object ? '{' : '[')) {
            return null;
        }
        Json found = null;
        int i = blanks(bytes, start + 1);
        for (int n = 0; i < end - 1; n++) { // up to the bracket
            int key = i;
            int keyEnd = object ? skip(bytes, i) : i;
            int value = object ? blanks(bytes, blanks(bytes, keyEnd) + 1) : i;
            int valueEnd = skip(bytes, value);
            if (names != null) {
                names.add(new Json(bytes, key, keyEnd).text());
            } else if (object ? same(key, keyEnd, name) : n == index) {
                found = new Json(bytes, value, valueEnd);
            }
            i = blanks(bytes, valueEnd);
            if (i < end && bytes[i] == ',') {
                i = blanks(bytes, i + 1);
            }
        }
        return found;
    }

    /** Whether the string from its quote to behind the other one is this name. */
    private boolean same(int from, int to, byte[] name) {
        boolean escaped = false;
        boolean equal = to - from - 2 == name.length;
        for (int i = from + 1; i < to - 1; i++) {
            escaped |= bytes[i] == '\\';
            equal = equal && bytes[i] == name[i - from - 1];
        }
        return escaped ? new Json(bytes, from, to).text().equals(Utf8.decode(name, 0, name.length)) : equal;
    }

    public boolean isNull() {
        return start < end && bytes[start] == 'n';
    }

    public boolean isString() {
        return start < end && bytes[start] == '"';
    }

    /** The text of a string; of any other value its JSON. */
    public String text() {
        if (!isString()) {
            return toString();
        }
        boolean plain = true;
        for (int i = start + 1; i < end - 1; i++) {
            plain &= bytes[i] != '\\';
        }
        if (plain) {
            return Utf8.decode(bytes, start + 1, end - 1);
        }
        StringBuilder out = new StringBuilder();
        int from = start + 1;
        for (int i = from; i < end - 1; i++) {
            if (bytes[i] != '\\') {
                continue;
            }
            out.append(Utf8.decode(bytes, from, i));
            char c = (char) bytes[++i];
            if (c == 'u') {
                int unit = 0;
                for (int k = 0; k < 4; k++) {
                    unit = unit << 4 | Character.digit((char) bytes[++i], 16);
                }
                out.append((char) unit);
            } else {
                int known = "bfnrt".indexOf(c);
                out.append(known < 0 ? c : "\b\f\n\r\t".charAt(known));
            }
            from = i + 1;
        }
        return out.append(Utf8.decode(bytes, from, end - 1)).toString();
    }

    /** A whole number. */
    public long number() {
        return Long.parseLong(toString());
    }

    public boolean isTrue() {
        return start < end && bytes[start] == 't';
    }

    /** The value as JSON, byte for byte. */
    @Override
    public String toString() {
        return Utf8.decode(bytes, start, end);
    }

    private static int blanks(byte[] b, int i) {
        while (i < b.length && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r')) {
            i++;
        }
        return i;
    }

    /** The end of the value that begins at i. */
    private static int skip(byte[] b, int i) {
        int depth = 0;
        while (i < b.length) {
            byte c = b[i];
            if (c == '"') {
                for (i++; i < b.length && b[i] != '"'; i++) {
                    if (b[i] == '\\') {
                        i++;
                    }
                }
                i++;
            } else if (c == '{' || c == '[') {
                depth++;
                i++;
                continue;
            } else if (c == '}' || c == ']') {
                depth--;
                i++;
            } else if (depth == 0) { // a number, true, false or null
                while (i < b.length && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']') {
                    i++;
                }
            } else {
                i++;
                continue;
            }
            if (depth <= 0) {
                return i;
            }
        }
        return i;
    }
}
