// {{.Name}} answers what became of an order.
#include "berth.h"

static berth_result handle(void) {
    berth_text order, status = {"", 0};
    long long cents = 0;
    if (berth_get_text("/data/order_id", &order) < 0)
        return berth_reject("the event is about no order");
    berth_get_text("/data/status", &status);
    berth_get_int("/data/total_cents", &cents);
    berth_write_log(BERTH_INFO, berth_join(berth_join("order ", order), berth_join(" is ", status)));
    berth_json answer = berth_object();
    berth_add_text(&answer, "order", order);
    berth_add_text(&answer, "status", status);
    berth_add_int(&answer, "cents", cents);
    return berth_answer(&answer);
}

int main(void) { return berth_run(handle); }
