// Imports env.mystery, which the ABI does not have: the host must refuse the
// module and name the import.
#include "berth.h"

__attribute__((import_module("env"), import_name("mystery"))) int mystery(int);

static char event[4096];

BERTH_EXPORT("run") void run(void) {
    while (berth_next(event, sizeof event) >= 0)
        mystery(1);
}
