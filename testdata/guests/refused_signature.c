// Imports berth_v1.finish with a parameter too few: the host must refuse the
// module and name the function.
__attribute__((import_module("berth_v1"), import_name("next"))) int next(void *buf, unsigned cap);
__attribute__((import_module("berth_v1"), import_name("finish"))) int finish(int status, const void *bytes);

static char event[4096];

__attribute__((export_name("run"))) void run(void) {
    while (next(event, sizeof event) >= 0)
        finish(0, event);
}
