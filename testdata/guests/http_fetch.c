// Sends /data/request (an object, as the ABI's http takes it) and answers the
// response as it came, or {"code": n, "error": text}.
#include "answer.h"

static char event[4096], request[4096], response[65536];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = BERTH_FIELD("/data/request", request, sizeof request);
        if (n >= 0 && n <= (int)sizeof request)
            n = berth_http(request, (unsigned)n, response, sizeof response);
        if (n < 0 || n > (int)sizeof response)
            answer_code(n);
        else
            berth_finish(BERTH_OK, response, (unsigned)n);
    }
}
