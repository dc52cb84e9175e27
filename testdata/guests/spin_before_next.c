// Loops for ever before its first call to next.
#include "berth.h"

static char event[4096];

BERTH_EXPORT("run") void run(void) {
    for (volatile unsigned i = 0; i < 1; i = 0)
        ;
    berth_next(event, sizeof event);
}
