// Calls the function that /data/call names with /data/args and answers {"code":
// n, "error": text}, or {"code": n, "yielded": text} when it put n bytes into
// the buffer. An argument is a number, or "text" and "len" (where /data/text is
// and its length), "more" and "morelen" (likewise of /data/more), or "buf" and "cap" (room
// for what is yielded).
#include "answer.h"

static char event[65536], text[32768], more[32768], buf[65536], word[16];
static unsigned text_len, more_len;

static int is(const char *name, unsigned len, int n) {
    if (n != (int)len)
        return 0;
    for (unsigned i = 0; i < len; i++)
        if (word[i] != name[i])
            return 0;
    return 1;
}
#define IS(name) is(name, sizeof(name) - 1, n)

static unsigned arg(int index) {
    char pointer[] = "/data/args/0";
    pointer[sizeof pointer - 2] = (char)('0' + index);
    int n = berth_field(pointer, sizeof pointer - 1, word, sizeof word);
    if (IS("text"))
        return (unsigned)text;
    if (IS("len"))
        return text_len;
    if (IS("more"))
        return (unsigned)more;
    if (IS("morelen"))
        return more_len;
    if (IS("buf"))
        return (unsigned)buf;
    if (IS("cap"))
        return sizeof buf;
    unsigned value = 0;
    int negative = n > 0 && word[0] == '-';
    for (int i = negative; i < n; i++)
        value = value * 10 + (unsigned)(word[i] - '0');
    return negative ? -value : value;
}
#define P(index) ((void *)a[index])

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        unsigned a[6];
        int n = BERTH_FIELD("/data/text", text, sizeof text), yields = 0, code = 0;
        text_len = n < 0 ? 0 : (unsigned)n;
        n = BERTH_FIELD("/data/more", more, sizeof more);
        more_len = n < 0 ? 0 : (unsigned)n;
        for (int i = 0; i < 6; i++)
            a[i] = arg(i);
        n = BERTH_FIELD("/data/call", word, sizeof word);
        if (IS("kv_get"))
            code = berth_kv_get(P(0), a[1], P(2), a[3]), yields = 1;
        else if (IS("kv_set"))
            code = berth_kv_set(P(0), a[1], P(2), a[3]);
        else if (IS("kv_cas"))
            code = berth_kv_cas(P(0), a[1], P(2), (int)a[3], P(4), a[5]);
        else if (IS("kv_delete"))
            code = berth_kv_delete(P(0), a[1]);
        else if (IS("kv_list"))
            code = berth_kv_list(P(0), a[1], P(2), a[3], P(4), a[5]), yields = 1;
        else if (IS("kv_expire"))
            code = berth_kv_expire(P(0), a[1], (int)a[2]);
        else if (IS("trace"))
            code = berth_trace(P(0), a[1]), yields = 1;
        else if (IS("secret"))
            code = berth_secret(P(0), a[1], P(2), a[3]), yields = 1;
        else if (IS("http"))
            code = berth_http(P(0), a[1], P(2), a[3]), yields = 1;
        else if (IS("emit"))
            code = berth_emit(P(0), a[1]);
        if (!yields || code < 0 || code > (int)sizeof buf) {
            answer_code(code);
            continue;
        }
        berth_writer w = ANSWER_WRITER;
        BERTH_WRITE(&w, "{\"code\":");
        berth_write_int(&w, code);
        BERTH_WRITE(&w, ",\"yielded\":");
        berth_write_string(&w, buf, (unsigned)code);
        berth_put(&w, '}');
        answer(&w);
    }
}
