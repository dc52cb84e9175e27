// Answers each event with what it computes from /data/number and from its own
// configuration, {"salt": n}: {"salt":n,"sum":s}. s is FNV-1a, 32 bits without the
// highest, of the number's digits and then the salt's. With /data/size, at most 1,000,
// so many letters follow that are drawn from s: {"salt":n,"sum":s,"text":"..."}.
#include "answer.h"

static char event[4096], config[256], digits[12], text[1000];

static unsigned hash(unsigned sum, const char *at, int n) {
    for (int i = 0; i < n; i++)
        sum = (sum ^ (unsigned char)at[i]) * 16777619u;
    return sum;
}

BERTH_EXPORT("run") void run(void) {
    int n = berth_config(config, sizeof config), from = 0, to;
    while (from < n && (config[from] < '0' || config[from] > '9'))
        from++;
    for (to = from; to < n && config[to] >= '0' && config[to] <= '9';)
        to++;
    while (berth_next(event, sizeof event) >= 0) {
        n = BERTH_FIELD("/data/number", digits, sizeof digits);
        int size = FIELD_INT("/data/size", 0);
        if (n <= 0 || n > (int)sizeof digits || size > (int)sizeof text || from == to) {
            BERTH_REJECT("no /data/number, a /data/size over 1000, or no salt in the configuration");
            continue;
        }
        unsigned sum = hash(hash(2166136261u, digits, n), config + from, to - from) & 0x7fffffff;
        berth_writer w = ANSWER_WRITER;
        BERTH_WRITE(&w, "{\"salt\":");
        berth_write(&w, config + from, (unsigned)(to - from));
        BERTH_WRITE(&w, ",\"sum\":");
        berth_write_int(&w, (int)sum);
        if (size > 0) {
            for (int i = 0; i < size; i++) {
                sum = sum * 1664525u + 1013904223u;
                text[i] = (char)('a' + (sum >> 16) % 26);
            }
            BERTH_WRITE(&w, ",\"text\":");
            berth_write_string(&w, text, (unsigned)size);
        }
        berth_put(&w, '}');
        answer(&w);
    }
}
