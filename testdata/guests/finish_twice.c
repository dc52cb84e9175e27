// Finishes each event twice and writes the second finish's result to the
// log: "second finish: -2".
#include "answer.h"

static char event[4096], line[64];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        BERTH_RESULT("{}");
        int code = BERTH_RETRY_LATER("too late");
        berth_writer w = {line, line + sizeof line, 0};
        BERTH_WRITE(&w, "second finish: ");
        berth_write_int(&w, code);
        berth_log(BERTH_INFO, line, (unsigned)(w.at - line));
    }
}
