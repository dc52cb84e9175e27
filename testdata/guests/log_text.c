// Logs /data/text at level /data/level (default info), and answers {"logged": bytes}.
#include "answer.h"

static char event[8192], text[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = BERTH_FIELD("/data/text", text, sizeof text);
        if (n < 0 || n > (int)sizeof text) {
            BERTH_REJECT("no text of at most 4 KiB");
            continue;
        }
        berth_log(FIELD_INT("/data/level", BERTH_INFO), text, (unsigned)n);
        ANSWER_INT("logged", n);
    }
}
