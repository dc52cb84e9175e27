package berth;

/** An HTTP request. It needs the capability http with the URL's host. */
public final class Http {
    private final JsonObject request = new JsonObject();
    private JsonObject headers;

    private Http(String method, String url) {
        request.put("method", method).put("url", url);
    }

    public static Http get(String url) {
        return new Http("GET", url);
    }

    public static Http post(String url) {
        return new Http("POST", url);
    }

    public static Http method(String method, String url) {
        return new Http(method, url);
    }

    public Http header(String name, String value) {
        if (headers == null) {
            headers = new JsonObject();
        }
        headers.put(name, value);
        return this;
    }

    public Http body(String text) {
        request.put("body", text);
        return this;
    }

    /** Sends the request. */
    public Response send() {
        if (headers != null) {
            request.put("headers", headers);
            headers = null;
        }
        byte[] bytes = Utf8.encode(request.toString());
        byte[] buffer = Host.buffer;
        String text = Host.text(Host.http(Host.at(bytes), bytes.length, Host.at(buffer), buffer.length));
        return new Response(Json.of(text));
    }

    /** An answer of any status. */
    public static final class Response {
        private final Json answer;

        Response(Json answer) {
            this.answer = answer;
        }

        public int status() {
            return (int) answer.get("status").number();
        }

        /** The value of a header, whose name is in lower case, or null. */
        public String header(String name) {
            Json headers = answer.get("headers");
            Json value = headers == null ? null : headers.get(name);
            return value == null ? null : value.text();
        }

        /** The body as text; null if it is not UTF-8: then {@link #bodyBase64} has it. */
        public String body() {
            Json body = answer.get("body");
            return body != null ? body.text() : bodyBase64() == null ? "" : null;
        }

        /** A body that is not UTF-8, in base64, or null. */
        public String bodyBase64() {
            Json body = answer.get("body_base64");
            return body == null ? null : body.text();
        }
    }
}
