// For each event it sends its configuration as a request (an object, as the ABI's http takes
// it), emits {"event_type":"relayed","data":{}}, and asks for a retry on the first attempt. On
// later ones it answers {"attempt": n}; when a call is refused it answers {"code": n, "error":
// text}.
#include "answer.h"

static char event[4096], request[4096], response[65536];
static const char child[] = "{\"event_type\":\"relayed\",\"data\":{}}";

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int attempt = berth_attempt();
        int n = berth_config(request, sizeof request);
        int code = n > 0 && n <= (int)sizeof request ? berth_http(request, (unsigned)n, response, sizeof response) : n;
        if (code >= 0)
            code = berth_emit(child, sizeof child - 1);
        if (code < 0)
            answer_code(code);
        else if (attempt == 1)
            BERTH_RETRY_LATER("not on the first attempt");
        else
            ANSWER_INT("attempt", attempt);
    }
}
