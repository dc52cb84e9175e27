// Loops for ever in _initialize.
#include "berth.h"

static char event[4096];

BERTH_EXPORT("_initialize") void initialize(void) {
    for (volatile unsigned i = 0; i < 1; i = 0)
        ;
}

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0)
        ;
}
