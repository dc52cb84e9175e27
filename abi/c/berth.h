/* berth.h - the Berth ABI, version 1, for guests in C and C++.
 *
 * A handler is a loop:
 *
 *     #include "berth.h"
 *
 *     static char event[4096], status[64];
 *
 *     BERTH_EXPORT("run") void run(void) {
 *         while (berth_next(event, sizeof event) >= 0) {
 *             int n = BERTH_FIELD("/data/status", status, sizeof status);
 *             if (n < 0) { BERTH_REJECT("no status"); continue; }
 *             berth_log(BERTH_INFO, status, n);
 *             berth_finish(BERTH_OK, 0, 0);
 *         }
 *     }
 *
 * A function with (buf, cap) returns the whole length n of what it yields, or a
 * negative code. If n > cap nothing was copied: call berth_last with a buffer
 * of n bytes. Lengths are bytes; nothing ends with a zero byte. The header
 * needs no C library. ABI.md is the contract in full.
 */
#ifndef BERTH_H
#define BERTH_H

#ifdef __cplusplus
extern "C" {
#endif

#define BERTH_IMPORT(name) __attribute__((import_module("berth_v1"), import_name(name)))
#define BERTH_EXPORT(name) __attribute__((export_name(name)))

/* Codes: the results of calls that fail. */
#define BERTH_END (-1)         /* no more events: return from run */
#define BERTH_INVALID (-2)     /* an argument is malformed, or no event is open */
#define BERTH_DENIED (-3)      /* the capability is not granted */
#define BERTH_NOT_FOUND (-4)   /* no such key, field or secret */
#define BERTH_TOO_LARGE (-5)   /* over a limit */
#define BERTH_UNAVAILABLE (-6) /* the backend failed; trying again may help */
#define BERTH_TIMEOUT (-7)     /* the event's deadline, or the call's own, passed */
#define BERTH_CONFLICT (-8)    /* the compared value differs */

/* Statuses of berth_finish. */
enum { BERTH_OK = 0, BERTH_RETRY = 1, BERTH_REJECTED = 2 };

/* Levels of berth_log. */
enum { BERTH_DEBUG = 0, BERTH_INFO = 1, BERTH_WARN = 2, BERTH_ERROR = 3 };

/* Waits for an event and yields its envelope. An event still open is finished
 * as ok first. BERTH_END: return from run, and do not call it again. */
BERTH_IMPORT("next") int berth_next(void *buf, unsigned cap);

/* Yields the value at a JSON Pointer: a string unquoted, else JSON text. */
BERTH_IMPORT("field") int berth_field(const char *pointer, unsigned len, void *buf, unsigned cap);

/* Closes the open event: BERTH_OK with a JSON result (or nothing),
 * BERTH_RETRY or BERTH_REJECTED with a reason. */
BERTH_IMPORT("finish") int berth_finish(int status, const void *bytes, unsigned len);

/* Adds a child event, published when the open event finishes as ok. */
BERTH_IMPORT("emit") int berth_emit(const char *json, unsigned len);

/* Writes a log line of at most 8 KiB. */
BERTH_IMPORT("log") void berth_log(int level, const char *text, unsigned len);

/* Yields the handler's configuration as JSON; {} when there is none. */
BERTH_IMPORT("config") int berth_config(void *buf, unsigned cap);

/* Yields a secret by name. */
BERTH_IMPORT("secret") int berth_secret(const char *name, unsigned len, void *buf, unsigned cap);

/* Durable state of the plugin. For berth_kv_cas an old_len of -1 means "only
 * if there is none yet"; then old is not looked at. */
BERTH_IMPORT("kv_get") int berth_kv_get(const void *key, unsigned key_len, void *buf, unsigned cap);
BERTH_IMPORT("kv_set") int berth_kv_set(const void *key, unsigned key_len, const void *val, unsigned val_len);
BERTH_IMPORT("kv_cas") int berth_kv_cas(const void *key, unsigned key_len, const void *old, int old_len,
                                        const void *val, unsigned val_len);
BERTH_IMPORT("kv_delete") int berth_kv_delete(const void *key, unsigned key_len);

/* Sends an HTTP request written as JSON and yields the response as JSON. */
BERTH_IMPORT("http") int berth_http(const char *request, unsigned len, void *buf, unsigned cap);

/* 1 on the first delivery of the open event. */
BERTH_IMPORT("attempt") int berth_attempt(void);

/* Milliseconds until the open event's deadline. */
BERTH_IMPORT("remaining") int berth_remaining(void);

/* Yields again what the latest yielding call yielded. */
BERTH_IMPORT("last") int berth_last(void *buf, unsigned cap);

/* Yields the text of the latest error. */
BERTH_IMPORT("error") int berth_error(void *buf, unsigned cap);

/* The same for string literals, whose length the compiler knows. */
#define BERTH_FIELD(pointer, buf, cap) berth_field((pointer), sizeof(pointer) - 1, (buf), (cap))
#define BERTH_LOG(level, text) berth_log((level), (text), sizeof(text) - 1)
#define BERTH_RESULT(json) berth_finish(BERTH_OK, (json), sizeof(json) - 1)
#define BERTH_RETRY_LATER(reason) berth_finish(BERTH_RETRY, (reason), sizeof(reason) - 1)
#define BERTH_REJECT(reason) berth_finish(BERTH_REJECTED, (reason), sizeof(reason) - 1)

/* A place to write JSON. What does not fit is dropped, and `full` is set. */
typedef struct {
    char *at, *end;
    int full;
} berth_writer;

static inline void berth_put(berth_writer *w, char c) {
    if (w->at < w->end)
        *w->at++ = c;
    else
        w->full = 1;
}

/* Writes bytes as they are. */
static inline void berth_write(berth_writer *w, const char *text, unsigned len) {
    for (unsigned i = 0; i < len; i++)
        berth_put(w, text[i]);
}
#define BERTH_WRITE(w, text) berth_write((w), (text), sizeof(text) - 1)

/* Writes UTF-8 text as a JSON string, with its quotes. */
static inline void berth_write_string(berth_writer *w, const char *text, unsigned len) {
    berth_put(w, '"');
    for (unsigned i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20) {
            BERTH_WRITE(w, "\\u00");
            berth_put(w, (char)('0' + (c >> 4)));
            berth_put(w, "0123456789abcdef"[c & 15]);
            continue;
        }
        if (c == '"' || c == '\\')
            berth_put(w, '\\');
        berth_put(w, (char)c);
    }
    berth_put(w, '"');
}

/* Writes a whole number. */
static inline void berth_write_int(berth_writer *w, int n) {
    char digits[10];
    int i = 10;
    unsigned u = n < 0 ? 0u - (unsigned)n : (unsigned)n;
    do
        digits[--i] = (char)('0' + u % 10);
    while (u /= 10);
    if (n < 0)
        berth_put(w, '-');
    berth_write(w, digits + i, (unsigned)(10 - i));
}

#ifdef __cplusplus
}
#endif
#endif
