// Calls next again after END, which must trap. It answers each event with {}.
#include "berth.h"

static char event[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0)
        BERTH_RESULT("{}");
    berth_next(event, sizeof event);
    BERTH_LOG(BERTH_ERROR, "next after END came back");
}
