// Lists all its keys, call by call, and answers {"keys":n,"calls":n,"bytes":n,"trace":n}:
// bytes is the maximum that a call yielded, and trace what that function answered before the
// first event.
#include "answer.h"

static char event[4096], page[65536];

BERTH_EXPORT("run") void run(void) {
    int trace = berth_trace(page, sizeof page);
    while (berth_next(event, sizeof event) >= 0) {
        int keys = 0, calls = 0, bytes = 0, n;
        static char after[256];
        unsigned after_len = 0;
        for (;;) {
            n = berth_kv_list("", 0, after, after_len, page, sizeof page);
            calls++;
            if (n <= 0)
                break;
            bytes = n > bytes ? n : bytes;
            for (int at = 0; at < n; keys++) {
                after_len = (unsigned char)page[at] | (unsigned)(unsigned char)page[at + 1] << 8;
                for (unsigned i = 0; i < after_len; i++)
                    after[i] = page[at + 4 + (int)i];
                at += 4 + (int)after_len;
            }
        }
        berth_writer w = ANSWER_WRITER;
        BERTH_WRITE(&w, "{\"keys\":");
        berth_write_int(&w, n < 0 ? n : keys);
        BERTH_WRITE(&w, ",\"calls\":");
        berth_write_int(&w, calls);
        BERTH_WRITE(&w, ",\"bytes\":");
        berth_write_int(&w, bytes);
        BERTH_WRITE(&w, ",\"trace\":");
        berth_write_int(&w, trace);
        berth_put(&w, '}');
        answer(&w);
    }
}
