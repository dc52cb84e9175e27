// Counts the events that this instance has had, in its memory, and answers
// {"count": n}. A new instance begins at 1 again.
#include "berth.h"

static char event[4096], result[64];
static int count;

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        berth_writer w = {result, result + sizeof result, 0};
        BERTH_WRITE(&w, "{\"count\":");
        berth_write_int(&w, ++count);
        berth_put(&w, '}');
        berth_finish(BERTH_OK, result, (unsigned)(w.at - result));
    }
}
