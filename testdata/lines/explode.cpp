// Fails in a method of a template in a namespace, so that its name has to be demangled.
#include "berth.h"

static char event[4096];
static volatile int stock = -3;

namespace shop {

template <class Count> struct Cart {
    Count count;
    __attribute__((noinline)) void explode(const char *why) {
        if (stock < count && *why)
            __builtin_trap(); // MARK trap
    }
};

} // namespace shop

extern "C" BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0) {
        shop::Cart<long> cart{0};
        cart.explode("no stock");
        BERTH_RESULT("{}");
    }
}
