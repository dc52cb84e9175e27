// A loop guest on the C library, whose main answers its arguments.
#include <stdio.h>
#include <string.h>

#include "berth.h"

int main(int argc, char **argv) {
    static char event[4096], result[256];
    while (berth_next(event, sizeof event) >= 0) {
        int n = snprintf(result, sizeof result, "{\"argc\":%d,\"argv0\":\"%s\"}", argc, argc > 0 ? argv[0] : "");
        berth_finish(BERTH_OK, result, (size_t)n);
    }
    return 0;
}
