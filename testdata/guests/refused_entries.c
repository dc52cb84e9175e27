// Exports both _start and run: the host must refuse the module.
#include "berth.h"

static char event[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0)
        ;
}

BERTH_EXPORT("_start") void start(void) { run(); }
