// Runs the calls of /data/steps, each "OKVALUE": the letter O says which (g get, s set, d
// delete, a swap of an absent key, c swap of the value that get yields, x expire in a minute,
// l list), K is a key of one byte, and VALUE what is written. It answers a list with what each
// call yielded, or its code. Then it ends as /data/end says: "retry", "reject" or ok.
#include "answer.h"

static char event[65536], step[4096], buf[65536];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        berth_writer w = ANSWER_WRITER;
        berth_put(&w, '[');
        for (int i = 0; i < 10; i++) {
            char pointer[] = "/data/steps/0";
            pointer[sizeof pointer - 2] = (char)('0' + i);
            int n = berth_field(pointer, sizeof pointer - 1, step, sizeof step);
            if (n < 2)
                break;
            const char *key = step + 1, *value = step + 2;
            unsigned len = (unsigned)n - 2;
            int code = 0, yields = 0;
            switch (step[0]) {
            case 'g': code = berth_kv_get(key, 1, buf, sizeof buf), yields = 1; break;
            case 's': code = berth_kv_set(key, 1, value, len); break;
            case 'd': code = berth_kv_delete(key, 1); break;
            case 'a': code = berth_kv_cas(key, 1, 0, -1, value, len); break;
            case 'c': code = berth_kv_get(key, 1, buf, sizeof buf);
                      code = berth_kv_cas(key, 1, buf, code < 0 ? -1 : code, value, len); break;
            case 'x': code = berth_kv_expire(key, 1, 60); break;
            case 'l': code = berth_kv_list(0, 0, 0, 0, buf, sizeof buf), yields = 1; break;
            }
            if (i > 0)
                berth_put(&w, ',');
            if (yields && code >= 0)
                berth_write_string(&w, buf, (unsigned)code);
            else
                berth_write_int(&w, code);
        }
        berth_put(&w, ']');
        int n = BERTH_FIELD("/data/end", step, sizeof step);
        if (n == 5)
            berth_finish(1, "later", 5);
        else if (n == 6)
            berth_finish(2, "never", 5);
        else
            answer(&w);
    }
}
