// Takes each event with a buffer of 16 bytes and fetches the whole by last,
// twice, growing its memory when needed. It answers {"bytes": n, "copied": c}:
// the length that next returned, and how many bytes were the same both times.
#include "berth.h"

static char small[16], result[64];
extern char __heap_base;

BERTH_EXPORT("run") void run(void) {
    char *heap = &__heap_base;
    int n;
    while ((n = berth_next(small, sizeof small)) >= 0) {
        unsigned long need = (unsigned long)heap + 2 * (unsigned long)n;
        unsigned long have = __builtin_wasm_memory_size(0) * 65536;
        if (need > have && __builtin_wasm_memory_grow(0, (need - have + 65535) / 65536) == (unsigned long)-1) {
            BERTH_REJECT("no memory for the envelope");
            continue;
        }
        int copied = 0;
        if (berth_last(heap, (unsigned)n) == n && berth_last(heap + n, (unsigned)n) == n)
            while (copied < n && heap[copied] == heap[n + copied])
                copied++;
        berth_writer w = {result, result + sizeof result, 0};
        BERTH_WRITE(&w, "{\"bytes\":");
        berth_write_int(&w, n);
        BERTH_WRITE(&w, ",\"copied\":");
        berth_write_int(&w, copied);
        berth_put(&w, '}');
        berth_finish(BERTH_OK, result, (unsigned)(w.at - result));
    }
}
