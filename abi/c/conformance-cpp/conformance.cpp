// The conformance handler of the C++ SDK: abi/conformance/README.md says what each
// op does.
#include <string>

#include "berth.h"

using berth::code;
using berth::event;
using berth::result;
using berth::text;

static text text_at(const event &e, text pointer) { return e.text(pointer).value_or(""); }

static result error_of(code c) { return berth::object().add("error", berth::name(c)); }

static result flag_or_error(code c, text flag) { return c == code::ok ? berth::object().add(flag, true) : error_of(c); }

static result value_or_error(const berth::expected<text> &value) {
    return value ? berth::object().add("value", *value) : error_of(value.error());
}

static result typed(const event &e) {
    berth::envelope v = e.envelope();
    return berth::object()
        .add("event_type", v.event_type)
        .add("event_id", v.event_id)
        .add("idempotency_key", v.idempotency_key)
        .add("source", v.source)
        .add("subject", v.subject)
        .add("time", v.time)
        .add("correlation_id", v.correlation_id)
        .add("causation_id", v.causation_id)
        .add("traceparent", v.traceparent)
        .add("hops", v.hops)
        .add("attempt", e.attempt())
        .add("time_left", e.remaining() > 0);
}

static result number(const event &e) {
    auto n = e.integer("/data/int");
    auto b = e.boolean("/data/bool");
    if (!n || !b)
        return berth::reject("no number");
    return berth::object().add("int", *n).add("bool", *b);
}

static result raw(const event &e) {
    code c = berth::finish(text_at(e, "/data/text"));
    return c == code::invalid ? berth::reject("refused") : berth::finished();
}

static result retry_until(const event &e) {
    if (e.attempt() >= e.integer("/data/attempt").value_or(1))
        return berth::object().add("attempt", e.attempt());
    return berth::retry(berth::keep("attempt " + std::to_string(e.attempt())));
}

static result log(const event &e) {
    text level = text_at(e, "/data/level"), line = text_at(e, "/data/text");
    if (level == "debug")
        berth::debug(line);
    else if (level == "info")
        berth::info(line);
    else if (level == "warn")
        berth::warn(line);
    else if (level == "error")
        berth::error(line);
    return berth::ok();
}

static result emit(const event &e) {
    return flag_or_error(e.emit({text_at(e, "/data/type"), e.json("/data/child").value_or("null"), text_at(e, "/data/subject"),
                                 text_at(e, "/data/key"), text_at(e, "/data/at"), e.integer("/data/after").value_or(0) * 1000}),
                         "emitted");
}

static result kv_cas(const event &e) {
    std::optional<text> old;
    if (auto text = e.text("/data/old"))
        old = *text;
    return flag_or_error(berth::kv::cas(text_at(e, "/data/key"), old, text_at(e, "/data/value")), "set");
}

static result kv_fill(const event &e) {
    long long n = e.integer("/data/n").value_or(0);
    for (long long i = 0; i < n; i++)
        if (code c = berth::kv::set(std::string(text_at(e, "/data/prefix")) + std::to_string(i), ""); c != code::ok)
            return error_of(c);
    return berth::object().add("filled", n);
}

static result kv_list(const event &e) {
    berth_json list = berth_array();
    for (const auto &key : berth::kv::keys(text_at(e, "/data/prefix"))) {
        if (!key)
            return error_of(key.error());
        berth_add_text(&list, BERTH_ITEM, *key);
    }
    return berth::object().add_json("keys", berth::view(berth_json_close(&list)));
}

static result http(const event &e) {
    berth::request request(text_at(e, "/data/method"), text_at(e, "/data/url"));
    if (auto header = e.text("/data/header"))
        request.header("x-conform", *header);
    auto response = request.body(text_at(e, "/data/body")).send();
    if (!response)
        return error_of(response.error());
    return berth::object()
        .add("status", response->status())
        .add("body", response->body())
        .add("content_type", response->header("content-type").value_or(""));
}

// Allocates and frees what so many small strings would need.
static result work(const event &e) {
    long long n = e.integer("/data/n").value_or(0);
    for (long long i = 0; i < n; i++) {
        std::string *volatile small = new std::string("a string that is too long to be kept inline");
        delete small;
    }
    return berth::object().add("done", n);
}

static result handle(event &e) {
    static int count;
    count++;
    text op = text_at(e, "/data/op");
    if (op == "echo") {
        auto value = e.json("/data/value");
        return value ? berth::json(*value) : berth::reject("no value");
    }
    if (op == "envelope")
        return berth::object().add("bytes", static_cast<long long>(e.raw().size()));
    if (op == "typed")
        return typed(e);
    if (op == "field")
        return value_or_error(e.text(text_at(e, "/data/pointer")));
    if (op == "number")
        return number(e);
    if (op == "empty")
        return berth::ok();
    if (op == "raw")
        return raw(e);
    if (op == "retry")
        return berth::retry(text_at(e, "/data/reason"));
    if (op == "reject")
        return berth::reject(text_at(e, "/data/reason"));
    if (op == "retry_until")
        return retry_until(e);
    if (op == "config")
        return berth::json(berth::config());
    if (op == "log")
        return log(e);
    if (op == "emit")
        return emit(e);
    if (op == "kv_get")
        return value_or_error(berth::kv::get(text_at(e, "/data/key")));
    if (op == "kv_set")
        return flag_or_error(berth::kv::set(text_at(e, "/data/key"), text_at(e, "/data/value")), "set");
    if (op == "kv_cas")
        return kv_cas(e);
    if (op == "kv_delete")
        return flag_or_error(berth::kv::remove(text_at(e, "/data/key")), "deleted");
    if (op == "kv_fill")
        return kv_fill(e);
    if (op == "kv_list")
        return kv_list(e);
    if (op == "kv_expire")
        return flag_or_error(berth::kv::expire(text_at(e, "/data/key"), static_cast<int>(e.integer("/data/seconds").value_or(0))), "expires");
    if (op == "trace")
        return value_or_error(berth::trace());
    if (op == "http")
        return http(e);
    if (op == "secret")
        return value_or_error(berth::secret(text_at(e, "/data/name")));
    if (op == "count")
        return berth::object().add("count", count);
    if (op == "work")
        return work(e);
    if (op == "panic")
        berth_panic(text_at(e, "/data/message"));
    return berth::reject("unknown op");
}

static result handle_batch(berth::batch &batch) {
    for (unsigned i = 0; i < batch.size(); i++) {
        event e = batch[i];
        text op = text_at(e, "/data/op");
        if (op == "fail_all")
            return berth::retry(text_at(e, "/data/reason"));
        batch.end(i, op == "size" ? result(berth::object().add("size", batch.size())) : handle(e));
    }
    return berth::ok();
}

int main() { return berth::json_at(berth::config(), "/batch") ? berth::run_batch(handle_batch) : berth::run(handle); }
