// Calls itself /data/depth deep (default 10) and answers {"sum": n}. Without
// end if /data/depth is 0: that must end as a trap and not with the host.
#include "answer.h"

static char event[4096];
static volatile int one = 1;

__attribute__((noinline)) static int descend(int depth) {
    if (depth == 1)
        return one;
    return descend(depth - one) + one;
}

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0)
        ANSWER_INT("sum", descend(FIELD_INT("/data/depth", 10)));
}
