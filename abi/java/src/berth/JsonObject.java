package berth;

/** Writes a JSON object, member by member. */
public final class JsonObject {
    private final JsonWriter out = new JsonWriter(128);

    public JsonObject() {
        out.write('{');
    }

    private JsonWriter member(String name) {
        if (out.length() > 1) {
            out.write(',');
        }
        out.string(name);
        out.write(':');
        return out;
    }

    /** Adds a text, or null. */
    public JsonObject put(String name, String value) {
        if (value == null) {
            return json(name, "null");
        }
        member(name).string(value);
        return this;
    }

    public JsonObject put(String name, long value) {
        member(name).number(value);
        return this;
    }

    public JsonObject put(String name, boolean value) {
        return json(name, value ? "true" : "false");
    }

    /** Adds a finite number. */
    public JsonObject put(String name, double value) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            throw new IllegalArgumentException("JSON has no such number: " + value);
        }
        return json(name, Double.toString(value));
    }

    public JsonObject put(String name, JsonObject value) {
        return json(name, value.toString());
    }

    /** Adds a member that is JSON already. */
    public JsonObject json(String name, String json) {
        member(name).raw(json);
        return this;
    }

    /** The object as a handler's result. Nothing is added afterwards. */
    public Result result() {
        out.write('}');
        return new Result(out.bytes(), out.length());
    }

    @Override
    public String toString() {
        return out + "}";
    }
}
