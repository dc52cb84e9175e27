// Computes for a while on each event: /data/rounds times a loop of 1,000
// steps (default 1,000: about a millisecond). It answers {"count": n,
// "remaining_ms": m}: the events this instance has had, and the time left.
#include "berth.h"

static char event[4096], text[16], result[96];
static int count;
static volatile unsigned sink;

static unsigned rounds(void) {
    int n = BERTH_FIELD("/data/rounds", text, sizeof text);
    if (n <= 0 || n > (int)sizeof text)
        return 1000;
    unsigned r = 0;
    for (int i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
        r = r * 10 + (unsigned)(text[i] - '0');
    return r;
}

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        for (unsigned left = rounds(); left > 0; left--)
            for (unsigned i = 0; i < 1000; i++)
                sink = sink * 1664525u + 1013904223u;
        berth_writer w = {result, result + sizeof result, 0};
        BERTH_WRITE(&w, "{\"count\":");
        berth_write_int(&w, ++count);
        BERTH_WRITE(&w, ",\"remaining_ms\":");
        berth_write_int(&w, berth_remaining());
        berth_put(&w, '}');
        berth_finish(BERTH_OK, result, (unsigned)(w.at - result));
    }
}
