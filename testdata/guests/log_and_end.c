// Logs a line at the levels debug, info and warn, writes two lines to stderr, the second
// without its end, and ends the event as /data/end says: 0 ok (default), 1 retry, 2 reject,
// 3 trap, 4 nothing but ok.
#include "answer.h"

struct vector {
    const char *at;
    unsigned len;
};
__attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write"))) int fd_write(int fd, const struct vector *v, unsigned n, unsigned *done);

static char event[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int end = FIELD_INT("/data/end", 0);
        if (end == 4) {
            berth_finish(BERTH_OK, 0, 0);
            continue;
        }
        berth_log(BERTH_DEBUG, "a detail", 8);
        berth_log(BERTH_INFO, "a line", 6);
        struct vector v = {"to stderr\nand more", 18};
        unsigned done;
        fd_write(2, &v, 1, &done);
        berth_log(BERTH_WARN, "a warning", 9);
        if (end == 3)
            __builtin_trap();
        if (end == 0)
            berth_finish(BERTH_OK, 0, 0);
        else
            berth_finish(end, "a reason", 8);
    }
}
