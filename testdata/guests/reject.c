// Rejects every event.
#include "berth.h"

static char event[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0)
        BERTH_REJECT("this handler rejects everything");
}
