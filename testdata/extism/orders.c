// An Extism plugin in freestanding C: it declares the kernel's imports as Extism's C PDK
// does, and knows nothing of Berth. What it does is described in README.md.
#include <stdint.h>

typedef uint64_t block;

#define ENV(name) __attribute__((import_module("extism:host/env"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

ENV("alloc") extern block kernel_alloc(uint64_t);
ENV("free") extern void kernel_free(block);
ENV("length_unsafe") extern uint64_t kernel_length(block);
ENV("load_u8") extern uint8_t kernel_load_u8(block);
ENV("load_u64") extern uint64_t kernel_load_u64(block);
ENV("store_u8") extern void kernel_store_u8(block, uint8_t);
ENV("store_u64") extern void kernel_store_u64(block, uint64_t);
ENV("input_offset") extern block kernel_input_offset(void);
ENV("input_length") extern uint64_t kernel_input_length(void);
ENV("output_set") extern void kernel_output_set(block, uint64_t);
ENV("error_set") extern void kernel_error_set(block);
ENV("config_get") extern block kernel_config_get(block);
ENV("var_get") extern block kernel_var_get(block);
ENV("var_set") extern void kernel_var_set(block, block);
ENV("http_request") extern block kernel_http_request(block, block);
ENV("http_status_code") extern int32_t kernel_http_status_code(void);
ENV("log_info") extern void kernel_log_info(block);

static char input[64 << 10], text[4096], answer[8192], number[16];

static uint64_t size_of(const char *s) {
    uint64_t n = 0;
    while (s[n]) n++;
    return n;
}

// load copies a block into a buffer and ends it with a zero byte.
static void load(block from, uint64_t n, char *to) {
    uint64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word = kernel_load_u64(from + i);
        for (int j = 0; j < 8; j++) to[i + j] = (char)(word >> (8 * j));
    }
    for (; i < n; i++) to[i] = (char)kernel_load_u8(from + i);
    to[n] = 0;
}

// store returns a new block with a text.
static block store(const char *s) {
    uint64_t n = size_of(s), i = 0;
    block to = kernel_alloc(n);
    for (; i + 8 <= n; i += 8) {
        uint64_t word = 0;
        for (int j = 0; j < 8; j++) word |= (uint64_t)(uint8_t)s[i + j] << (8 * j);
        kernel_store_u64(to + i, word);
    }
    for (; i < n; i++) kernel_store_u8(to + i, (uint8_t)s[i]);
    return to;
}

static char *append(char *to, const char *s) {
    while (*s) *to++ = *s++;
    *to = 0;
    return to;
}

// field copies the text of the first member of a name into text. It returns 0 without one.
static int field(const char *name) {
    for (const char *at = input; *at; at++) {
        const char *a = at, *b = name;
        while (*b && *a == *b) a++, b++;
        if (*b) continue;
        char *to = text;
        while (*a && *a != '"' && to < text + sizeof text - 1) *to++ = *a++;
        *to = 0;
        return 1;
    }
    return 0;
}

static int32_t fail(const char *reason) {
    kernel_error_set(store(reason));
    return 1;
}

static const char *decimal(uint32_t n) {
    char *at = number + sizeof number;
    *--at = 0;
    do *--at = (char)('0' + n % 10); while (n /= 10);
    return at;
}

static int32_t fetch(void) {
    if (!field("\"url\":\"")) return fail("no url");
    char *end = append(answer, "{\"method\":\"POST\",\"url\":\"");
    end = append(end, text);
    append(end, "\",\"headers\":{\"content-type\":\"text/plain\"}}");
    block got = kernel_http_request(store(answer), store("ping"));
    int32_t status = kernel_http_status_code();
    if (status == 0) return 1; // the host has logged the reason
    uint64_t n = kernel_length(got);
    load(got, n < sizeof text ? n : sizeof text - 1, text);
    end = append(answer, "{\"http\":");
    end = append(end, decimal((uint32_t)status));
    end = append(end, ",\"body\":\"");
    end = append(end, text);
    append(end, "\"}");
    return 0;
}

static int32_t order(void) {
    char *end = append(answer, "{\"order\":\"");
    if (!field("\"order_id\":\"")) return fail("no order_id");
    end = append(end, text);
    if (!field("\"status\":\"")) return fail("no status");
    if (text[0] == 'b' && text[1] == 'o') __builtin_trap(); // "boom"
    end = append(end, "\",\"status\":\"");
    end = append(end, text);

    block key = store("currency"), value = kernel_config_get(key);
    kernel_free(key);
    if (value == 0) return fail("no currency is configured");
    load(value, kernel_length(value), text);
    end = append(end, "\",\"currency\":\"");
    end = append(end, text);

    block seen = store("seen"), count = kernel_var_get(seen);
    uint32_t n = 1;
    if (count != 0) {
        load(count, kernel_length(count), text);
        n = 0;
        for (char *at = text; *at; at++) n = n * 10 + (uint32_t)(*at - '0');
        n++;
    }
    kernel_var_set(seen, store(decimal(n)));
    end = append(end, "\",\"seen\":");
    end = append(end, decimal(n));
    append(end, "}");
    kernel_log_info(store("an order"));
    return 0;
}

EXPORT("handle") int32_t handle(void) {
    uint64_t n = kernel_input_length();
    if (n >= sizeof input) return fail("the event is too large");
    load(kernel_input_offset(), n, input);
    int32_t code = field("\"url\":\"") ? fetch() : order();
    if (code != 0) return code;
    block out = store(answer);
    kernel_output_set(out, size_of(answer));
    return 0;
}
