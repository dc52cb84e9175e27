// {{.Name}} answers what became of an order.
#include <string>

#include "berth.h"

static berth::result handle(berth::event &event) {
    auto order = event.text("/data/order_id");
    if (!order)
        return berth::reject("the event is about no order");
    auto status = event.text("/data/status").value_or("");
    auto cents = event.integer("/data/total_cents").value_or(0);
    berth::info("order " + std::string(*order) + " is " + std::string(status));
    return berth::object().add("order", *order).add("status", status).add("cents", cents);
}

int main() { return berth::run(handle); }
