// The conformance handler of the C SDK: abi/conformance/README.md says what each
// op does.
#include <stdlib.h>

#include "berth.h"

static berth_text text_at(const char *pointer) {
    berth_text text = {"", 0};
    berth_get_text(pointer, &text);
    return text;
}

static berth_result error_of(int code) {
    berth_json answer = berth_object();
    berth_add_text(&answer, "error", berth_code_name(code));
    return berth_answer(&answer);
}

static berth_result flag_or_error(int code, const char *flag) {
    if (code < 0)
        return error_of(code);
    berth_json answer = berth_object();
    berth_add_bool(&answer, flag, 1);
    return berth_answer(&answer);
}

static berth_result value_or_error(int code, berth_text value) {
    if (code < 0)
        return error_of(code);
    berth_json answer = berth_object();
    berth_add_text(&answer, "value", value);
    return berth_answer(&answer);
}

static berth_result number(const char *key, long long value) {
    berth_json answer = berth_object();
    berth_add_int(&answer, key, value);
    return berth_answer(&answer);
}

static berth_result echo(void) {
    berth_text value;
    return berth_get_json("/data/value", &value) < 0 ? berth_reject("no value") : berth_answer_json(value);
}

static berth_result envelope(void) { return number("bytes", text_at("").len); }

static berth_result typed(void) {
    berth_envelope e;
    berth_get_envelope(&e);
    berth_json answer = berth_object();
    berth_add_text(&answer, "event_type", e.event_type);
    berth_add_text(&answer, "event_id", e.event_id);
    berth_add_text(&answer, "idempotency_key", e.idempotency_key);
    berth_add_text(&answer, "source", e.source);
    berth_add_text(&answer, "subject", e.subject);
    berth_add_text(&answer, "time", e.time);
    berth_add_text(&answer, "correlation_id", e.correlation_id);
    berth_add_text(&answer, "causation_id", e.causation_id);
    berth_add_text(&answer, "traceparent", e.traceparent);
    berth_add_int(&answer, "hops", e.hops);
    berth_add_int(&answer, "attempt", berth_attempt());
    berth_add_bool(&answer, "time_left", berth_remaining() > 0);
    return berth_answer(&answer);
}

static berth_result field(void) {
    berth_text value = {"", 0};
    int code = berth_get_text(text_at("/data/pointer"), &value);
    return value_or_error(code, value);
}

static berth_result numbers(void) {
    long long n = 0;
    int b = 0;
    if (berth_get_int("/data/int", &n) < 0 || berth_get_bool("/data/bool", &b) < 0)
        return berth_reject("no number");
    berth_json answer = berth_object();
    berth_add_int(&answer, "int", n);
    berth_add_bool(&answer, "bool", b);
    return berth_answer(&answer);
}

static berth_result raw(void) {
    berth_text text = text_at("/data/text");
    if (berth_finish(BERTH_OK, text.at, text.len) == BERTH_INVALID)
        return berth_reject("refused");
    return berth_finished();
}

static berth_result retry_until(void) {
    long long until = 1;
    berth_get_int("/data/attempt", &until);
    if (berth_attempt() >= until)
        return number("attempt", berth_attempt());
    return berth_retry(berth_join("attempt ", berth_digits(berth_attempt())));
}

static berth_result write_log(void) {
    static const char *levels[] = {"debug", "info", "warn", "error"};
    berth_text level = text_at("/data/level");
    for (int i = BERTH_DEBUG; i <= BERTH_ERROR; i++)
        if (berth_equal(level, levels[i]))
            berth_write_log(i, text_at("/data/text"));
    return berth_ok();
}

static berth_result emit(void) {
    berth_child child = {text_at("/data/type"), {"null", 4}, text_at("/data/subject"), text_at("/data/key"), {"", 0}, 0};
    berth_get_json("/data/child", &child.data);
    child.deliver_at = text_at("/data/at");
    if (berth_get_int("/data/after", &child.deliver_after) == 0)
        child.deliver_after *= 1000;
    return flag_or_error(berth_publish(&child), "emitted");
}

static berth_result kv_get(void) {
    berth_text value = {"", 0};
    int code = berth_kv_read(text_at("/data/key"), &value);
    return value_or_error(code, value);
}

static berth_result kv_cas(void) {
    berth_text old;
    int present = berth_get_text("/data/old", &old) == 0;
    return flag_or_error(berth_kv_swap(text_at("/data/key"), present ? &old : 0, text_at("/data/value")), "set");
}

static berth_result kv_fill(void) {
    long long n = 0;
    berth_get_int("/data/n", &n);
    for (long long i = 0; i < n; i++) {
        int code = berth_kv_write(berth_join(text_at("/data/prefix"), berth_digits(i)), "");
        if (code < 0)
            return error_of(code);
    }
    return number("filled", n);
}

static berth_result kv_list(void) {
    berth_json answer = berth_object(), list = berth_array();
    berth_keys keys = berth_kv_keys(text_at("/data/prefix"));
    berth_text key;
    int more;
    while ((more = berth_kv_next(&keys, &key)) > 0)
        berth_add_text(&list, BERTH_ITEM, key);
    if (more < 0)
        return error_of(more);
    berth_add_json(&answer, "keys", berth_json_close(&list));
    return berth_answer(&answer);
}

static berth_result kv_expire(void) {
    long long seconds = 0;
    berth_get_int("/data/seconds", &seconds);
    return flag_or_error(berth_kv_limit(text_at("/data/key"), (int)seconds), "expires");
}

static berth_result trace(void) {
    berth_text value = {"", 0};
    int code = berth_get_trace(&value);
    return value_or_error(code, value);
}

static berth_result http(void) {
    berth_header header = {berth_text_from("x-conform"), {"", 0}};
    berth_request request = {text_at("/data/method"), text_at("/data/url"), &header, 0, text_at("/data/body")};
    if (berth_get_text("/data/header", &header.value) == 0)
        request.header_count = 1;
    berth_response response;
    int code = berth_send(&request, &response);
    if (code < 0)
        return error_of(code);
    berth_text type = {"", 0};
    berth_get_header(&response, "content-type", &type);
    berth_json answer = berth_object();
    berth_add_int(&answer, "status", response.status);
    berth_add_text(&answer, "body", response.body);
    berth_add_text(&answer, "content_type", type);
    return berth_answer(&answer);
}

static berth_result secret(void) {
    berth_text value = {"", 0};
    int code = berth_get_secret(text_at("/data/name"), &value);
    return value_or_error(code, value);
}

// Allocates and frees what so many small strings would need.
static berth_result work(void) {
    long long n = 0;
    berth_get_int("/data/n", &n);
    for (long long i = 0; i < n; i++) {
        char *volatile small = malloc(32);
        berth_check(small != 0, "out of memory");
        small[0] = (char)i;
        free(small);
    }
    return number("done", n);
}

static berth_result handle(void) {
    static long long count;
    count++;
    berth_text op = text_at("/data/op");
    if (berth_equal(op, "echo"))
        return echo();
    if (berth_equal(op, "envelope"))
        return envelope();
    if (berth_equal(op, "typed"))
        return typed();
    if (berth_equal(op, "field"))
        return field();
    if (berth_equal(op, "number"))
        return numbers();
    if (berth_equal(op, "empty"))
        return berth_ok();
    if (berth_equal(op, "raw"))
        return raw();
    if (berth_equal(op, "retry"))
        return berth_retry(text_at("/data/reason"));
    if (berth_equal(op, "reject"))
        return berth_reject(text_at("/data/reason"));
    if (berth_equal(op, "retry_until"))
        return retry_until();
    if (berth_equal(op, "config"))
        return berth_answer_json(berth_get_config());
    if (berth_equal(op, "log"))
        return write_log();
    if (berth_equal(op, "emit"))
        return emit();
    if (berth_equal(op, "kv_get"))
        return kv_get();
    if (berth_equal(op, "kv_set"))
        return flag_or_error(berth_kv_write(text_at("/data/key"), text_at("/data/value")), "set");
    if (berth_equal(op, "kv_cas"))
        return kv_cas();
    if (berth_equal(op, "kv_delete"))
        return flag_or_error(berth_kv_remove(text_at("/data/key")), "deleted");
    if (berth_equal(op, "kv_fill"))
        return kv_fill();
    if (berth_equal(op, "kv_list"))
        return kv_list();
    if (berth_equal(op, "kv_expire"))
        return kv_expire();
    if (berth_equal(op, "trace"))
        return trace();
    if (berth_equal(op, "http"))
        return http();
    if (berth_equal(op, "secret"))
        return secret();
    if (berth_equal(op, "count"))
        return number("count", count);
    if (berth_equal(op, "work"))
        return work();
    if (berth_equal(op, "panic"))
        berth_panic(text_at("/data/message"));
    return berth_reject("unknown op");
}

static berth_result handle_batch(berth_batch *batch) {
    for (unsigned i = 0; i < batch->count; i++) {
        berth_select(batch, i);
        berth_text op = text_at("/data/op");
        if (berth_equal(op, "fail_all"))
            return berth_retry(text_at("/data/reason"));
        berth_end(batch, i, berth_equal(op, "size") ? number("size", batch->count) : handle());
    }
    return berth_ok();
}

int main(void) {
    berth_text batch;
    if (berth_json_get(berth_get_config(), "/batch", &batch) == 0)
        return berth_run_batch(handle_batch);
    return berth_run(handle);
}
