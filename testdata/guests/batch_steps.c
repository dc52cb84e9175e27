// Handles batches: emits the texts of /events/0/data/emit/0 to 9 as children, and finishes
// with the text of /events/0/data/finish. Without it the result has the field /data/n of each
// event.
#include "answer.h"

static char batch[1 << 20], text[1 << 20];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(batch, sizeof batch) >= 0) {
        int codes = 0;
        for (int i = 0; i < 10; i++) {
            char pointer[] = "/events/0/data/emit/0";
            pointer[sizeof pointer - 2] = (char)('0' + i);
            int n = berth_field(pointer, sizeof pointer - 1, text, sizeof text);
            if (n < 0)
                break;
            codes += berth_emit(text, (unsigned)n) < 0;
        }
        int n = BERTH_FIELD("/events/0/data/finish", text, sizeof text);
        if (n >= 0) {
            if (berth_finish(BERTH_OK, text, (unsigned)n) < 0)
                codes = -1;
            continue;
        }
        berth_writer w = ANSWER_WRITER;
        BERTH_WRITE(&w, "{\"results\":[");
        for (int i = 0;; i++) {
            char pointer[32] = "/events/";
            berth_writer p = {pointer + 8, pointer + sizeof pointer, 0};
            berth_write_int(&p, i);
            BERTH_WRITE(&p, "/data/n");
            n = berth_field(pointer, (unsigned)(p.at - pointer), text, sizeof text);
            if (n < 0)
                break;
            if (i > 0)
                berth_put(&w, ',');
            BERTH_WRITE(&w, "{\"n\":");
            berth_write(&w, text, (unsigned)n);
            BERTH_WRITE(&w, ",\"refused\":");
            berth_write_int(&w, codes);
            berth_put(&w, '}');
        }
        BERTH_WRITE(&w, "]}");
        answer(&w);
    }
}
