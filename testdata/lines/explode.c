// Fails in the way that /data/way says. Tests find the line of a failure by its mark in a
// comment: the word MARK and the name of the way.
#include "berth.h"

static char event[4096], way[16];
static volatile int zero;
static void (*volatile nothing)(void);

__attribute__((noinline)) static void explode(void) {
    if (!zero)
        __builtin_trap(); // MARK trap
}

__attribute__((noinline)) static int divide(int cents) {
    int share = cents / zero; // MARK divide
    return share + zero;
}

__attribute__((noinline)) static int outside(int at) {
    return *(volatile int *)(0xfffffff0u + (unsigned)at); // MARK memory
}

__attribute__((noinline)) static void indirect(void) {
    nothing(); // MARK indirect
    zero = 0;
}

__attribute__((always_inline)) static inline void check(int stock) {
    if (stock < 0)
        __builtin_trap(); // MARK inlined
    zero = 0;
}

__attribute__((noinline)) static void sell(int count) {
    zero = 0;
    check(3 - count); // MARK inlining
}

// Calls itself until the stack is used up.
__attribute__((noinline)) static int descend(int depth) {
    if (depth < 0)
        return 0;
    int below = descend(depth + 1); // MARK descend
    zero = 0;
    return below + depth;
}

static int is(const char *name, int n) {
    int i = 0;
    for (; i < n && name[i]; i++)
        if (name[i] != way[i])
            return 0;
    return i == n && !name[i];
}

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        int n = BERTH_FIELD("/data/way", way, sizeof way);
        if (is("trap", n))
            explode(); // MARK caller
        if (is("divide", n))
            zero = divide(n);
        if (is("memory", n))
            outside(n - 6);
        if (is("indirect", n))
            indirect();
        if (is("inlined", n))
            sell(n);
        if (is("descend", n))
            zero = descend(0);
        if (is("bounds", n))
            berth_finish(BERTH_OK, (void *)0xfffffff0u, 64); // MARK bounds
        BERTH_RESULT("{}");
    }
}
