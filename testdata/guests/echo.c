// Answers each event with {"echo": <its /data/status>}. An event without a
// status is rejected.
#include "berth.h"

static char event[4096], status[512], result[2048];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = BERTH_FIELD("/data/status", status, sizeof status);
        if (n < 0 || n > (int)sizeof status) {
            BERTH_REJECT("the event has no /data/status of at most 512 bytes");
            continue;
        }
        berth_writer w = {result, result + sizeof result, 0};
        BERTH_WRITE(&w, "{\"echo\":");
        berth_write_string(&w, status, (unsigned)n);
        berth_put(&w, '}');
        berth_finish(BERTH_OK, result, (unsigned)(w.at - result));
    }
}
