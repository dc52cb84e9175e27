// Logs /data/lines lines (default 1) of /data/bytes bytes (default 5) at level
// /data/level (default 1), and answers {"lines": n}.
#include "answer.h"

static char event[4096], line[65536];

BERTH_EXPORT("run") void run(void) {
    for (unsigned i = 0; i < sizeof line; i++)
        line[i] = (char)('a' + i % 26);
    while (berth_next(event, sizeof event) >= 0) {
        int lines = FIELD_INT("/data/lines", 1), bytes = FIELD_INT("/data/bytes", 5);
        int level = FIELD_INT("/data/level", BERTH_INFO);
        for (int i = 0; i < lines; i++)
            berth_log(level, line, (unsigned)bytes);
        ANSWER_INT("lines", lines);
    }
}
