// What the typical handler does, by hand with the raw imports: the measure of what
// the SDK costs.
#define IMPORT(name) __attribute__((import_module("berth_v1"), import_name(name)))
IMPORT("next") int next(void *buf, unsigned cap);
IMPORT("field") int field(const char *pointer, unsigned len, void *buf, unsigned cap);
IMPORT("finish") int finish(int status, const void *bytes, unsigned len);

static char order[256], status[64], digits[24], result[2048];

// Writes text as a JSON string.
static char *quoted(char *to, const char *text, int len) {
    *to++ = '"';
    for (int i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20) {
            for (int k = 0; k < 4; k++)
                *to++ = "\\u00"[k];
            *to++ = (char)('0' + (c >> 4));
            *to++ = "0123456789abcdef"[c & 15];
            continue;
        }
        if (c == '"' || c == '\\')
            *to++ = '\\';
        *to++ = (char)c;
    }
    *to++ = '"';
    return to;
}

static char *literal(char *to, const char *text, int len) {
    for (int i = 0; i < len; i++)
        *to++ = text[i];
    return to;
}
#define LITERAL(to, text) literal((to), (text), sizeof(text) - 1)
#define FIELD(pointer, buf) field((pointer), sizeof(pointer) - 1, (buf), sizeof(buf))

__attribute__((export_name("run"))) void run(void) {
    while (next(0, 0) >= 0) {
        int o = FIELD("/data/order_id", order), s = FIELD("/data/status", status), n = FIELD("/data/total_cents", digits);
        if (o < 0 || o > (int)sizeof order || s < 0 || s > (int)sizeof status || n <= 0 || n > (int)sizeof digits) {
            finish(2, "this is not an order", 20);
            continue;
        }
        char *at = LITERAL(result, "{\"order\":");
        at = quoted(at, order, o);
        at = LITERAL(at, ",\"status\":");
        at = quoted(at, status, s);
        at = LITERAL(at, ",\"cents\":");
        at = literal(at, digits, n);
        *at++ = '}';
        finish(0, result, (unsigned)(at - result));
    }
}
