// What several test guests share: answers made of a code, a number or a text.
#ifndef ANSWER_H
#define ANSWER_H

#include "berth.h"

static char answer_buffer[16384], error_buffer[1024];

#define ANSWER_WRITER {answer_buffer, answer_buffer + sizeof answer_buffer, 0}

static inline int answer(berth_writer *w) {
    return berth_finish(BERTH_OK, answer_buffer, (unsigned)(w->at - answer_buffer));
}

// Finishes as ok with {"code": code, "error": <the host's text>}.
static inline int answer_code(int code) {
    int n = berth_error(error_buffer, sizeof error_buffer);
    if (n < 0 || n > (int)sizeof error_buffer)
        n = 0;
    berth_writer w = ANSWER_WRITER;
    BERTH_WRITE(&w, "{\"code\":");
    berth_write_int(&w, code);
    BERTH_WRITE(&w, ",\"error\":");
    berth_write_string(&w, error_buffer, (unsigned)n);
    berth_put(&w, '}');
    return answer(&w);
}

// Finishes as ok with {"<key>": n}. The key is a literal.
#define ANSWER_INT(key, n) answer_int("{\"" key "\":", sizeof("{\"" key "\":") - 1, (n))
static inline int answer_int(const char *begin, unsigned len, int n) {
    berth_writer w = ANSWER_WRITER;
    berth_write(&w, begin, len);
    berth_write_int(&w, n);
    berth_put(&w, '}');
    return answer(&w);
}

// Finishes as ok with {"<key>": "<text>"}. The key is a literal.
#define ANSWER_TEXT(key, text, n) answer_text("{\"" key "\":", sizeof("{\"" key "\":") - 1, (text), (n))
static inline int answer_text(const char *begin, unsigned len, const char *text, unsigned n) {
    berth_writer w = ANSWER_WRITER;
    berth_write(&w, begin, len);
    berth_write_string(&w, text, n);
    berth_put(&w, '}');
    return answer(&w);
}

// The whole number at a pointer literal, or the other one if there is none.
#define FIELD_INT(pointer, otherwise) field_int((pointer), sizeof(pointer) - 1, (otherwise))
static inline int field_int(const char *pointer, unsigned len, int otherwise) {
    char digits[12];
    int n = berth_field(pointer, len, digits, sizeof digits), value = 0;
    if (n <= 0 || n > (int)sizeof digits)
        return otherwise;
    for (int i = 0; i < n; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return otherwise;
        value = value * 10 + (digits[i] - '0');
    }
    return value;
}

#endif
