// Grows its memory by /data/pages pages (default 1), one after the other, writes
// to each, and answers {"grown": n}: how many it was given.
#include "answer.h"

static char event[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int wanted = FIELD_INT("/data/pages", 1), grown = 0;
        while (grown < wanted) {
            unsigned long page = __builtin_wasm_memory_grow(0, 1);
            if (page == (unsigned long)-1)
                break;
            *(volatile char *)(page * 65536) = 1;
            grown++;
        }
        ANSWER_INT("grown", grown);
    }
}
