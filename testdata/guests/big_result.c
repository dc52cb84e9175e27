// Finishes with a JSON string of /data/bytes bytes in all, its quotes included
// (default 65536: the most there may be). One more must trap.
#include "answer.h"

static char event[4096], result[2 << 20];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = FIELD_INT("/data/bytes", 65536);
        for (int i = 0; i < n; i++)
            result[i] = i == 0 || i == n - 1 ? '"' : 'x';
        berth_finish(BERTH_OK, result, (unsigned)n);
    }
}
