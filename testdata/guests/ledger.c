// Keeps a ledger under the kv key of the event's subject: for every attempt the
// number at /data/n (or else /data/version) and what became of it, "7+" for ok
// and "7-" for a retry. Attempts up to the number at /data/fail ask for a retry.
// With /data/child true it emits one child of the type "child", with the same n
// and the subject "child of <subject>", which must need no escapes. An entry that another attempt with the
// same subject wrote over at the same time is marked "!".
// Events of the type "report" are answered with {"ledger": <that of /data/of>}.
#include "answer.h"

static char event[8192], subject[256], child[1024], ledger[60000], flag[8];

static int same(const char *a, const char *b, int n) {
    for (int i = 0; i < n; i++)
        if (a[i] != b[i])
            return 0;
    return 1;
}

static void report(void) {
    static char result[62000];
    int n = BERTH_FIELD("/data/of", subject, sizeof subject);
    if (n < 0 || n > (int)sizeof subject) {
        BERTH_REJECT("of whom?");
        return;
    }
    int size = berth_kv_get(subject, (unsigned)n, ledger, sizeof ledger);
    if (size != BERTH_NOT_FOUND && (size < 0 || size > (int)sizeof ledger)) {
        answer_code(size);
        return;
    }
    berth_writer w = {result, result + sizeof result, 0};
    BERTH_WRITE(&w, "{\"ledger\":");
    berth_write_string(&w, ledger, size < 0 ? 0 : (unsigned)size);
    berth_put(&w, '}');
    berth_finish(BERTH_OK, result, (unsigned)(w.at - result));
}

// Writes the attempt down. Two at a time with one subject would collide.
static int enter(int len, int n, int ok) {
    for (int tries = 0;; tries++) {
        int size = berth_kv_get(subject, (unsigned)len, ledger, sizeof ledger - 16);
        if (size != BERTH_NOT_FOUND && (size < 0 || size > (int)sizeof ledger - 16))
            return size < 0 ? size : BERTH_TOO_LARGE;
        int old = size < 0 ? -1 : size;
        static char now[60000];
        berth_writer w = {now, now + sizeof now, 0};
        berth_write(&w, ledger, old < 0 ? 0 : (unsigned)old);
        berth_write_int(&w, n);
        berth_put(&w, ok ? '+' : '-');
        if (tries > 0)
            berth_put(&w, '!');
        int code = berth_kv_cas(subject, (unsigned)len, ledger, old, now, (unsigned)(w.at - now));
        if (code != BERTH_CONFLICT)
            return code;
    }
}

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        char type[128];
        int t = BERTH_FIELD("/event_type", type, sizeof type);
        if (t == 6 && same(type, "report", 6)) {
            report();
            continue;
        }
        int len = BERTH_FIELD("/metadata/subject", subject, sizeof subject);
        if (len < 0 || len > 200) {
            BERTH_REJECT("no subject");
            continue;
        }
        int n = FIELD_INT("/data/n", -1);
        if (n < 0)
            n = FIELD_INT("/data/version", 0);
        int ok = berth_attempt() > FIELD_INT("/data/fail", 0);
        int code = enter(len, n, ok);
        if (code < 0) {
            BERTH_RETRY_LATER("the ledger cannot be written");
            continue;
        }
        if (!ok) {
            BERTH_RETRY_LATER("as the event asked");
            continue;
        }
        if (BERTH_FIELD("/data/child", flag, sizeof flag) == 4 && flag[0] == 't') {
            berth_writer w = {child, child + sizeof child, 0};
            BERTH_WRITE(&w, "{\"event_type\":\"child\",\"data\":{\"n\":");
            berth_write_int(&w, n);
            BERTH_WRITE(&w, "},\"metadata\":{\"subject\":");
            BERTH_WRITE(&w, "\"child of ");
            berth_write(&w, subject, (unsigned)len);
            berth_put(&w, '"');
            BERTH_WRITE(&w, "}}");
            if ((code = berth_emit(child, (unsigned)(w.at - child))) < 0) {
                answer_code(code);
                continue;
            }
        }
        ANSWER_INT("n", n);
    }
}
