// A typical handler: three fields, a short result. abi/c/minimum is the same by
// hand.
#include "berth.h"

static berth::result handle(berth::event &event) {
    auto order = event.text("/data/order_id"), status = event.text("/data/status");
    auto cents = event.integer("/data/total_cents");
    if (!order || !status || !cents)
        return berth::reject("this is not an order");
    return berth::object().add("order", *order).add("status", *status).add("cents", *cents);
}

int main() { return berth::run(handle); }
