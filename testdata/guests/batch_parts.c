// Handles batches: asks for a retry of the events whose /data/fail is true on
// their first attempt, and answers {"events": <of the batch>, "attempt": n} for
// every other one.
#include "berth.h"

static berth_result each(berth_batch *batch) {
    for (unsigned i = 0; i < batch->count; i++) {
        int fail = 0;
        berth_select(batch, i);
        if (berth_attempt() == 1 && berth_get_bool("/data/fail", &fail) == 0 && fail) {
            berth_end(batch, i, berth_retry("not on the first attempt"));
            continue;
        }
        berth_json result = berth_object();
        berth_add_int(&result, "events", batch->count);
        berth_add_int(&result, "attempt", berth_attempt());
        berth_end(batch, i, berth_answer(&result));
    }
    return berth_ok();
}

BERTH_EXPORT("run") void run(void) { berth_run_batch(each); }
