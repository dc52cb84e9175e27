// Works after it has finished an event, before it asks for the next one:
// /data/rounds times a loop of 1,000 steps (default none).
#include "berth.h"

static char event[4096], text[16];
static volatile unsigned sink;

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        unsigned rounds = 0;
        int n = BERTH_FIELD("/data/rounds", text, sizeof text);
        for (int i = 0; i < n && i < (int)sizeof text; i++)
            rounds = rounds * 10 + (unsigned)(text[i] - '0');
        BERTH_RESULT("{}");
        for (unsigned left = rounds; left > 0; left--)
            for (unsigned i = 0; i < 1000; i++)
                sink = sink * 1664525u + 1013904223u;
    }
}
