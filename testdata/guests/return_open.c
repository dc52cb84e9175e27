// Returns from run with the first event still open.
#include "berth.h"

static char event[4096];

BERTH_EXPORT("run") void run(void) { berth_next(event, sizeof event); }
