// Exports no entry point: the host must refuse the module.
#include "berth.h"

static char event[4096];

BERTH_EXPORT("handle") void handle(void) { berth_next(event, sizeof event); }
