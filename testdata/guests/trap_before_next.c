// Traps before its first call to next.
#include "berth.h"

static char event[4096];
static volatile int yes = 1;

BERTH_EXPORT("run") void run(void) {
    if (yes)
        __builtin_trap();
    berth_next(event, sizeof event);
}
