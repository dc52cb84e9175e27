// Emits /data/children children (default 1) with /data/child as their JSON,
// or {"event_type":"child","data":{}} when there is none. It stops at the first
// that is refused and answers {"code": n, "error": text}, else {"emitted": n}.
// If /data/retry is a number and the attempt is not above it, it emits and then
// asks for a retry.
#include "answer.h"

static char event[4096], child[4096];
static const char plain[] = "{\"event_type\":\"child\",\"data\":{}}";

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int wanted = FIELD_INT("/data/children", 1), emitted = 0, code = 0;
        int retry = berth_attempt() <= FIELD_INT("/data/retry", 0);
        int n = BERTH_FIELD("/data/child", child, sizeof child);
        while (emitted < wanted) {
            code = n > 0 && n <= (int)sizeof child ? berth_emit(child, (unsigned)n) : berth_emit(plain, sizeof plain - 1);
            if (code < 0)
                break;
            emitted++;
        }
        if (retry)
            BERTH_RETRY_LATER("as the event asked");
        else if (code < 0)
            answer_code(code);
        else
            ANSWER_INT("emitted", emitted);
    }
}
