// Asks for a retry on an event's first attempt; on later ones it is ok and
// answers {"attempt": n}.
#include "berth.h"

static char event[4096], result[64];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int attempt = berth_attempt();
        if (attempt == 1) {
            BERTH_RETRY_LATER("not on the first attempt");
            continue;
        }
        berth_writer w = {result, result + sizeof result, 0};
        BERTH_WRITE(&w, "{\"attempt\":");
        berth_write_int(&w, attempt);
        berth_put(&w, '}');
        berth_finish(BERTH_OK, result, (unsigned)(w.at - result));
    }
}
