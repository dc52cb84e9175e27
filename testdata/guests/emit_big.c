// Emits /data/children children (default 1) of /data/bytes bytes of JSON each.
// It stops at the first that is refused. Answers {"code": n, "error": text}.
#include "answer.h"

static char event[4096], child[2 << 20];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int bytes = FIELD_INT("/data/bytes", 0), children = FIELD_INT("/data/children", 1), code = 0;
        berth_writer w = {child, child + sizeof child, 0};
        BERTH_WRITE(&w, "{\"event_type\":\"child\",\"data\":\"");
        while (w.at < child + bytes - 2)
            *w.at++ = 'x';
        BERTH_WRITE(&w, "\"}");
        for (int i = 0; i < children && code == 0; i++)
            code = berth_emit(child, (unsigned)bytes);
        answer_code(code);
    }
}
