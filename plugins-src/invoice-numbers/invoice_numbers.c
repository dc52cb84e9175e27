// Invoice-numbers gives each confirmed order the next invoice number, without gaps
// and never two.
//
// The key "last" holds the latest number and its order, as "7 o-1": a number is
// taken by one compare-and-swap of that key. The key "invoice:<order>" holds an
// order's number; it is written after the swap. If the instance ends between the
// two, the next swap completes the record first, so no number is lost.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "berth.h"

enum { MAX_TRIES = 100, MAX_KEY = 256 };

static const char prefix_of_keys[] = "invoice:";

// config is the handler's configuration.
struct config {
    berth_text prefix; // before the number
    long long first;   // the first number
};

static struct config read_config(void) {
    struct config c = {{"", 0}, 1};
    berth_text json = berth_get_config(), value;
    if (berth_json_get(json, "/prefix", &value) == 0)
        berth_json_text(value, &c.prefix);
    if (berth_json_get(json, "/first", &value) == 0)
        berth_json_int(value, &c.first);
    return c;
}

// key_of yields the key of an order's record.
static berth_text key_of(berth_text order) {
    char *key = berth_alloc(sizeof prefix_of_keys + order.len);
    memcpy(key, prefix_of_keys, sizeof prefix_of_keys - 1);
    memcpy(key + sizeof prefix_of_keys - 1, order.at, order.len);
    berth_text text = {key, sizeof prefix_of_keys - 1 + order.len};
    return text;
}

// last_of yields the value "<number> <order>" of the key "last".
static berth_text last_of(long long number, berth_text order) {
    char *at = berth_alloc(24 + order.len);
    int digits = snprintf(at, 24, "%lld ", number);
    memcpy(at + digits, order.at, order.len);
    berth_text text = {at, (unsigned)digits + order.len};
    return text;
}

// split_last splits that value.
static int split_last(berth_text last, berth_text *number, berth_text *order) {
    const char *blank = memchr(last.at, ' ', last.len);
    if (blank == NULL)
        return BERTH_INVALID;
    number->at = last.at;
    number->len = (unsigned)(blank - last.at);
    order->at = blank + 1;
    order->len = last.len - number->len - 1;
    return 0;
}

// assign yields the order's number, or a negative code.
static int assign(berth_text order, long long first, long long *number) {
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        berth_text last, digits, owner, mine;
        int code = berth_kv_read("last", &last);
        if (code < 0 && code != BERTH_NOT_FOUND)
            return code;
        int present = code == 0;
        long long latest = first - 1;
        if (present) {
            berth_check(split_last(last, &digits, &owner) == 0 && berth_json_int(digits, &latest) == 0, "the key last is damaged");
            if ((code = berth_kv_write(key_of(owner), digits)) < 0) // completes what an ended instance left
                return code;
        }
        code = berth_kv_read(key_of(order), &mine); // after "last": what it says of this order is complete
        if (code == 0)
            return berth_json_int(mine, number);
        if (code != BERTH_NOT_FOUND)
            return code;
        code = berth_kv_swap("last", present ? &last : NULL, last_of(latest + 1, order));
        if (code == 0) {
            *number = latest + 1;
            char text[24];
            berth_text value = {text, (unsigned)snprintf(text, sizeof text, "%lld", *number)};
            return berth_kv_write(key_of(order), value);
        }
        if (code != BERTH_CONFLICT) // another instance took the number
            return code;
    }
    return BERTH_CONFLICT;
}

static berth_result handle(void) {
    berth_text order, status;
    if (berth_get_text("/data/order_id", &order) < 0 || berth_get_text("/data/status", &status) < 0 || order.len == 0 ||
        order.len > MAX_KEY - sizeof prefix_of_keys)
        return berth_reject("this is not an order");
    berth_json answer = berth_object();
    berth_add_text(&answer, "order", order);
    if (!berth_equal(status, "confirmed")) {
        berth_add_bool(&answer, "skipped", 1);
        return berth_answer(&answer);
    }
    struct config config = read_config();
    long long number;
    int code = assign(order, config.first, &number);
    if (code == BERTH_DENIED)
        return berth_reject("the capability kv is not granted");
    if (code < 0)
        return berth_retry(berth_code_name(code));
    char *invoice = berth_alloc(config.prefix.len + 24);
    memcpy(invoice, config.prefix.at, config.prefix.len);
    berth_text text = {invoice, config.prefix.len + (unsigned)snprintf(invoice + config.prefix.len, 24, "%06lld", number)};
    berth_add_text(&answer, "invoice", text);
    return berth_answer(&answer);
}

int main(void) { return berth_run(handle); }
