// Counts events under the kv key "count", as text, by compare and swap, and
// answers {"count": n}, or {"code": n, "error": text}. Unlike count.c it goes
// on counting in the next instance. On an event whose /data/reset is true it
// deletes the key and answers {"count": 0}.
#include "answer.h"

static char event[4096], old[16], new[16], flag[8];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int code, count = 0;
        if (BERTH_FIELD("/data/reset", flag, sizeof flag) == 4 && flag[0] == 't') {
            code = berth_kv_delete("count", 5);
        } else {
            do {
                int n = berth_kv_get("count", 5, old, sizeof old);
                if (n < 0 && n != BERTH_NOT_FOUND) {
                    code = n;
                    break;
                }
                count = 0;
                for (int i = 0; i < n; i++)
                    count = count * 10 + (old[i] - '0');
                berth_writer w = {new, new + sizeof new, 0};
                berth_write_int(&w, ++count);
                code = berth_kv_cas("count", 5, old, n < 0 ? -1 : n, new, (unsigned)(w.at - new));
            } while (code == BERTH_CONFLICT);
        }
        if (code < 0)
            answer_code(code);
        else
            ANSWER_INT("count", count);
    }
}
