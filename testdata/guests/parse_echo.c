// Does what echo does, but finds /data/status in the envelope by itself, so that
// a host can also call it as a plain function: it puts the envelope at input(),
// and finds the result that handle(length) gives the length of at output().
#include "berth.h"

static char event[4096], result[2048];

static const char *space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

// Moves past a string.
static const char *string(const char *p, const char *end) {
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

// Moves past a value.
static const char *value(const char *p, const char *end) {
    int depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = string(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p;
            depth--;
            p++;
        } else if (depth == 0 && *p == ',') {
            return p;
        } else {
            p++;
            continue;
        }
        if (depth == 0)
            return p;
    }
    return end;
}

// Yields where the value of the object's member begins, 0 if it has none.
static const char *member(const char *p, const char *end, const char *name, unsigned len) {
    p = space(p, end);
    if (p >= end || *p != '{')
        return 0;
    for (p = space(p + 1, end); p < end && *p == '"'; p = space(p + 1, end)) {
        const char *key = p + 1;
        p = string(p, end);
        unsigned i = 0;
        while (i < len && key + i < end && key[i] == name[i])
            i++;
        int same = i == len && key + len == p - 1;
        p = space(p, end);
        if (p >= end || *p != ':')
            return 0;
        p = space(p + 1, end);
        if (same)
            return p;
        p = space(value(p, end), end);
        if (p >= end || *p != ',')
            return 0;
    }
    return 0;
}

BERTH_EXPORT("input") char *input(void) { return event; }
BERTH_EXPORT("output") char *output(void) { return result; }

BERTH_EXPORT("handle") unsigned handle(unsigned length) {
    const char *end = event + length;
    const char *p = member(event, end, "data", 4);
    if (p)
        p = member(p, end, "status", 6);
    if (!p || *p != '"')
        return 0;
    const char *to = string(p, end);
    berth_writer w = {result, result + sizeof result, 0};
    BERTH_WRITE(&w, "{\"echo\":");
    berth_write(&w, p, (unsigned)(to - p));
    berth_put(&w, '}');
    return w.full ? 0 : (unsigned)(w.at - result);
}

BERTH_EXPORT("run") void run(void) {
    for (;;) {
        int n = berth_next(event, sizeof event);
        if (n < 0)
            return;
        unsigned length = n <= (int)sizeof event ? handle((unsigned)n) : 0;
        if (length == 0)
            BERTH_REJECT("the event has no /data/status, or is over 4096 bytes");
        else
            berth_finish(BERTH_OK, result, length);
    }
}
