// Calls what needs an open event before there is one, and answers the first
// event with what came back: {"field":n,"finish":n,"emit":n,"attempt":n,
// "remaining":n,"last":n,"error":n}.
#include "answer.h"

static char event[4096], small[4];

BERTH_EXPORT("run") void run(void) {
    int error = berth_error(small, sizeof small);
    int last = berth_last(small, sizeof small);
    int field = BERTH_FIELD("/data", small, sizeof small);
    int finish = BERTH_RESULT("{}");
    int emit = berth_emit("{\"event_type\":\"child\",\"data\":{}}", 32);
    int attempt = berth_attempt();
    int remaining = berth_remaining();
    while (berth_next(event, sizeof event) >= 0) {
        berth_writer w = ANSWER_WRITER;
        BERTH_WRITE(&w, "{\"field\":");
        berth_write_int(&w, field);
        BERTH_WRITE(&w, ",\"finish\":");
        berth_write_int(&w, finish);
        BERTH_WRITE(&w, ",\"emit\":");
        berth_write_int(&w, emit);
        BERTH_WRITE(&w, ",\"attempt\":");
        berth_write_int(&w, attempt);
        BERTH_WRITE(&w, ",\"remaining\":");
        berth_write_int(&w, remaining);
        BERTH_WRITE(&w, ",\"last\":");
        berth_write_int(&w, last);
        BERTH_WRITE(&w, ",\"error\":");
        berth_write_int(&w, error);
        berth_put(&w, '}');
        answer(&w);
    }
}
