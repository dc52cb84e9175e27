// Loops for ever, with no call inside, on an event whose /data/spin is true;
// any other is ok, with {}.
#include "berth.h"

static char event[4096], flag[8];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        if (BERTH_FIELD("/data/spin", flag, sizeof flag) == 4 && flag[0] == 't')
            for (volatile unsigned i = 0;; i++)
                ;
        BERTH_RESULT("{}");
    }
}
