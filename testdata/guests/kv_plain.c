// Counts events under the kv key "count", as text, by a plain get and a plain set: exact
// only for one instance, or with "state": "atomic". Answers {"count": n}, or {"code": n,
// "error": text}. An event whose /data/read is true is answered and not counted.
#include "answer.h"

static char event[4096], number[16], flag[8];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int count = 0, code = 0, n = berth_kv_get("count", 5, number, sizeof number);
        if (n < 0 && n != BERTH_NOT_FOUND) {
            answer_code(n);
            continue;
        }
        for (int i = 0; i < n; i++)
            count = count * 10 + (number[i] - '0');
        if (BERTH_FIELD("/data/read", flag, sizeof flag) != 4 || flag[0] != 't') {
            berth_writer w = {number, number + sizeof number, 0};
            berth_write_int(&w, ++count);
            code = berth_kv_set("count", 5, number, (unsigned)(w.at - number));
        }
        if (code < 0)
            answer_code(code);
        else
            ANSWER_INT("count", count);
    }
}
