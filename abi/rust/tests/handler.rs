//! The whole SDK against the host of the module testing.

use std::cell::Cell;

use berth::testing::{event, Delivery, Host, Outcome};
use berth::{http, kv, Answer, Child, Code, Error, Event, Object};

fn deliver(handle: impl FnMut(&Event) -> berth::Result, data: &str) -> Delivery {
    Host::new().deliver(handle, &event("order_status_changed", "o-1", data))
}

fn ok(text: &str) -> Outcome {
    Outcome::Ok(text.into())
}

#[test]
fn fields_have_types() {
    let data = r#"{"text":"a\"b","int":-9223372036854775808,"big":9223372036854775808,"plus":"+1","inf":"inf","yes":true,"list":[1.0,"x"],"null":null}"#;
    let delivery = deliver(
        |event| {
            assert_eq!(event.field("/data/text"), Some("a\"b"));
            assert_eq!(event.raw("/data/text"), Some(r#""a\"b""#));
            assert_eq!(event.raw("/data/list/1"), Some("\"x\""));
            assert_eq!(event.raw("/data/none"), None);
            assert_eq!(event.int("/data/int"), Some(i64::MIN));
            assert_eq!(event.int("/data/big"), None);
            assert_eq!(event.int("/data/plus"), None);
            assert_eq!(event.float("/data/list/0"), Some(1.0));
            assert_eq!(event.float("/data/inf"), None);
            assert_eq!(event.bool("/data/yes"), Some(true));
            assert_eq!(event.bool("/data/int"), None);
            assert_eq!(event.field("/data/null"), Some("null"));
            assert_eq!(event.field("/data/none"), None);
            assert_eq!(event.try_field("data").unwrap_err().code, Code::Invalid);
            assert_eq!(event.data(), data);
            assert_eq!(
                event.value().unwrap().get("yes").unwrap().as_bool(),
                Some(true)
            );
            Ok(Answer::empty())
        },
        data,
    );
    assert_eq!(delivery.outcome, ok(""));
}

#[test]
fn a_text_that_looks_like_an_object_has_no_members() {
    deliver(
        |event| {
            assert_eq!(event.raw("/data/x"), None);
            assert_eq!(event.data(), r#""{\"x\":1}""#);
            Ok(().into())
        },
        r#""{\"x\":1}""#,
    );
}

#[test]
#[should_panic(expected = "no-slash: field: INVALID")]
fn malformed_pointers_panic() {
    deliver(
        |event| Ok(Answer::json(event.field("no-slash").unwrap_or_default())),
        "{}",
    );
}

#[test]
fn the_envelope_has_types() {
    let envelope = r#"{"event_type":"t","data":1,"metadata":{"event_id":"e","idempotency_key":"k","source":"s","time":"2026-01-02T03:04:05Z","correlation_id":"c","causation_id":"p","hops":3}}"#;
    let mut host = Host::new();
    host.attempt = 2;
    host.deliver(
        |event| {
            let metadata = event.metadata();
            assert_eq!(
                (
                    event.event_type(),
                    event.id(),
                    event.subject(),
                    event.attempt()
                ),
                ("t", "e", "", 2)
            );
            assert_eq!(
                (
                    metadata.causation_id.as_deref(),
                    metadata.traceparent,
                    metadata.hops
                ),
                (Some("p"), None, 3)
            );
            assert_eq!(
                (metadata.source.as_str(), metadata.time.as_str()),
                ("s", "2026-01-02T03:04:05Z")
            );
            assert_eq!(event.envelope(), envelope);
            assert!(event.remaining().as_millis() > 0);
            Ok(().into())
        },
        envelope,
    );
}

#[test]
fn texts_of_one_event_stay_valid() {
    let long = "x".repeat(10_000);
    let data = format!(r#"{{"a":"first","long":"{long}","b":"second"}}"#);
    let mut host = Host::new();
    for _ in 0..3 {
        let delivery = host.deliver(
            |event| {
                let texts: Vec<&str> = ["a", "long", "b", "long", "a"]
                    .iter()
                    .map(|name| event.field(&format!("/data/{name}")).unwrap())
                    .collect();
                assert_eq!(texts, ["first", &long, "second", &long, "first"]);
                Ok(Object::new()
                    .int("all", event.envelope().len() as i64)
                    .into())
            },
            &event("t", "s", &data),
        );
        assert!(matches!(delivery.outcome, Outcome::Ok(text) if text.starts_with("{\"all\":10")));
    }
}

#[test]
fn errors_end_the_event() {
    assert_eq!(
        deliver(|_| Err(Error::retry("later")), "{}").outcome,
        Outcome::Retry("later".into())
    );
    assert_eq!(
        deliver(|_| Err(Error::reject("never")), "{}").outcome,
        Outcome::Reject("never".into())
    );
    let parse = |event: &Event| {
        let n: i32 = event.field("/data/n").unwrap_or_default().parse()?;
        Ok(Object::new().int("n", n).into())
    };
    assert_eq!(deliver(parse, r#"{"n":"7"}"#).outcome, ok(r#"{"n":7}"#));
    assert!(
        matches!(deliver(parse, r#"{"n":"x"}"#).outcome, Outcome::Retry(reason) if reason.contains("invalid digit"))
    );
    let refused = deliver(|_| Ok(Answer::json("{")), "{}").outcome;
    assert_eq!(
        refused,
        Outcome::Reject(
            "the host refused the result: finish: INVALID: the result is not JSON".into()
        )
    );
}

#[test]
fn state_survives_events() {
    let count = Cell::new(0);
    let mut host = Host::new();
    let handle = |_: &Event| {
        count.set(count.get() + 1);
        let old = kv::get("count")?;
        let n = old.as_deref().map_or(0, |text| text.len());
        kv::cas("count", old.as_deref(), "i".repeat(n + 1))?;
        assert_eq!(
            kv::cas("count", None, "x").unwrap_err().code,
            Code::Conflict
        );
        assert_eq!(kv::set("", "x").unwrap_err().code, Code::Invalid);
        assert_eq!(
            kv::set("k".repeat(257), "x").unwrap_err().code,
            Code::TooLarge
        );
        kv::set("large", "y".repeat(5000))?;
        assert_eq!(kv::get("large")?.map(|v| v.len()), Some(5000));
        kv::delete("large")?;
        kv::delete("large")?;
        Ok(Object::new().int("n", n as i64).into())
    };
    assert_eq!(
        host.deliver(handle, &event("t", "s", "{}")).outcome,
        ok(r#"{"n":0}"#)
    );
    assert_eq!(
        host.deliver(handle, &event("t", "s", "{}")).outcome,
        ok(r#"{"n":1}"#)
    );
    assert_eq!((count.get(), host.kv.len()), (2, 1));
    host.denied.push("kv");
    let denied = host.deliver(handle, &event("t", "s", "{}")).outcome;
    assert_eq!(
        denied,
        Outcome::Retry("kv_get: DENIED: it is not granted".into())
    );
}

#[test]
fn calls_reach_the_host() {
    let mut host = Host::new();
    host.config = r#"{"limit":5}"#.into();
    host.secrets.insert("token".into(), "t-1".into());
    host.responses
        .push_back(r#"{"status":201,"headers":{"content-type":"text/plain"},"body":"hé"}"#.into());
    host.responses
        .push_back(r#"{"status":200,"headers":{},"body_base64":"/wA="}"#.into());
    let delivery = host.deliver(
        |_| {
            assert_eq!(
                berth::config_value()?.get("limit").unwrap().as_i64(),
                Some(5)
            );
            assert_eq!(berth::secret("token")?, "t-1");
            assert_eq!(berth::secret("none").unwrap_err().code, Code::NotFound);
            let response = http::Request::post("https://a.example.com/")
                .header("x-a", "\"1\"")
                .body("hi")
                .send()?;
            assert_eq!(
                (
                    response.status,
                    response.header("content-type"),
                    &*response.text()
                ),
                (201, Some("text/plain"), "hé")
            );
            let response = http::Request::new("PUT", "https://a.example.com/")
                .body([0xff, 0])
                .send()?;
            assert_eq!(response.body, [0xff, 0]);
            assert_eq!(
                http::Request::get("https://a.example.com/")
                    .send()
                    .unwrap_err()
                    .code,
                Code::Unavailable
            );
            Child::new("noted", "{\"a\":1}")
                .subject("s")
                .idempotency_key("k")
                .emit()?;
            Child::new("noted", "null").emit()?;
            assert_eq!(Child::new("", "{").emit().unwrap_err().code, Code::Invalid);
            berth::debug("d");
            berth::info("i");
            berth::warn("w");
            berth::error("e");
            Ok(().into())
        },
        &event("t", "s", "{}"),
    );
    assert_eq!(delivery.outcome, ok(""));
    assert_eq!(
        delivery.children,
        [
            r#"{"event_type":"noted","data":{"a":1},"metadata":{"idempotency_key":"k","subject":"s"}}"#,
            r#"{"event_type":"noted","data":null,"metadata":{}}"#
        ]
    );
    assert_eq!(
        delivery
            .log
            .iter()
            .map(|(level, text)| format!("{level}{text}"))
            .collect::<String>(),
        "0d1i2w3e"
    );
    assert_eq!(
        host.requests,
        [
            r#"{"method":"POST","url":"https://a.example.com/","headers":{"x-a":"\"1\""},"body":"hi"}"#,
            r#"{"method":"PUT","url":"https://a.example.com/","body_base64":"/wA="}"#,
            r#"{"method":"GET","url":"https://a.example.com/"}"#
        ]
    );
}

#[test]
fn objects_write_every_kind() {
    let object = Object::new()
        .str("a\"", "b\n")
        .int("n", i64::MIN)
        .float("f", 1.5)
        .float("i", f64::INFINITY)
        .bool("t", true);
    let text = object
        .strs("l", ["x", "y"])
        .strs("e", [""; 0])
        .raw("r", "null")
        .text();
    assert_eq!(
        text,
        r#"{"a\"":"b\u000a","n":-9223372036854775808,"f":1.5,"i":null,"t":true,"l":["x","y"],"e":[],"r":null}"#
    );
    assert_eq!(Object::new().text(), "{}");
}
