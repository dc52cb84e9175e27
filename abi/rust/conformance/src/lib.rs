//! The conformance handler of abi/conformance: it does what the event's op says.

use std::time::Duration;

use berth::{http, json, kv, Answer, Batch, Child, Code, Error, Event, HostError, Object};

/// The entry point. It is not `berth::handler!` because the handler has a variable.
#[no_mangle]
pub extern "C" fn run() {
    let mut count = 0;
    if berth::config().contains("\"batch\"") {
        return berth::run_batch(|batch| handle_batch(batch, &mut count));
    }
    berth::run(|event| {
        count += 1;
        handle(event, count)
    });
}

fn handle_batch(batch: &Batch, count: &mut i64) -> berth::Result<()> {
    for (i, event) in batch.events().iter().enumerate() {
        *count += 1;
        match event.field("/data/op") {
            Some("size") => batch.succeed(i, Object::new().int("size", batch.len() as i64)),
            Some("fail_all") => {
                let reason = event.field("/data/reason").unwrap_or_default();
                return Err(Error::retry(reason));
            }
            _ => batch.set(i, handle(event, *count)),
        }
    }
    Ok(())
}

fn handle(event: &Event, count: i64) -> berth::Result {
    let text = |name: &str| event.field(&format!("/data/{name}")).unwrap_or_default();
    let optional = |name: &str| {
        event
            .raw(&format!("/data/{name}"))
            .filter(|json| *json != "null")
            .map(json::unquote)
    };
    let done = |name: &str, result: Result<(), HostError>| {
        Ok(object(result.map(|()| Object::new().bool(name, true))))
    };
    let seconds =
        |name: &str| Duration::from_secs(text(name).parse().unwrap_or_default());
    match text("op") {
        "echo" => Ok(Answer::json(
            event.raw("/data/value").ok_or(Error::reject("no value"))?,
        )),
        "envelope" => Ok(Object::new()
            .int("bytes", event.envelope().len() as i64)
            .into()),
        "typed" => Ok(typed(event)),
        "field" => Ok(object(
            event
                .try_field(text("pointer"))
                .map(|value| Object::new().str("value", value)),
        )),
        "number" => {
            let int = event.int("/data/int").ok_or(Error::reject("no number"))?;
            let bool = event.bool("/data/bool").ok_or(Error::reject("no number"))?;
            Ok(Object::new().int("int", int).bool("bool", bool).into())
        }
        "empty" => Ok(Answer::empty()),
        "raw" => Ok(Answer::json(text("text"))),
        "retry" => Err(Error::retry(text("reason"))),
        "reject" => Err(Error::reject(text("reason"))),
        "retry_until" => {
            let attempt = event.attempt();
            if i64::from(attempt) < event.int("/data/attempt").unwrap_or(0) {
                return Err(Error::retry(format!("attempt {attempt}")));
            }
            Ok(Object::new().int("attempt", attempt).into())
        }
        "config" => Ok(Answer::json(berth::config())),
        "log" => {
            let write = match text("level") {
                "debug" => berth::debug,
                "info" => berth::info,
                "warn" => berth::warn,
                _ => berth::error,
            };
            write(text("text"));
            Ok(Answer::empty())
        }
        "emit" => {
            let mut child = Child::new(text("type"), event.raw("/data/child").unwrap_or("null"));
            if let Some(subject) = event.field("/data/subject") {
                child = child.subject(subject);
            }
            if let Some(key) = event.field("/data/key") {
                child = child.idempotency_key(key);
            }
            if let Some(at) = event.field("/data/at") {
                child = child.deliver_at(at);
            }
            child = child.deliver_after(seconds("after"));
            done("emitted", event.emit(child))
        }
        "kv_get" => Ok(object(kv::get(text("key")).and_then(|value| match value {
            Some(value) => Ok(Object::new().str("value", &String::from_utf8_lossy(&value))),
            None => Err(HostError {
                call: "kv_get",
                code: Code::NotFound,
                text: String::new(),
            }),
        }))),
        "kv_set" => done("set", kv::set(text("key"), text("value"))),
        "kv_cas" => done(
            "set",
            kv::cas(
                text("key"),
                optional("old").as_ref().map(|old| old.as_bytes()),
                text("value"),
            ),
        ),
        "kv_delete" => done("deleted", kv::delete(text("key"))),
        "kv_expire" => done("expires", kv::expire(text("key"), seconds("seconds"))),
        "kv_fill" => {
            let n = event.int("/data/n").unwrap_or(0);
            let prefix = text("prefix");
            let filled = (0..n).try_for_each(|i| kv::set(format!("{prefix}{i}"), ""));
            Ok(object(filled.map(|()| Object::new().int("filled", n))))
        }
        "kv_list" => {
            let keys: Result<Vec<_>, _> = kv::keys(text("prefix")).collect();
            Ok(object(keys.map(|keys| {
                let texts = keys.iter().map(|key| String::from_utf8_lossy(key));
                Object::new().strs("keys", texts)
            })))
        }
        "trace" => Ok(object(berth::trace().and_then(|trace| match trace {
            Some(trace) => Ok(Object::new().str("value", &trace)),
            None => Err(HostError {
                call: "trace",
                code: Code::NotFound,
                text: String::new(),
            }),
        }))),
        "http" => Ok(object(request(event))),
        "secret" => Ok(object(
            berth::secret(text("name")).map(|secret| Object::new().str("value", &secret)),
        )),
        "count" => Ok(Object::new().int("count", count).into()),
        "work" => {
            let n = event.int("/data/n").unwrap_or(0);
            for i in 0..n {
                std::hint::black_box(i.to_string());
            }
            Ok(Object::new().int("done", n).into())
        }
        "panic" => panic!("{}", text("message")),
        _ => Err(Error::reject("unknown op")),
    }
}

/// The object, or one with the code of the error.
fn object(result: Result<Object, HostError>) -> Answer {
    result
        .unwrap_or_else(|error| Object::new().str("error", error.code.name()))
        .into()
}

fn typed(event: &Event) -> Answer {
    let metadata = event.metadata();
    Object::new()
        .str("event_type", event.event_type())
        .str("event_id", &metadata.event_id)
        .str("idempotency_key", &metadata.idempotency_key)
        .str("source", &metadata.source)
        .str("subject", &metadata.subject)
        .str("time", &metadata.time)
        .str("correlation_id", &metadata.correlation_id)
        .str(
            "causation_id",
            metadata.causation_id.as_deref().unwrap_or_default(),
        )
        .str(
            "traceparent",
            metadata.traceparent.as_deref().unwrap_or_default(),
        )
        .int("hops", metadata.hops)
        .int("attempt", event.attempt())
        .bool("time_left", !event.remaining().is_zero())
        .into()
}

fn request(event: &Event) -> Result<Object, HostError> {
    let text = |pointer| event.field(pointer).unwrap_or_default();
    let mut request =
        http::Request::new(text("/data/method"), text("/data/url")).body(text("/data/body"));
    if let Some(header) = event.field("/data/header") {
        request = request.header("x-conform", header);
    }
    let response = request.send()?;
    let content_type = response.header("content-type").unwrap_or_default();
    Ok(Object::new()
        .int("status", response.status)
        .str("body", &response.text())
        .str("content_type", content_type))
}
