// Finishes with a result that is not JSON. On an event whose /data/recover is
// true it finishes again, with {"refused": <what the first finish answered>};
// on any other it goes on to next as if nothing had happened.
#include "berth.h"

static char event[4096], flag[8], result[64];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int code = BERTH_RESULT("{\"status\": shipped");
        if (BERTH_FIELD("/data/recover", flag, sizeof flag) != 4 || flag[0] != 't')
            continue;
        berth_writer w = {result, result + sizeof result, 0};
        BERTH_WRITE(&w, "{\"refused\":");
        berth_write_int(&w, code);
        berth_put(&w, '}');
        berth_finish(BERTH_OK, result, (unsigned)(w.at - result));
    }
}
