// Answers {"secret": <the secret that /data/name names>}, or {"code": n,
// "error": text}.
#include "answer.h"

static char event[4096], name[256], secret[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = BERTH_FIELD("/data/name", name, sizeof name);
        if (n >= 0 && n <= (int)sizeof name)
            n = berth_secret(name, (unsigned)n, secret, sizeof secret);
        if (n < 0 || n > (int)sizeof secret)
            answer_code(n);
        else
            ANSWER_TEXT("secret", secret, (unsigned)n);
    }
}
