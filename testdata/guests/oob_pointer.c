// Passes the host memory it does not have. /data/call chooses how; each must
// trap. An event with any other call is ok, with {}.
//   log      a text that begins beyond the memory
//   wrap     a text whose end wraps around 2^32
//   edge     a text that ends one byte beyond the memory
//   result   a result that begins beyond the memory
//   buffer   a buffer for field that lies beyond the memory
//   empty    an empty text that begins beyond the memory
#include "berth.h"

static char event[4096], call[16];

static int is(const char *name, int len, int n) {
    if (n != len)
        return 0;
    for (int i = 0; i < len; i++)
        if (call[i] != name[i])
            return 0;
    return 1;
}
#define IS(name) is(name, sizeof(name) - 1, n)

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = BERTH_FIELD("/data/call", call, sizeof call);
        unsigned long end = __builtin_wasm_memory_size(0) * 65536;
        if (IS("log"))
            berth_log(BERTH_INFO, (char *)0x7ffffff0, 1);
        if (IS("wrap"))
            berth_log(BERTH_INFO, (char *)1024, 0xffffffff);
        if (IS("edge"))
            berth_log(BERTH_INFO, (char *)(end - 8), 9);
        if (IS("result"))
            berth_finish(BERTH_OK, (char *)0xfffffff0, 2);
        if (IS("buffer"))
            BERTH_FIELD("/data/call", (char *)(end - 1), 16);
        if (IS("empty"))
            berth_log(BERTH_INFO, (char *)(end + 1), 0);
        BERTH_RESULT("{}");
    }
}
