// Writes /data/bytes bytes (default 1) of 'x' under a kv key of /data/key_bytes
// bytes (default 1) of 'k', and answers {"code": n, "error": text}; 0 is ok.
// For the limits: it has room for 2 MiB.
#include "answer.h"

static char event[4096], key[4096], value[2 << 20];

BERTH_EXPORT("run") void run(void) {
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = 'k';
    for (unsigned i = 0; i < sizeof value; i++)
        value[i] = 'x';
    while (berth_next(event, sizeof event) >= 0) {
        int key_len = FIELD_INT("/data/key_bytes", 1);
        answer_code(berth_kv_set(key, (unsigned)key_len, value, (unsigned)FIELD_INT("/data/bytes", 1)));
    }
}
