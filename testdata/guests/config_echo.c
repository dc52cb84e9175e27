// Answers each event with the handler's own configuration, which it asks for
// anew each time. A configuration over 4 KiB is fetched by last.
#include "berth.h"

static char event[4096], config[65536];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = berth_config(config, 4096);
        if (n > 4096)
            n = berth_last(config, sizeof config);
        if (n < 0 || n > (int)sizeof config) {
            BERTH_REJECT("no configuration of at most 64 KiB");
            continue;
        }
        berth_finish(BERTH_OK, config, (unsigned)n);
    }
}
