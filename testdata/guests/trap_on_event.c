// Traps on an event whose /data/trap is true; any other is ok, with {}.
#include "berth.h"

static char event[4096], flag[8];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        if (BERTH_FIELD("/data/trap", flag, sizeof flag) == 4 && flag[0] == 't')
            __builtin_trap();
        BERTH_RESULT("{}");
    }
}
