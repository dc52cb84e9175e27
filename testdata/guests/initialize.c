// Exports _initialize beside run. It answers each event with
// {"initialized": n}: how often _initialize was called before.
#include "berth.h"

static char event[4096], result[64];
static int initialized;

BERTH_EXPORT("_initialize") void initialize(void) { initialized++; }

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        berth_writer w = {result, result + sizeof result, 0};
        BERTH_WRITE(&w, "{\"initialized\":");
        berth_write_int(&w, initialized);
        berth_put(&w, '}');
        berth_finish(BERTH_OK, result, (unsigned)(w.at - result));
    }
}
