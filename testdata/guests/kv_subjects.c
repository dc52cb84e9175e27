// Counts the events of each subject under the kv key that is the subject, with one
// get and one compare and swap an event, and answers {"count": n}, or {"code": n,
// "error": text}; a conflict is not repeated. With order_by at /metadata/subject no
// two events of a subject are under way at once, so that there is none.
#include "answer.h"

static char event[4096], key[256], old[16], new[16];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int len = BERTH_FIELD("/metadata/subject", key, sizeof key);
        if (len <= 0 || len > (int)sizeof key) {
            BERTH_REJECT("no subject of at most 256 bytes");
            continue;
        }
        int count = 0, n = berth_kv_get(key, (unsigned)len, old, sizeof old);
        if (n < 0 && n != BERTH_NOT_FOUND) {
            answer_code(n);
            continue;
        }
        for (int i = 0; i < n; i++)
            count = count * 10 + (old[i] - '0');
        berth_writer w = {new, new + sizeof new, 0};
        berth_write_int(&w, ++count);
        int code = berth_kv_cas(key, (unsigned)len, old, n < 0 ? -1 : n, new, (unsigned)(w.at - new));
        if (code < 0)
            answer_code(code);
        else
            ANSWER_INT("count", count);
    }
}
