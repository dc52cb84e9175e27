# The conformance handler: what each operation does is in abi/conformance.
import berth

count = 0


def handle_batch(batch):
    global count
    for index, event in batch:
        op = event.field("/data/op", "")
        if op == "fail_all":
            raise berth.Retry(event.field("/data/reason"))
        if op == "size":
            batch.succeed(index, {"size": len(batch)})
            continue
        try:
            batch.succeed(index, handle(event))
        except (berth.Reject, berth.Retry) as error:
            batch.fail(index, error)


def handle(event):
    global count
    count += 1
    op = event.field("/data/op", "")
    perform = operations.get(op)
    if perform is None:
        raise berth.Reject("unknown op")
    try:
        return perform(event)
    except berth.Error as error:
        return {"error": error.code}


def echo(event):
    if event.field("/data/value", None) is None:
        raise berth.Reject("no value")
    return berth.Json(event.raw("/data/value"))


def typed(event):
    return {
        "event_type": event.type,
        "event_id": event.id,
        "idempotency_key": event.idempotency_key,
        "source": event.source,
        "subject": event.subject,
        "time": event.time,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "traceparent": event.traceparent,
        "hops": event.hops,
        "attempt": event.attempt,
        "time_left": event.remaining > 0,
    }


def number(event):
    try:
        n = event.int("/data/int")
        flag = event.bool("/data/bool")
    except (ValueError, berth.Error):
        raise berth.Reject("no number")
    if not -(1 << 63) <= n < 1 << 63:  # more than the vectors expect of any language
        raise berth.Reject("no number")
    return {"int": n, "bool": flag}


def raw(event):
    try:
        event.finish(event.field("/data/text"))
    except berth.Error:
        raise berth.Reject("refused")


def retry(event):
    raise berth.Retry(event.field("/data/reason"))


def reject(event):
    raise berth.Reject(event.field("/data/reason"))


def retry_until(event):
    if event.attempt < event.int("/data/attempt"):
        raise berth.Retry("attempt %d" % event.attempt)
    return {"attempt": event.attempt}


def log(event):
    text = event.field("/data/text")
    level = event.field("/data/level")
    if level == "debug":
        berth.log.debug(text)
    elif level == "info":
        berth.log.info(text)
    elif level == "warn":
        berth.log.warn(text)
    else:
        berth.log.error(text)


def emit(event):
    event.emit(
        event.field("/data/type"),
        berth.Json(event.raw("/data/child")),
        subject=event.field("/data/subject", None),
        key=event.field("/data/key", None),
        deliver_at=event.field("/data/at", None),
        deliver_after=event.int("/data/after", None),
    )
    return {"emitted": True}


def kv_set(event):
    berth.kv.set(event.field("/data/key"), event.field("/data/value"))
    return {"set": True}


def kv_cas(event):
    berth.kv.cas(event.field("/data/key"), event.json("/data/old", None), event.field("/data/value"))
    return {"set": True}


def kv_delete(event):
    berth.kv.delete(event.field("/data/key"))
    return {"deleted": True}


def kv_expire(event):
    berth.kv.expire(event.field("/data/key"), event.int("/data/seconds"))
    return {"expires": True}


def kv_fill(event):
    n = event.int("/data/n")
    for i in range(n):
        berth.kv.set(event.field("/data/prefix") + str(i), "")
    return {"filled": n}


def trace(event):
    value = berth.trace()
    return {"error": "NOT_FOUND"} if value is None else {"value": value}


def http(event):
    header = event.field("/data/header", None)
    response = berth.http(
        event.field("/data/method"),
        event.field("/data/url"),
        headers={} if header is None else {"x-conform": header},
        body=event.field("/data/body", None),
    )
    return {
        "status": response.status,
        "body": response.text,
        "content_type": response.headers.get("content-type", ""),
    }


def work(event):
    n = event.int("/data/n")
    for i in range(n):
        "item %d" % i
    return {"done": n}


def explode(event):
    raise ValueError(event.field("/data/message"))


operations = {
    "echo": echo,
    "envelope": lambda event: {"bytes": event.size},
    "typed": typed,
    "field": lambda event: {"value": event.field(event.field("/data/pointer"))},
    "number": number,
    "empty": lambda event: None,
    "raw": raw,
    "retry": retry,
    "reject": reject,
    "retry_until": retry_until,
    "config": lambda event: berth.config(),
    "log": log,
    "emit": emit,
    "kv_get": lambda event: {"value": berth.kv.get(event.field("/data/key"))},
    "kv_set": kv_set,
    "kv_cas": kv_cas,
    "kv_delete": kv_delete,
    "kv_expire": kv_expire,
    "kv_fill": kv_fill,
    "kv_list": lambda event: {"keys": list(berth.kv.scan(event.field("/data/prefix")))},
    "trace": trace,
    "http": http,
    "secret": lambda event: {"value": berth.secret(event.field("/data/name"))},
    "count": lambda event: {"count": count},
    "work": work,
    "panic": explode,
}
