/* berth.h - the Berth ABI, version 1, for guests in C and C++.
 *
 * The first part is the ABI itself, for guests without a C library. A handler is
 * a loop:
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
 * of n bytes. Lengths are bytes; nothing ends with a zero byte. ABI.md is the
 * contract in full.
 *
 * The second part ("Handlers") has the loop, texts, JSON and memory, for C and,
 * in the namespace berth, for C++. Neither part needs a C library; the namespace
 * needs <string_view> and <optional>.
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
/* Yields keys that begin with prefix and sort after the other key, each as a little-endian
 * length of four bytes and its bytes, at most 256 keys; 0: there are no more. */
BERTH_IMPORT("kv_list") int berth_kv_list(const void *prefix, unsigned prefix_len, const void *after, unsigned after_len,
                                          void *buf, unsigned cap);
/* Has a key disappear after so many seconds; 0 removes the limit. */
BERTH_IMPORT("kv_expire") int berth_kv_expire(const void *key, unsigned key_len, int seconds);

/* Sends an HTTP request written as JSON and yields the response as JSON. */
BERTH_IMPORT("http") int berth_http(const char *request, unsigned len, void *buf, unsigned cap);

/* 1 on the first delivery of the open event. */
BERTH_IMPORT("attempt") int berth_attempt(void);

/* Milliseconds until the open event's deadline. */
BERTH_IMPORT("remaining") int berth_remaining(void);

/* Yields the W3C traceparent of the attempt; BERTH_NOT_FOUND when it is not traced. */
BERTH_IMPORT("trace") int berth_trace(void *buf, unsigned cap);

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

/* A buffer for JSON. What does not fit is discarded, and `full` is set. */
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

/* ---------------------------------------------------------------------------
 * Handlers: a loop, texts, values of the event and the functions of the host
 * without buffers of your own. README.md explains this part.
 *
 *     #include "berth.h"
 *
 *     static berth_result handle(void) {
 *         berth_text status;
 *         if (berth_get_text("/data/status", &status) < 0)
 *             return berth_reject("no status");
 *         berth_json answer = berth_object();
 *         berth_add_text(&answer, "seen", status);
 *         return berth_answer(&answer);
 *     }
 *
 *     int main(void) { return berth_run(handle); }
 *
 * A function with a result of type int returns 0, or a negative code. What a
 * function yields lives until the handler returns. Where a text is expected, C
 * takes a berth_text or a string that ends with a zero byte. C++ has the same
 * in the namespace berth, at the end of this file.
 * ------------------------------------------------------------------------- */

/* Bytes in UTF-8, without a zero byte at the end. */
typedef struct {
    const char *at;
    unsigned len;
} berth_text;

#if __STDC_HOSTED__ || defined(__wasm_bulk_memory__)
#define BERTH_COPY(to, from, len) __builtin_memcpy((to), (from), (len))
#else
#define BERTH_COPY(to, from, len) \
    do { \
        for (unsigned berth_i = 0; berth_i < (unsigned)(len); berth_i++) \
            ((char *)(to))[berth_i] = ((const char *)(from))[berth_i]; \
    } while (0)
#endif

/* The text of a string that ends with a zero byte. */
static inline berth_text berth_text_from(const char *string) {
    berth_text text = {string, 0};
#if __STDC_HOSTED__
    text.len = (unsigned)__builtin_strlen(string);
#else
    if (__builtin_constant_p(__builtin_strlen(string)))
        text.len = (unsigned)__builtin_strlen(string);
    else
        while (string[text.len] != 0)
            text.len++;
#endif
    return text;
}

static inline berth_text berth_text_same(berth_text text) { return text; }

#ifdef __cplusplus
extern "C++" {
static inline berth_text berth_as_text(berth_text text) { return text; }
static inline berth_text berth_as_text(const char *string) { return berth_text_from(string); }
}
#define BERTH_AS_TEXT(x) ::berth_as_text(x)
#else
#define BERTH_AS_TEXT(x) _Generic((x), berth_text: berth_text_same, default: berth_text_from)(x)
#endif

static inline int berth_same_bytes(berth_text a, berth_text b) {
    if (a.len != b.len)
        return 0;
    for (unsigned i = 0; i < a.len; i++)
        if (a.at[i] != b.at[i])
            return 0;
    return 1;
}

/* Whether two texts are the same bytes. */
#define berth_equal(a, b) berth_same_bytes(BERTH_AS_TEXT(a), BERTH_AS_TEXT(b))

/* ---- Panics ----
 *
 * berth_panic(message) writes the message with its source line to fd 2, where
 * the host takes it into the delivery's error, and traps. berth_check(condition,
 * message) panics if the condition is false. */

typedef struct {
    const char *at;
    unsigned len;
} berth_piece;

__attribute__((import_module("wasi_snapshot_preview1"), import_name("fd_write"))) int
berth_fd_write(int fd, const berth_piece *pieces, unsigned count, unsigned *written);

__attribute__((noreturn, cold, noinline)) static inline void berth_panic_at(berth_text message, const char *file, int line,
                                                                            const char *function) {
    char digits[12];
    berth_writer w = {digits, digits + sizeof digits, 0};
    berth_write_int(&w, line);
    berth_text in = berth_text_from(function), of = berth_text_from(file);
    berth_piece pieces[] = {{"panic: ", 7}, {message.at, message.len}, {" (", 2}, {in.at, in.len}, {", ", 2}, {of.at, of.len},
                            {":", 1}, {digits, (unsigned)(w.at - digits)}, {")\n", 2}};
    unsigned written;
    berth_fd_write(2, pieces, sizeof pieces / sizeof *pieces, &written);
    __builtin_trap();
}

#define berth_panic(message) berth_panic_at(BERTH_AS_TEXT(message), __FILE__, __LINE__, __func__)
#define berth_check(condition, message) ((condition) ? (void)0 : berth_panic(message))

/* ---- Memory ----
 *
 * berth_alloc yields memory that lives until the handler returns: nothing is
 * freed one by one. The first BERTH_BUFFER bytes are static; larger events grow
 * the memory once and reuse it afterwards. */

#ifndef BERTH_BUFFER
#define BERTH_BUFFER 8192
#endif

typedef struct berth_block {
    struct berth_block *next;
    char *end;
} berth_block;

typedef union {
    berth_block block;
    char bytes[(BERTH_BUFFER + 15) & ~15];
    unsigned long long aligned;
} berth_first_block;

typedef struct {
    berth_block *block;
    char *at, *end; /* the unused part of the block; both are multiples of 8 */
} berth_memory_state;

__attribute__((weak)) berth_first_block berth_first;
__attribute__((weak)) berth_memory_state berth_memory;

/* malloc, where the program has it: a weak reference, which does not link it. */
__attribute__((weak)) void *__libc_malloc(unsigned long size);

static inline void berth_use_block(berth_block *block) {
    berth_memory.block = block;
    berth_memory.at = (char *)(block + 1);
    berth_memory.end = block->end;
}

/* Makes all of the memory free again. berth_run does so before each event. */
static inline void berth_free_all(void) {
    berth_first.block.end = berth_first.bytes + sizeof berth_first.bytes;
    berth_use_block(&berth_first.block);
}

/* Makes at least n bytes available in one piece. */
__attribute__((noinline)) static inline void berth_reserve(unsigned n) {
    if (berth_memory.block == 0)
        berth_free_all();
    if ((unsigned)(berth_memory.end - berth_memory.at) >= n)
        return;
    berth_block *last = berth_memory.block;
    while (last->next != 0) {
        last = last->next;
        if ((unsigned)(last->end - (char *)(last + 1)) >= n) {
            berth_use_block(last);
            return;
        }
    }
    unsigned size = (n + (unsigned)sizeof(berth_block) + 65535) & ~65535u;
    berth_block *block;
    if (__libc_malloc != 0) { /* its heap is everything above the data: growing the memory beside it would clash */
        block = (berth_block *)__libc_malloc(size);
    } else {
        unsigned long before = __builtin_wasm_memory_grow(0, size / 65536);
        block = before == (unsigned long)-1 ? 0 : (berth_block *)(before * 65536);
    }
    if (block == 0)
        berth_panic_at(berth_text_from("out of memory"), "berth.h", __LINE__, __func__);
    block->next = 0;
    block->end = (char *)block + size;
    last->next = block;
    berth_use_block(block);
}

/* Yields n bytes, aligned for any type. */
static inline void *berth_alloc(unsigned n) {
    n = (n + 7) & ~7u;
    if ((unsigned)(berth_memory.end - berth_memory.at) < n)
        berth_reserve(n);
    void *at = berth_memory.at;
    berth_memory.at += n;
    return at;
}

/* A copy of a text that ends with a zero byte, for functions of the C library. */
static inline char *berth_c_string(berth_text text) {
    char *copy = (char *)berth_alloc(text.len + 1);
    BERTH_COPY(copy, text.at, text.len);
    copy[text.len] = 0;
    return copy;
}

static inline berth_text berth_join_texts(berth_text a, berth_text b) {
    char *at = (char *)berth_alloc(a.len + b.len);
    berth_text text = {at, a.len + b.len};
    BERTH_COPY(at, a.at, a.len);
    BERTH_COPY(at + a.len, b.at, b.len);
    return text;
}

/* Two texts, one after the other. */
#define berth_join(a, b) berth_join_texts(BERTH_AS_TEXT(a), BERTH_AS_TEXT(b))

/* A whole number in digits. */
static inline berth_text berth_digits(long long value) {
    char digits[20];
    unsigned i = sizeof digits;
    unsigned long long u = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
    do
        digits[--i] = (char)('0' + u % 10);
    while ((u /= 10) != 0);
    if (value < 0)
        digits[--i] = '-';
    char *at = (char *)berth_alloc(sizeof digits - i);
    berth_text text = {at, (unsigned)sizeof digits - i};
    BERTH_COPY(at, digits + i, text.len);
    return text;
}

/* Keeps what a yielding call wrote to berth_memory.at, where cap bytes were unused. */
static inline int berth_take(int n, unsigned cap, berth_text *out) {
    if (n < 0)
        return n;
    char *at = (char *)berth_alloc((unsigned)n);
    if ((unsigned)n > cap && berth_last(at, (unsigned)n) != n)
        berth_panic_at(berth_text_from("last yields something else"), "berth.h", __LINE__, __func__);
    out->at = at;
    out->len = (unsigned)n;
    return 0;
}

/* The size of the unused memory at berth_memory.at, at least 256 bytes: the
 * buffer of a yielding call. */
static inline unsigned berth_available(void) {
    if (berth_memory.end - berth_memory.at < 256)
        berth_reserve(256);
    return (unsigned)(berth_memory.end - berth_memory.at);
}

/* The name of a code, such as "NOT_FOUND". */
static inline const char *berth_code_name(int code) {
    switch (code) {
    case BERTH_END: return "END";
    case BERTH_INVALID: return "INVALID";
    case BERTH_DENIED: return "DENIED";
    case BERTH_NOT_FOUND: return "NOT_FOUND";
    case BERTH_TOO_LARGE: return "TOO_LARGE";
    case BERTH_UNAVAILABLE: return "UNAVAILABLE";
    case BERTH_TIMEOUT: return "TIMEOUT";
    case BERTH_CONFLICT: return "CONFLICT";
    }
    return code < 0 ? "UNKNOWN" : "OK";
}

/* Why the latest call of the host failed, as the host explains it. */
static inline berth_text berth_error_text(void) {
    berth_text text = {"", 0};
    unsigned cap = berth_available();
    berth_take(berth_error(berth_memory.at, cap), cap, &text);
    return text;
}

/* ---- Reading JSON ----
 *
 * For JSON that the host yields: the envelope, the configuration, a response.
 * The functions check every bound, and answer BERTH_INVALID where the text is
 * not JSON as far as they have to read it. */

static inline const char *berth_skip_blanks(const char *at, const char *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

/* The end of the string that begins at the quote `at`, or 0. */
static inline const char *berth_skip_string(const char *at, const char *end) {
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\')
            at++;
    }
    return 0;
}

/* The end of the value that begins at `at`, or 0. */
static inline const char *berth_skip_value(const char *at, const char *end) {
    unsigned depth = 0;
    do {
        at = berth_skip_blanks(at, end);
        if (at == end)
            return 0;
        char c = *at;
        if (c == '"') {
            at = berth_skip_string(at, end);
            if (at == 0)
                return 0;
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return 0;
            depth--;
            at++;
        } else if (c == ',' || c == ':') {
            if (depth == 0)
                return 0;
            at++;
        } else {
            while (at < end && *at != ',' && *at != '}' && *at != ']' && *at != ':' && *at != '"' && *at != ' ' && *at != '\n' &&
                   *at != '\t' && *at != '\r')
                at++;
        }
    } while (depth > 0);
    return at;
}

/* The value of four hexadecimal digits, or -1. */
static inline int berth_hex4(const char *at, const char *end) {
    int value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Writes a code point in UTF-8 and yields where it ends. */
static inline char *berth_put_rune(char *to, unsigned rune) {
    if (rune < 0x80) {
        *to++ = (char)rune;
        return to;
    }
    if (rune < 0x800) {
        *to++ = (char)(0xc0 | rune >> 6);
    } else {
        if (rune < 0x10000) {
            *to++ = (char)(0xe0 | rune >> 12);
        } else {
            *to++ = (char)(0xf0 | rune >> 18);
            *to++ = (char)(0x80 | (rune >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (rune >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (rune & 0x3f));
    return to;
}

/* Reads the text of a JSON string. Half of a surrogate pair reads as U+FFFD. */
static inline int berth_json_text(berth_text json, berth_text *out) {
    if (json.len < 2 || json.at[0] != '"' || json.at[json.len - 1] != '"')
        return BERTH_INVALID;
    const char *at = json.at + 1, *end = json.at + json.len - 1;
    unsigned plain = 0;
    while (plain < json.len - 2 && at[plain] != '\\')
        plain++;
    if (plain == json.len - 2) {
        out->at = at;
        out->len = plain;
        return 0;
    }
    char *to = (char *)berth_alloc(json.len);
    out->at = to;
    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        if (++at == end)
            return BERTH_INVALID;
        char c = *at++;
        switch (c) {
        case 'b': *to++ = '\b'; break;
        case 'f': *to++ = '\f'; break;
        case 'n': *to++ = '\n'; break;
        case 'r': *to++ = '\r'; break;
        case 't': *to++ = '\t'; break;
        case '"':
        case '\\':
        case '/': *to++ = c; break;
        case 'u': {
            int unit = berth_hex4(at, end), low;
            if (unit < 0)
                return BERTH_INVALID;
            at += 4;
            unsigned rune = (unsigned)unit;
            if (unit >= 0xd800 && unit < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
                (low = berth_hex4(at + 2, end)) >= 0xdc00 && low < 0xe000) {
                rune = 0x10000u + ((unsigned)(unit - 0xd800) << 10) + (unsigned)(low - 0xdc00);
                at += 6;
            } else if (unit >= 0xd800 && unit < 0xe000) {
                rune = 0xfffd;
            }
            to = berth_put_rune(to, rune);
            break;
        }
        default: return BERTH_INVALID;
        }
    }
    out->len = (unsigned)(to - out->at);
    return 0;
}

/* Reads a whole number of 64 bits: digits, with a minus before them or not. */
static inline int berth_json_int(berth_text json, long long *out) {
    unsigned long long value = 0;
    unsigned i = json.len > 0 && json.at[0] == '-', negative = i;
    if (json.len == i || json.len - i > 19) /* 19 digits fit 64 bits */
        return BERTH_INVALID;
    for (; i < json.len; i++) {
        if (json.at[i] < '0' || json.at[i] > '9')
            return BERTH_INVALID;
        value = value * 10 + (unsigned long long)(json.at[i] - '0');
    }
    if (value > (1ull << 63) - !negative)
        return BERTH_INVALID;
    *out = (long long)(negative ? 0 - value : value);
    return 0;
}

/* Reads true or false: *out is 1 or 0. */
static inline int berth_json_bool(berth_text json, int *out) {
    *out = berth_same_bytes(json, berth_text_from("true"));
    return *out || berth_same_bytes(json, berth_text_from("false")) ? 0 : BERTH_INVALID;
}

/* Whether a reference token of a JSON Pointer is the name of a member. */
static inline int berth_token_is(berth_text token, berth_text name) {
    unsigned n = 0;
    for (unsigned i = 0; i < token.len; i++, n++) {
        char c = token.at[i];
        if (c == '~' && i + 1 < token.len)
            c = token.at[++i] == '1' ? '/' : '~';
        if (n == name.len || name.at[n] != c)
            return 0;
    }
    return n == name.len;
}

/* A walk over the members of an object or the items of an array:
 *
 *     berth_walk walk = berth_json_walk(order);
 *     while (berth_json_next(&walk, &name, &value) > 0)
 */
typedef struct {
    const char *at, *end;
    char open; /* '{', '[', or 0: neither */
} berth_walk;

static inline berth_walk berth_json_walk(berth_text json) {
    berth_walk walk = {json.at, json.at + json.len, 0};
    walk.at = berth_skip_blanks(walk.at, walk.end);
    if (walk.at < walk.end && (*walk.at == '{' || *walk.at == '['))
        walk.open = *walk.at++;
    return walk;
}

/* Yields the next value as JSON, and the name of a member. 1, or 0 at the end. */
static inline int berth_json_next(berth_walk *walk, berth_text *name, berth_text *value) {
    const char *at = berth_skip_blanks(walk->at, walk->end), *stop;
    if (walk->open == 0 || at == walk->end || *at == '}' || *at == ']')
        return 0;
    if (walk->open == '{') {
        stop = *at == '"' ? berth_skip_string(at, walk->end) : 0;
        if (stop == 0)
            return BERTH_INVALID;
        berth_text quoted = {at, (unsigned)(stop - at)};
        if (berth_json_text(quoted, name) < 0)
            return BERTH_INVALID;
        at = berth_skip_blanks(stop, walk->end);
        if (at == walk->end || *at != ':')
            return BERTH_INVALID;
        at = berth_skip_blanks(at + 1, walk->end);
    }
    stop = berth_skip_value(at, walk->end);
    if (stop == 0)
        return BERTH_INVALID;
    value->at = at;
    value->len = (unsigned)(stop - at);
    walk->at = berth_skip_blanks(stop, walk->end);
    if (walk->at < walk->end && *walk->at == ',')
        walk->at++;
    return 1;
}

/* Yields the member or item that a token of a JSON Pointer names. Of a name that
 * occurs twice the last counts. */
static inline int berth_json_child(berth_text json, berth_text token, berth_text *out) {
    berth_walk walk = berth_json_walk(json);
    berth_text name = {"", 0}, value;
    long long index = -1;
    int found = BERTH_NOT_FOUND, more;
    if (walk.open == '[' && (berth_json_int(token, &index) < 0 || token.at[0] == '-' || (token.at[0] == '0' && token.len > 1)))
        return BERTH_NOT_FOUND;
    while ((more = berth_json_next(&walk, &name, &value)) > 0)
        if (walk.open == '[' ? index-- == 0 : berth_token_is(token, name)) {
            *out = value;
            found = 0;
        }
    return more < 0 ? more : found;
}

/* Yields the value at a JSON Pointer as it is written in a JSON text. */
static inline int berth_json_at(berth_text json, berth_text pointer, berth_text *out) {
    unsigned i = 0;
    if (pointer.len > 0 && pointer.at[0] != '/')
        return BERTH_INVALID;
    while (i < pointer.len) {
        unsigned start = ++i;
        while (i < pointer.len && pointer.at[i] != '/')
            i++;
        berth_text token = {pointer.at + start, i - start};
        int code = berth_json_child(json, token, &json);
        if (code < 0)
            return code;
    }
    *out = json;
    return 0;
}
#define berth_json_get(json, pointer, out) berth_json_at((json), BERTH_AS_TEXT(pointer), (out))

/* ---- Values of the open event ----
 *
 * By JSON Pointer (RFC 6901) into the envelope: "/data/status". BERTH_NOT_FOUND
 * where there is nothing, BERTH_INVALID where the pointer is malformed or the
 * value is of another kind. */

/* The event of the open batch that these functions read, counted from 1; 0 outside of batches. */
__attribute__((weak)) unsigned berth_selected;

/* The pointer from the root of what the host has opened. */
static inline berth_text berth_rooted(berth_text pointer) {
    if (berth_selected == 0 || (pointer.len > 0 && pointer.at[0] != '/'))
        return pointer; /* the latter is malformed and stays so */
    return berth_join(berth_join("/events/", berth_digits(berth_selected - 1)), pointer);
}

static inline int berth_field_text(berth_text pointer, berth_text *out) {
    pointer = berth_rooted(pointer);
    unsigned cap = berth_available();
    return berth_take(berth_field(pointer.at, pointer.len, berth_memory.at, cap), cap, out);
}

static inline int berth_field_int(berth_text pointer, long long *out) {
    char digits[20];
    pointer = berth_rooted(pointer);
    int n = berth_field(pointer.at, pointer.len, digits, sizeof digits);
    if (n < 0)
        return n;
    berth_text text = {digits, n > (int)sizeof digits ? 0 : (unsigned)n};
    return berth_json_int(text, out);
}

static inline int berth_field_bool(berth_text pointer, int *out) {
    char word[5];
    pointer = berth_rooted(pointer);
    int n = berth_field(pointer.at, pointer.len, word, sizeof word);
    if (n < 0)
        return n;
    berth_text text = {word, n > (int)sizeof word ? 0 : (unsigned)n};
    return berth_json_bool(text, out);
}

/* field yields a string without its quotes, so the value is taken from its parent. */
static inline int berth_field_json(berth_text pointer, berth_text *out) {
    char unused;
    berth_text rooted = berth_rooted(pointer);
    int n = berth_field(rooted.at, rooted.len, &unused, 0);
    if (n < 0)
        return n;
    berth_text parent = {pointer.at, pointer.len}, json;
    while (parent.len > 0 && pointer.at[parent.len - 1] != '/')
        parent.len--;
    berth_text token = {pointer.at + parent.len, pointer.len - parent.len};
    parent.len -= parent.len > 0;
    n = berth_field_text(parent, &json);
    if (n < 0 || pointer.len == 0) {
        *out = json;
        return n;
    }
    return berth_json_child(json, token, out);
}

/* A string as its text, any other value as JSON. */
#define berth_get_text(pointer, out) berth_field_text(BERTH_AS_TEXT(pointer), (out))
/* A whole number of 64 bits, as a long long. */
#define berth_get_int(pointer, out) berth_field_int(BERTH_AS_TEXT(pointer), (out))
/* true or false, as an int of 1 or 0. */
#define berth_get_bool(pointer, out) berth_field_bool(BERTH_AS_TEXT(pointer), (out))
/* Any value as the JSON that it is in the envelope, a string with its quotes. */
#define berth_get_json(pointer, out) berth_field_json(BERTH_AS_TEXT(pointer), (out))

/* The envelope, typed. A member that is missing is empty. */
typedef struct {
    berth_text event_type;
    berth_text data; /* JSON */
    berth_text event_id, idempotency_key, source, subject, time, correlation_id, causation_id, traceparent;
    long long hops;
} berth_envelope;

static inline berth_text berth_optional(const char *pointer) {
    berth_text text = {"", 0};
    berth_field_text(berth_text_from(pointer), &text);
    return text;
}

/* Reads the open event's envelope. */
static inline void berth_get_envelope(berth_envelope *out) {
    out->event_type = berth_optional("/event_type");
    out->data = berth_text_from("null");
    berth_get_json("/data", &out->data);
    out->event_id = berth_optional("/metadata/event_id");
    out->idempotency_key = berth_optional("/metadata/idempotency_key");
    out->source = berth_optional("/metadata/source");
    out->subject = berth_optional("/metadata/subject");
    out->time = berth_optional("/metadata/time");
    out->correlation_id = berth_optional("/metadata/correlation_id");
    out->causation_id = berth_optional("/metadata/causation_id");
    out->traceparent = berth_optional("/metadata/traceparent");
    out->hops = 0;
    berth_get_int("/metadata/hops", &out->hops);
}

/* ---- Writing JSON ----
 *
 * A berth_json is an object or an array that grows as needed:
 *
 *     berth_json order = berth_object();
 *     berth_add_text(&order, "id", id);
 *     berth_add_int(&order, "cents", 1999);
 *     return berth_answer(&order);
 *
 * Without a key (BERTH_ITEM) a value is an item of an array. */

typedef struct {
    char *at;
    unsigned len, cap;
    char closing;
} berth_json;

/* Makes n more bytes available in the buffer. */
__attribute__((noinline)) static inline void berth_json_grow(berth_json *json, unsigned n) {
    unsigned cap = json->len + n, twice = 2 * json->cap;
    cap = ((cap > twice ? cap : twice) + 63) & ~63u;
    if (json->at != 0 && json->at + json->cap == berth_memory.at && (unsigned)(berth_memory.end - berth_memory.at) >= cap - json->cap) {
        berth_memory.at += cap - json->cap; /* it is the latest allocation: extend it */
    } else {
        char *at = (char *)berth_alloc(cap);
        if (json->len > 0)
            BERTH_COPY(at, json->at, json->len);
        json->at = at;
    }
    json->cap = cap;
}

static inline void berth_json_write(berth_json *json, const char *bytes, unsigned len) {
    if (json->cap - json->len < len)
        berth_json_grow(json, len);
    BERTH_COPY(json->at + json->len, bytes, len);
    json->len += len;
}

static inline void berth_json_put(berth_json *json, char c) {
    if (json->cap == json->len)
        berth_json_grow(json, 1);
    json->at[json->len++] = c;
}

/* The length of the character in UTF-8 at `at`, or 0 if it is malformed. */
static inline unsigned berth_utf8(const char *at, const char *end) {
    const unsigned char *b = (const unsigned char *)at;
    unsigned len = b[0] < 0x80 ? 1 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
    if ((b[0] >= 0x80 && b[0] < 0xc2) || b[0] > 0xf4 || (unsigned)(end - at) < len)
        return 0;
    for (unsigned i = 1; i < len; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) || (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
        return 0;
    return len;
}

/* Writes a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
static inline void berth_json_string(berth_json *json, berth_text text) {
    const char *at = text.at, *end = text.at + text.len, *clean = at;
    berth_json_put(json, '"');
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        unsigned n;
        if (c >= 0x20 && c != '"' && c != '\\' && c < 0x80) {
            at++;
            continue;
        }
        if (c >= 0x80 && (n = berth_utf8(at, end)) > 0) {
            at += n;
            continue;
        }
        berth_json_write(json, clean, (unsigned)(at - clean));
        clean = ++at;
        if (c == '"' || c == '\\') {
            berth_json_put(json, '\\');
            berth_json_put(json, (char)c);
        } else if (c >= 0x80) {
            berth_json_write(json, "\xef\xbf\xbd", 3);
        } else {
            berth_json_write(json, "\\u00", 4);
            berth_json_put(json, (char)('0' + (c >> 4)));
            berth_json_put(json, "0123456789abcdef"[c & 15]);
        }
    }
    berth_json_write(json, clean, (unsigned)(end - clean));
    berth_json_put(json, '"');
}

/* Writes the comma before a member or item, and the key if it has one. */
static inline void berth_json_key(berth_json *json, berth_text key) {
    if (json->len > 1)
        berth_json_put(json, ',');
    if (key.at == 0)
        return;
    berth_json_string(json, key);
    berth_json_put(json, ':');
}

static inline berth_json berth_object(void) {
    berth_json json = {0, 0, 0, '}'};
    berth_json_put(&json, '{');
    return json;
}

static inline berth_json berth_array(void) {
    berth_json json = {0, 0, 0, ']'};
    berth_json_put(&json, '[');
    return json;
}

static inline void berth_member_json(berth_json *json, berth_text key, berth_text value) {
    berth_json_key(json, key);
    berth_json_write(json, value.at, value.len);
}

static inline void berth_member_text(berth_json *json, berth_text key, berth_text value) {
    berth_json_key(json, key);
    berth_json_string(json, value);
}

static inline void berth_member_int(berth_json *json, berth_text key, long long value) {
    berth_member_json(json, key, berth_digits(value));
}

static inline void berth_member_bool(berth_json *json, berth_text key, int value) {
    berth_member_json(json, key, berth_text_from(value ? "true" : "false"));
}

/* No key: an item of an array. */
#ifdef __cplusplus
#define BERTH_ITEM (::berth_text{nullptr, 0})
#else
#define BERTH_ITEM ((berth_text){0, 0})
#endif
#define berth_add_text(json, key, value) berth_member_text((json), BERTH_AS_TEXT(key), BERTH_AS_TEXT(value))
#define berth_add_int(json, key, value) berth_member_int((json), BERTH_AS_TEXT(key), (value))
#define berth_add_bool(json, key, value) berth_member_bool((json), BERTH_AS_TEXT(key), (value))
/* Adds a value that is JSON already. It is not checked. */
#define berth_add_json(json, key, value) berth_member_json((json), BERTH_AS_TEXT(key), BERTH_AS_TEXT(value))

/* Closes the object or array and yields it. */
static inline berth_text berth_json_close(berth_json *json) {
    berth_json_put(json, json->closing);
    berth_text text = {json->at, json->len};
    return text;
}

/* ---- Results and the loop ---- */

typedef struct {
    int status; /* BERTH_OK, BERTH_RETRY, BERTH_REJECTED, or BERTH_FINISHED */
    berth_text text;
} berth_result;

/* The status of a handler that has called berth_finish itself. */
enum { BERTH_FINISHED = 3 };

static inline berth_result berth_result_of(int status, berth_text text) {
    berth_result result = {status, text};
    return result;
}

/* Success without a result. */
static inline berth_result berth_ok(void) { return berth_result_of(BERTH_OK, berth_text_from("")); }

/* Success with an object or array as the result, which is closed. */
static inline berth_result berth_answer(berth_json *json) { return berth_result_of(BERTH_OK, berth_json_close(json)); }

/* Success with JSON text as the result. If it is not JSON, the event is rejected. */
#define berth_answer_json(text) berth_result_of(BERTH_OK, BERTH_AS_TEXT(text))
/* The event is delivered again after a pause. */
#define berth_retry(reason) berth_result_of(BERTH_RETRY, BERTH_AS_TEXT(reason))
/* The event becomes a dead letter immediately. */
#define berth_reject(reason) berth_result_of(BERTH_REJECTED, BERTH_AS_TEXT(reason))

/* The handler has closed the event itself, by berth_finish: it sees there whether
 * the host refuses the result. */
static inline berth_result berth_finished(void) { return berth_result_of(BERTH_FINISHED, berth_text_from("")); }

/* Closes the open event with a result, or, if the host refuses that, with another status. */
static inline void berth_close_or(berth_result result, int refused) {
    if (result.status == BERTH_FINISHED)
        return;
    if (berth_finish(result.status, result.text.at, result.text.len) >= 0)
        return;
    berth_text reason = berth_join("the host refused the result: ", berth_error_text());
    if (berth_finish(refused, reason.at, reason.len) < 0)
        berth_panic_at(berth_text_from("the host refused a reason"), "berth.h", __LINE__, __func__);
}

/* Closes the open event. Another attempt would make the same result, so an event
 * whose result the host refuses is rejected. */
static inline void berth_close(berth_result result) { berth_close_or(result, BERTH_REJECTED); }

/* Whether what the host has opened is one event, and not a batch. */
static inline int berth_is_event(void) {
    char unused;
    return BERTH_FIELD("/event_type", &unused, 0) >= 0;
}

/* Waits for the next event. 0: there is none, return from the entry point. */
static inline int berth_await(void) {
    char unused;
    berth_free_all();
    int n = berth_next(&unused, 0); /* the host keeps the envelope for whoever asks for it */
    if (n < 0 && n != BERTH_END)
        berth_panic_at(berth_error_text(), "berth.h", __LINE__, __func__);
    return n >= 0;
}

/* Calls handle for each event, and returns 0 when the host ends the instance. */
static inline int berth_run(berth_result (*handle)(void)) {
    for (int first = 1; berth_await(); first = 0) {
        if (first && !berth_is_event())
            berth_panic_at(berth_text_from("the manifest asks for batches: use berth_run_batch"), "berth.h", __LINE__, __func__);
        berth_close(handle());
    }
    return 0;
}

/* ---- Batches ----
 *
 * For a manifest with a batch, such as {"max_events": 100, "max_wait": "50ms"}:
 *
 *     static berth_result handle(berth_batch *batch) {
 *         for (unsigned i = 0; i < batch->count; i++) {
 *             long long cents;
 *             berth_select(batch, i);
 *             if (berth_get_int("/data/total_cents", &cents) < 0)
 *                 berth_end(batch, i, berth_reject("this is not an order"));
 *         }
 *         return berth_ok();
 *     }
 *
 *     int main(void) { return berth_run_batch(handle); }
 */

/* One or more events in the order of the log, no two with the same order key. */
typedef struct {
    unsigned count;
    berth_result *results; /* of each event; at first berth_ok() */
    int single;            /* the host has opened an event and not a batch */
} berth_batch;

/* Has the functions that read values of the event, and berth_publish, be about the
 * event with this index. It is the first one at the beginning. */
static inline void berth_select(const berth_batch *batch, unsigned index) {
    berth_check(index < batch->count, "berth_select: no event has this index");
    berth_selected = batch->single ? 0 : index + 1;
}

/* Says how the event with this index ends, if the handler returns berth_ok(). With "state":
 * "atomic" the host refuses a batch in which some events fail: return the failure of all. */
static inline void berth_end(berth_batch *batch, unsigned index, berth_result result) {
    berth_check(index < batch->count, "berth_end: no event has this index");
    batch->results[index] = result;
}

/* Makes the batch of what the host has opened. */
static inline berth_batch berth_open_batch(void) {
    berth_batch batch = {1, 0, berth_is_event()};
    berth_selected = 0;
    if (!batch.single) {
        berth_text events, name, value;
        if (berth_get_text("/events", &events) < 0)
            berth_panic_at(berth_error_text(), "berth.h", __LINE__, __func__);
        berth_walk walk = berth_json_walk(events);
        for (batch.count = 0; berth_json_next(&walk, &name, &value) > 0;)
            batch.count++;
        berth_free_all();
    }
    batch.results = (berth_result *)berth_alloc(batch.count * (unsigned)sizeof *batch.results);
    for (unsigned i = 0; i < batch.count; i++)
        batch.results[i] = berth_ok();
    berth_select(&batch, 0);
    return batch;
}

/* Closes the batch with the results of its events, or with a failure of all. */
static inline void berth_close_batch(const berth_batch *batch, berth_result all) {
    berth_selected = 0;
    if (all.status != BERTH_OK || batch->single) {
        berth_close(all.status != BERTH_OK ? all : batch->results[0]);
        return;
    }
    berth_json answer = berth_object(), results = berth_array(), failures = berth_array();
    int failed = 0;
    for (unsigned i = 0; i < batch->count; i++) {
        berth_result result = batch->results[i];
        berth_text json = berth_text_from("null");
        if (result.status == BERTH_RETRY || result.status == BERTH_REJECTED) {
            berth_json failure = berth_object();
            berth_add_int(&failure, "index", i);
            berth_add_text(&failure, "status", result.status == BERTH_RETRY ? "retry" : "reject");
            berth_add_text(&failure, "reason", result.text);
            berth_add_json(&failures, BERTH_ITEM, berth_json_close(&failure));
            failed = 1;
        } else if (result.text.len > 0) {
            json = result.text;
        }
        berth_add_json(&results, BERTH_ITEM, json);
    }
    berth_add_json(&answer, "results", berth_json_close(&results));
    if (failed)
        berth_add_json(&answer, "failures", berth_json_close(&failures));
    /* When the events come alone again, only the one with the refused result is rejected. */
    berth_close_or(berth_answer(&answer), batch->count > 1 ? BERTH_RETRY : BERTH_REJECTED);
}

/* Calls handle for each batch, and returns 0 when the host ends the instance. If the
 * operator has disabled batches, each event comes in a batch of its own. */
static inline int berth_run_batch(berth_result (*handle)(berth_batch *batch)) {
    while (berth_await()) {
        berth_batch batch = berth_open_batch();
        berth_result all = handle(&batch);
        berth_close_batch(&batch, all);
    }
    return 0;
}

/* ---- The functions of the host ---- */

/* The handler's configuration as JSON; {} when there is none. */
static inline berth_text berth_get_config(void) {
    berth_text text = {"{}", 2};
    unsigned cap = berth_available();
    berth_take(berth_config(berth_memory.at, cap), cap, &text);
    return text;
}

static inline int berth_secret_text(berth_text name, berth_text *out) {
    unsigned cap = berth_available();
    return berth_take(berth_secret(name.at, name.len, berth_memory.at, cap), cap, out);
}

static inline int berth_kv_read_text(berth_text key, berth_text *out) {
    unsigned cap = berth_available();
    return berth_take(berth_kv_get(key.at, key.len, berth_memory.at, cap), cap, out);
}

static inline int berth_kv_swap_text(berth_text key, const berth_text *old, berth_text value) {
    return berth_kv_cas(key.at, key.len, old != 0 ? old->at : 0, old != 0 ? (int)old->len : -1, value.at, value.len);
}

static inline int berth_kv_write_text(berth_text key, berth_text value) {
    return berth_kv_set(key.at, key.len, value.at, value.len);
}

static inline int berth_kv_remove_text(berth_text key) { return berth_kv_delete(key.at, key.len); }

static inline void berth_log_text(int level, berth_text text) { berth_log(level, text.at, text.len); }

/* Yields a secret by name. Capability secret. */
#define berth_get_secret(name, out) berth_secret_text(BERTH_AS_TEXT(name), (out))
/* Yields the value of a key of the plugin's durable state. Capability kv. */
#define berth_kv_read(key, out) berth_kv_read_text(BERTH_AS_TEXT(key), (out))
/* Writes a value; the last write wins. */
#define berth_kv_write(key, value) berth_kv_write_text(BERTH_AS_TEXT(key), BERTH_AS_TEXT(value))
/* Writes a value if the present one equals *old, or, if old is 0, if there is
 * none. BERTH_CONFLICT otherwise. */
#define berth_kv_swap(key, old, value) berth_kv_swap_text(BERTH_AS_TEXT(key), (old), BERTH_AS_TEXT(value))
/* Removes a key. One that is not there is no error. */
#define berth_kv_remove(key) berth_kv_remove_text(BERTH_AS_TEXT(key))
/* Writes a line to the host's log: BERTH_DEBUG, _INFO, _WARN or _ERROR. */
#define berth_write_log(level, text) berth_log_text((level), BERTH_AS_TEXT(text))

/* Has a key disappear after so many seconds, 0 to 2^31-1. 0 removes the limit, and so does
 * berth_kv_write; berth_kv_swap keeps it. BERTH_NOT_FOUND. */
#define berth_kv_limit(key, seconds) berth_kv_limit_text(BERTH_AS_TEXT(key), (seconds))
static inline int berth_kv_limit_text(berth_text key, int seconds) { return berth_kv_expire(key.at, key.len, seconds); }

/* A walk over keys of the plugin's state. */
typedef struct {
    berth_text prefix, after, page;
} berth_keys;

/* Begins a walk over the keys that begin with a prefix, "" for all. */
#define berth_kv_keys(prefix) berth_kv_keys_text(BERTH_AS_TEXT(prefix))
static inline berth_keys berth_kv_keys_text(berth_text prefix) {
    berth_keys keys = {prefix, {"", 0}, {"", 0}};
    return keys;
}

/* Yields the next key, in bytewise order: 1, 0 when there are no more, or a negative code.
 * Keys written meanwhile may or may not appear. */
static inline int berth_kv_next(berth_keys *keys, berth_text *key) {
    if (keys->page.len == 0) {
        unsigned cap = berth_available();
        int code = berth_take(berth_kv_list(keys->prefix.at, keys->prefix.len, keys->after.at, keys->after.len, berth_memory.at, cap),
                              cap, &keys->page);
        if (code < 0 || keys->page.len == 0)
            return code;
    }
    const unsigned char *size = (const unsigned char *)keys->page.at;
    key->at = keys->page.at + 4;
    key->len = size[0] | (unsigned)size[1] << 8 | (unsigned)size[2] << 16 | (unsigned)size[3] << 24;
    keys->page.at += 4 + key->len;
    keys->page.len -= 4 + key->len;
    keys->after = *key;
    return 1;
}

/* Yields the W3C traceparent of the attempt. BERTH_NOT_FOUND if the host does not trace it. */
static inline int berth_get_trace(berth_text *out) {
    unsigned cap = berth_available();
    return berth_take(berth_trace(berth_memory.at, cap), cap, out);
}

/* An event that follows from the open one. */
typedef struct {
    berth_text event_type;
    berth_text data;            /* JSON */
    berth_text subject;         /* empty: none */
    berth_text idempotency_key; /* empty: the host derives one from the parent's */
    berth_text deliver_at;      /* when it is due, in RFC 3339; empty: at once */
    long long deliver_after;    /* milliseconds from the commit of the parent; 0: at once */
} berth_child;

/* Adds a child to the open event, in a batch to the selected one. The children are published when it succeeds.
 * Capability emit. */
static inline int berth_publish(const berth_child *child) {
    berth_json json = berth_object();
    berth_add_text(&json, "event_type", child->event_type);
    berth_add_json(&json, "data", child->data);
    if (child->subject.len > 0 || child->idempotency_key.len > 0 || child->deliver_at.len > 0 || child->deliver_after != 0) {
        berth_json metadata = berth_object();
        if (child->subject.len > 0)
            berth_add_text(&metadata, "subject", child->subject);
        if (child->idempotency_key.len > 0)
            berth_add_text(&metadata, "idempotency_key", child->idempotency_key);
        if (child->deliver_at.len > 0)
            berth_add_text(&metadata, "deliver_at", child->deliver_at);
        if (child->deliver_after != 0)
            berth_add_text(&metadata, "deliver_after", berth_join(berth_digits(child->deliver_after), "ms"));
        berth_add_json(&json, "metadata", berth_json_close(&metadata));
    }
    if (berth_selected > 0)
        berth_add_int(&json, "parent_index", berth_selected - 1);
    berth_text text = berth_json_close(&json);
    return berth_emit(text.at, text.len);
}

/* An HTTP request. headers is an array of header_count pairs of name and value. */
typedef struct {
    berth_text name, value;
} berth_header;

typedef struct {
    berth_text method, url;
    const berth_header *headers;
    unsigned header_count;
    berth_text body; /* any bytes */
} berth_request;

typedef struct {
    int status;
    berth_text body;
    berth_text headers; /* JSON: an object of names in lower case */
} berth_response;

/* Writes bytes in base64, as a JSON string. */
static inline void berth_json_base64(berth_json *json, berth_text bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = (const unsigned char *)bytes.at;
    berth_json_put(json, '"');
    for (unsigned i = 0; i < bytes.len; i += 3) {
        unsigned left = bytes.len - i;
        unsigned bits = (unsigned)b[i] << 16 | (left > 1 ? (unsigned)b[i + 1] << 8 : 0) | (left > 2 ? b[i + 2] : 0);
        berth_json_put(json, digits[bits >> 18]);
        berth_json_put(json, digits[bits >> 12 & 63]);
        berth_json_put(json, left > 1 ? digits[bits >> 6 & 63] : '=');
        berth_json_put(json, left > 2 ? digits[bits & 63] : '=');
    }
    berth_json_put(json, '"');
}

/* The bytes that a text in base64 stands for. */
static inline int berth_from_base64(berth_text text, berth_text *out) {
    char *to = (char *)berth_alloc(text.len / 4 * 3 + 3);
    unsigned bits = 0, count = 0;
    out->at = to;
    for (unsigned i = 0; i < text.len && text.at[i] != '='; i++) {
        char c = text.at[i];
        int digit = c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52
                  : c == '+' ? 62 : c == '/' ? 63 : -1;
        if (digit < 0)
            return BERTH_INVALID;
        bits = bits << 6 | (unsigned)digit;
        if (++count % 4 != 1)
            *to++ = (char)(bits >> (6 - 2 * ((count - 1) % 4)));
    }
    out->len = (unsigned)(to - out->at);
    return 0;
}

/* Sends a request. A response of any status is a success. Capability http. */
static inline int berth_send(const berth_request *request, berth_response *response) {
    berth_json json = berth_object();
    berth_add_text(&json, "method", request->method);
    berth_add_text(&json, "url", request->url);
    if (request->header_count > 0) {
        berth_json headers = berth_object();
        for (unsigned i = 0; i < request->header_count; i++)
            berth_add_text(&headers, request->headers[i].name, request->headers[i].value);
        berth_add_json(&json, "headers", berth_json_close(&headers));
    }
    if (request->body.len > 0) {
        const char *at = request->body.at, *end = at + request->body.len;
        for (unsigned n = 1; at < end && n > 0; at += n)
            n = berth_utf8(at, end);
        if (at == end) {
            berth_add_text(&json, "body", request->body);
        } else {
            berth_json_key(&json, berth_text_from("body_base64"));
            berth_json_base64(&json, request->body);
        }
    }
    berth_text text = berth_json_close(&json), value;
    unsigned cap = berth_available();
    int code = berth_take(berth_http(text.at, text.len, berth_memory.at, cap), cap, &text);
    if (code < 0)
        return code;
    long long status = 0;
    if (berth_json_get(text, "/status", &value) == 0)
        berth_json_int(value, &status);
    response->status = (int)status;
    response->headers = berth_text_from("{}");
    berth_json_get(text, "/headers", &response->headers);
    response->body = berth_text_from("");
    if (berth_json_get(text, "/body", &value) == 0)
        return berth_json_text(value, &response->body);
    if (berth_json_get(text, "/body_base64", &value) == 0 && (code = berth_json_text(value, &value)) == 0)
        return berth_from_base64(value, &response->body);
    return code;
}

/* A header of a response; its name is in lower case. BERTH_NOT_FOUND. */
static inline int berth_header_text(const berth_response *response, berth_text name, berth_text *out) {
    berth_text json;
    int code = berth_json_child(response->headers, name, &json);
    return code < 0 ? code : berth_json_text(json, out);
}
#define berth_get_header(response, name, out) berth_header_text((response), BERTH_AS_TEXT(name), (out))

#ifdef __cplusplus
}

#if __has_include(<string_view>)
#include <optional>
#include <string_view>

static inline berth_text berth_as_text(std::string_view text) { return berth_text{text.data(), static_cast<unsigned>(text.size())}; }

/* ---------------------------------------------------------------------------
 * C++17, without exceptions:
 *
 *     #include "berth.h"
 *
 *     static berth::result handle(berth::event &event) {
 *         auto status = event.text("/data/status");
 *         if (!status)
 *             return berth::reject("no status");
 *         return berth::object().add("seen", *status);
 *     }
 *
 *     int main() { return berth::run(handle); }
 *
 * Every std::string_view that a function yields lives until the handler returns.
 * ------------------------------------------------------------------------- */
namespace berth {

using text = std::string_view;

inline text view(berth_text t) { return text(t.at, t.len); }

/* The result of a call that fails. */
enum class code : int {
    ok = 0,
    end = BERTH_END,
    invalid = BERTH_INVALID,
    denied = BERTH_DENIED,
    not_found = BERTH_NOT_FOUND,
    too_large = BERTH_TOO_LARGE,
    unavailable = BERTH_UNAVAILABLE,
    timeout = BERTH_TIMEOUT,
    conflict = BERTH_CONFLICT,
};

/* The code's name in the ABI, such as "NOT_FOUND". */
inline text name(code c) { return berth_code_name(static_cast<int>(c)); }

/* Why the latest call of the host failed, as the host explains it. */
inline text last_error() { return view(berth_error_text()); }

/* Panics because a call failed and its value is used all the same. */
[[noreturn]] inline void no_value(code c) {
    berth_json why = {nullptr, 0, 0, 0};
    text parts[] = {"no value: ", name(c), ", ", last_error()};
    for (text part : parts)
        berth_json_write(&why, part.data(), static_cast<unsigned>(part.size()));
    berth_panic((berth_text{why.at, why.len}));
}

/* A value, or the code of the call that should have yielded it. */
template <typename T> class expected {
  public:
    expected(T value) : value_(value), code_(code::ok) {}
    expected(code c) : value_(), code_(c) {}
    explicit operator bool() const { return code_ == code::ok; }
    bool has_value() const { return code_ == code::ok; }
    /* Panics if there is no value. */
    const T &value() const {
        if (code_ != code::ok)
            no_value(code_);
        return value_;
    }
    const T &operator*() const { return value(); }
    const T *operator->() const { return &value(); }
    T value_or(T other) const { return code_ == code::ok ? value_ : other; }
    code error() const { return code_; }

  private:
    T value_;
    code code_;
};

/* A copy of a text that lives until the handler returns. */
inline text keep(text t) { return text(berth_c_string(berth_as_text(t)), t.size()); }

/* A member of an object, or an item of an array: then without a name. */
struct member {
    berth::text name;
    berth::text json;
    /* The text of a string. */
    expected<berth::text> text() const {
        berth_text out;
        int c = berth_json_text(berth_as_text(json), &out);
        return c < 0 ? expected<berth::text>(static_cast<code>(c)) : expected<berth::text>(view(out));
    }
    expected<long long> integer() const {
        long long out = 0;
        int c = berth_json_int(berth_as_text(json), &out);
        return c < 0 ? expected<long long>(static_cast<code>(c)) : expected<long long>(out);
    }
};

/* The value at a JSON Pointer in a JSON text, as it is written there. */
inline expected<text> json_at(text json, text pointer) {
    berth_text out;
    int c = berth_json_get(berth_as_text(json), pointer, &out);
    return c < 0 ? expected<text>(static_cast<code>(c)) : expected<text>(view(out));
}

/* The members of an object or the items of an array, for a range-based for. */
class members {
  public:
    class iterator {
      public:
        iterator() : walk_(), now_(), more_(false) {}
        explicit iterator(berth_text json) : walk_(berth_json_walk(json)), now_(), more_(true) { ++*this; }
        const member &operator*() const { return now_; }
        iterator &operator++() {
            berth_text name = {"", 0}, value = {"", 0};
            more_ = berth_json_next(&walk_, &name, &value) > 0;
            now_ = {view(name), view(value)};
            return *this;
        }
        bool operator!=(const iterator &other) const { return more_ != other.more_; }

      private:
        berth_walk walk_;
        member now_;
        bool more_;
    };
    explicit members(text json) : json_(json) {}
    iterator begin() const { return iterator(berth_as_text(json_)); }
    iterator end() const { return iterator(); }

  private:
    text json_;
};

/* A JSON object under construction. */
class object {
  public:
    object() : json_(berth_object()) {}
    object &add(text key, text value) { return berth_add_text(&json_, key, value), *this; }
    object &add(text key, const char *value) { return add(key, text(value)); }
    object &add(text key, bool value) { return berth_add_bool(&json_, key, value), *this; }
    object &add(text key, int value) { return add(key, static_cast<long long>(value)); }
    object &add(text key, long value) { return add(key, static_cast<long long>(value)); }
    object &add(text key, unsigned value) { return add(key, static_cast<long long>(value)); }
    object &add(text key, long long value) { return berth_add_int(&json_, key, value), *this; }
    object &add(text key, const object &value) { return add_json(key, value.json()); }
    template <typename T> object &add(text, T *) = delete; /* a pointer is no bool */
    /* Adds a value that is JSON already. It is not checked. */
    object &add_json(text key, text value) { return berth_add_json(&json_, key, value), *this; }
    /* The object as JSON text. */
    text json() const {
        berth_json whole = json_;
        return view(berth_json_close(&whole));
    }

  private:
    berth_json json_;
};

/* How an event ends. */
class result {
  public:
    result(const object &answer) : result_(berth_answer_json(answer.json())) {}
    explicit result(berth_result result) : result_(result) {}
    const berth_result &raw() const { return result_; }

  private:
    berth_result result_;
};

/* Success without a result. */
inline result ok() { return result(berth_ok()); }
/* Success with JSON text as the result. If it is not JSON, the event is rejected. */
inline result json(text answer) { return result(berth_answer_json(answer)); }
/* The event is delivered again after a pause. */
inline result retry(text reason) { return result(berth_retry(reason)); }
/* The event becomes a dead letter immediately. */
inline result reject(text reason) { return result(berth_reject(reason)); }

/* Closes the open event with JSON text at once, so that the handler sees the code
 * if the host refuses it. After code::ok it returns berth::finished(). */
inline code finish(text answer) {
    return static_cast<code>(berth_finish(BERTH_OK, answer.data(), static_cast<unsigned>(answer.size())));
}
inline result finished() { return result(berth_finished()); }

/* The envelope, typed. A member that is missing is empty. */
struct envelope {
    text event_type, data /* JSON */, event_id, idempotency_key, source, subject, time, correlation_id, causation_id, traceparent;
    long long hops;
};

class batch;
struct child;

/* The open event, or one of a batch. */
class event {
  public:
    /* The value at a JSON Pointer: a string as its text, any other value as JSON. */
    expected<berth::text> text(berth::text pointer) const {
        berth_text out;
        select();
        return yielded(berth_get_text(pointer, &out), out);
    }
    /* Any value as the JSON that it is in the envelope, a string with its quotes. */
    expected<berth::text> json(berth::text pointer) const {
        berth_text out;
        select();
        return yielded(berth_get_json(pointer, &out), out);
    }
    expected<long long> integer(berth::text pointer) const {
        long long out = 0;
        select();
        int c = berth_get_int(pointer, &out);
        return c < 0 ? expected<long long>(static_cast<code>(c)) : expected<long long>(out);
    }
    expected<bool> boolean(berth::text pointer) const {
        select();
        int out = 0, c = berth_get_bool(pointer, &out);
        return c < 0 ? expected<bool>(static_cast<code>(c)) : expected<bool>(out != 0);
    }
    /* The whole envelope as JSON. */
    berth::text raw() const { return text("").value(); }
    berth::text type() const { return text("/event_type").value_or({}); }
    berth::text id() const { return text("/metadata/event_id").value_or({}); }
    berth::text idempotency_key() const { return text("/metadata/idempotency_key").value_or({}); }
    berth::text subject() const { return text("/metadata/subject").value_or({}); }
    berth::envelope envelope() const {
        berth_envelope e;
        select();
        berth_get_envelope(&e);
        return {view(e.event_type), view(e.data), view(e.event_id), view(e.idempotency_key), view(e.source), view(e.subject),
                view(e.time), view(e.correlation_id), view(e.causation_id), view(e.traceparent), e.hops};
    }
    /* 1 on the first delivery of the event. */
    int attempt() const { return berth_attempt(); }
    /* Milliseconds until the event's deadline. */
    int remaining() const { return berth_remaining(); }
    /* Adds a child to this event. The children are published when it succeeds. Capability emit. */
    code emit(const child &c) const;

    static expected<berth::text> yielded(int c, const berth_text &out) {
        return c < 0 ? expected<berth::text>(static_cast<code>(c)) : expected<berth::text>(view(out));
    }

  private:
    friend class batch;
    unsigned selected_ = 0; /* as berth_selected */
    void select() const { berth_selected = selected_; }
};

/* Calls handle(event &) for each event, and returns 0 when the host ends the instance. */
template <typename Handler> int run(Handler &&handle) {
    event open;
    for (bool first = true; berth_await(); first = false) {
        berth_check(!first || berth_is_event(), "the manifest asks for batches: use berth::run_batch");
        result ended = handle(open);
        berth_close(ended.raw());
    }
    return 0;
}

/* One or more events in the order of the log, no two with the same order key. */
class batch {
  public:
    explicit batch(berth_batch &raw) : raw_(raw) {}
    unsigned size() const { return raw_.count; }
    /* The event with an index; one that does not exist panics. */
    event operator[](unsigned index) const {
        event one;
        berth_select(&raw_, index);
        one.selected_ = berth_selected;
        return one;
    }
    /* Says how an event ends, if the handler returns ok(); at first it is ok(). With "state":
     * "atomic" the host refuses a batch in which some events fail: return the failure of all. */
    void end(unsigned index, const result &ended) { berth_end(&raw_, index, ended.raw()); }

  private:
    berth_batch &raw_;
};

/* Calls handle(batch &) for each batch, for a manifest with a batch, and returns 0 when the host
 * ends the instance. If the operator has disabled batches, each event comes in one of its own. */
template <typename Handler> int run_batch(Handler &&handle) {
    while (berth_await()) {
        berth_batch raw = berth_open_batch();
        batch open(raw);
        result all = handle(open);
        berth_close_batch(&raw, all.raw());
    }
    return 0;
}

/* The handler's configuration as JSON; {} when there is none. */
inline text config() { return view(berth_get_config()); }

/* A secret by name. Capability secret. */
inline expected<text> secret(text name) {
    berth_text out;
    return event::yielded(berth_get_secret(name, &out), out);
}

inline void debug(text line) { berth_write_log(BERTH_DEBUG, line); }
inline void info(text line) { berth_write_log(BERTH_INFO, line); }
inline void warn(text line) { berth_write_log(BERTH_WARN, line); }
inline void error(text line) { berth_write_log(BERTH_ERROR, line); }

/* An event that follows from the open one. */
struct child {
    text event_type;
    text data;            /* JSON */
    text subject;         /* empty: none */
    text idempotency_key; /* empty: the host derives one from the parent's */
    text deliver_at = {};        /* when it is due, in RFC 3339; empty: at once */
    long long deliver_after = 0; /* milliseconds from the commit of the parent; 0: at once */
};

/* Adds a child to the open event. The children are published when it succeeds. Capability emit. */
inline code emit(const child &c) {
    berth_child raw = {berth_as_text(c.event_type), berth_as_text(c.data), berth_as_text(c.subject), berth_as_text(c.idempotency_key),
                       berth_as_text(c.deliver_at), c.deliver_after};
    return static_cast<code>(berth_publish(&raw));
}

inline code event::emit(const child &c) const {
    select();
    return berth::emit(c);
}

/* The W3C traceparent of the attempt; code::not_found if the host does not trace it. */
inline expected<text> trace() {
    berth_text out;
    return event::yielded(berth_get_trace(&out), out);
}

/* The plugin's durable state. Capability kv. */
namespace kv {
inline expected<text> get(text key) {
    berth_text out;
    return event::yielded(berth_kv_read(key, &out), out);
}
/* Writes a value; the last write wins. */
inline code set(text key, text value) { return static_cast<code>(berth_kv_write(key, value)); }
/* Writes a value if the present one equals old, or, without old, if there is none. code::conflict otherwise. */
inline code cas(text key, std::optional<text> old, text value) {
    berth_text before = berth_as_text(old.value_or(text()));
    return static_cast<code>(berth_kv_swap(key, old ? &before : nullptr, value));
}
/* Removes a key. One that is not there is no error. */
inline code remove(text key) { return static_cast<code>(berth_kv_remove(key)); }
/* Has a key disappear after so many seconds; 0 removes the limit, and so does set. */
inline code expire(text key, int seconds) { return static_cast<code>(berth_kv_limit(key, seconds)); }

/* The keys that begin with a prefix, in bytewise order, for a range-based for. Each is an
 * expected<text>: the walk ends after an error. */
class keys {
  public:
    class iterator {
      public:
        iterator() : walk_(), now_(code::end), more_(false) {}
        explicit iterator(berth_text prefix) : walk_(berth_kv_keys(prefix)), now_(code::end), more_(true) { ++*this; }
        const expected<text> &operator*() const { return now_; }
        iterator &operator++() {
            berth_text key = {"", 0};
            bool failed = now_.error() != code::ok && now_.error() != code::end;
            int n = failed ? 0 : berth_kv_next(&walk_, &key);
            more_ = n != 0;
            now_ = n < 0 ? expected<text>(static_cast<code>(n)) : expected<text>(view(key));
            return *this;
        }
        bool operator!=(const iterator &other) const { return more_ != other.more_; }

      private:
        berth_keys walk_;
        expected<text> now_;
        bool more_;
    };
    explicit keys(text prefix) : prefix_(prefix) {}
    iterator begin() const { return iterator(berth_as_text(prefix_)); }
    iterator end() const { return iterator(); }

  private:
    text prefix_;
};
} // namespace kv

/* The response to a request, of any status. */
class response {
  public:
    response() : raw_() {}
    explicit response(const berth_response &raw) : raw_(raw) {}
    int status() const { return raw_.status; }
    text body() const { return view(raw_.body); }
    /* A header; its name is in lower case. */
    expected<text> header(text name) const {
        berth_text out;
        return event::yielded(berth_get_header(&raw_, name, &out), out);
    }

  private:
    berth_response raw_;
};

/* An HTTP request. */
class request {
  public:
    request(text method, text url) : raw_() {
        raw_.method = berth_as_text(method);
        raw_.url = berth_as_text(url);
    }
    /* Adds a header; more than 32 panic. */
    request &header(text name, text value) {
        berth_check(raw_.header_count < sizeof headers_ / sizeof *headers_, "a request with more than 32 headers");
        headers_[raw_.header_count++] = {berth_as_text(name), berth_as_text(value)};
        return *this;
    }
    request &body(text bytes) { return raw_.body = berth_as_text(bytes), *this; }
    /* Sends the request. A response of any status is a success. Capability http. */
    expected<response> send() const {
        berth_request whole = raw_;
        whole.headers = headers_;
        berth_response out;
        int c = berth_send(&whole, &out);
        return c < 0 ? expected<response>(static_cast<code>(c)) : expected<response>(response(out));
    }

  private:
    berth_request raw_;
    berth_header headers_[32];
};

} // namespace berth
#endif
#endif
#endif
