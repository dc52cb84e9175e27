// What the typical handler does, by hand with the raw imports: the measure of what
// the SDK costs.
#define IMPORT(name) __attribute__((import_module("berth_v1"), import_name(name)))
extern "C" {
IMPORT("next") int next(void *buf, unsigned cap);
IMPORT("field") int field(const char *pointer, unsigned len, void *buf, unsigned cap);
IMPORT("finish") int finish(int status, const void *bytes, unsigned len);
}

static char order[256], status[64], digits[24], result[2048];

template <unsigned N> static char *literal(char *to, const char (&text)[N]) {
    for (unsigned i = 0; i < N - 1; i++)
        *to++ = text[i];
    return to;
}

// Writes text as a JSON string.
static char *quoted(char *to, const char *text, int len) {
    *to++ = '"';
    for (int i = 0; i < len; i++) {
        auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x20) {
            to = literal(to, "\\u00");
            *to++ = static_cast<char>('0' + (c >> 4));
            *to++ = "0123456789abcdef"[c & 15];
            continue;
        }
        if (c == '"' || c == '\\')
            *to++ = '\\';
        *to++ = static_cast<char>(c);
    }
    *to++ = '"';
    return to;
}

template <unsigned P, unsigned N> static int read(const char (&pointer)[P], char (&buf)[N]) {
    int n = field(pointer, P - 1, buf, N);
    return n > static_cast<int>(N) ? -1 : n;
}

extern "C" __attribute__((export_name("run"))) void run() {
    while (next(nullptr, 0) >= 0) {
        int o = read("/data/order_id", order), s = read("/data/status", status), n = read("/data/total_cents", digits);
        if (o < 0 || s < 0 || n <= 0) {
            finish(2, "this is not an order", 20);
            continue;
        }
        char *at = literal(result, "{\"order\":");
        at = quoted(at, order, o);
        at = literal(at, ",\"status\":");
        at = quoted(at, status, s);
        at = literal(at, ",\"cents\":");
        for (int i = 0; i < n; i++)
            *at++ = digits[i];
        *at++ = '}';
        finish(0, result, static_cast<unsigned>(at - result));
    }
}
