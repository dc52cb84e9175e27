// Reads the field that /data/pointer names and answers {"text": <it>}, or
// {"code": n, "error": text}.
#include "answer.h"

static char event[4096], pointer[512], text[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = BERTH_FIELD("/data/pointer", pointer, sizeof pointer);
        if (n >= 0 && n <= (int)sizeof pointer)
            n = berth_field(pointer, (unsigned)n, text, sizeof text);
        if (n < 0)
            answer_code(n);
        else if (n > (int)sizeof text)
            BERTH_REJECT("the field is over 4 KiB");
        else
            ANSWER_TEXT("text", text, (unsigned)n);
    }
}
