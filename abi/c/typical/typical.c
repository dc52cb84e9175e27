// A typical handler: three fields, a short result. abi/c/minimum is the same by
// hand.
#include "berth.h"

static berth_result handle(void) {
    berth_text order, status;
    long long cents;
    if (berth_get_text("/data/order_id", &order) < 0 || berth_get_text("/data/status", &status) < 0 ||
        berth_get_int("/data/total_cents", &cents) < 0)
        return berth_reject("this is not an order");
    berth_json answer = berth_object();
    berth_add_text(&answer, "order", order);
    berth_add_text(&answer, "status", status);
    berth_add_int(&answer, "cents", cents);
    return berth_answer(&answer);
}

int main(void) { return berth_run(handle); }
