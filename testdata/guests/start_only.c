// The loop in _start, as a WASI command has it, without importing WASI. It
// answers each event with {"entry": "_start"}.
#include "berth.h"

static char event[4096];

BERTH_EXPORT("_start") void start(void) {
    while (berth_next(event, sizeof event) >= 0)
        BERTH_RESULT("{\"entry\":\"_start\"}");
}
