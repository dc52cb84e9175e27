//! Batches, keys, limits, traces and deferred children against the host of the module testing.

use std::time::Duration;

use berth::testing::{event, Host, Outcome};
use berth::{kv, Answer, Batch, Child, Code, Error, Event};

fn ok(text: &str) -> Outcome {
    Outcome::Ok(text.into())
}

fn orders(data: &[&str]) -> Vec<String> {
    data.iter()
        .map(|data| event("order_status_changed", "o-1", data))
        .collect()
}

/// Succeeds with the number of an order, and fails without one.
fn handle(batch: &Batch) -> berth::Result<()> {
    for (i, event) in batch.events().iter().enumerate() {
        event.emit(Child::new("order_noted", "{}"))?;
        match event.int("/data") {
            Some(0) => {}
            Some(n) if n > 9 => return Err(Error::reject("too many")),
            Some(n) => batch.succeed(i, Answer::json(n.to_string())),
            None if event.data() == "null" => batch.fail(i, Error::reject("none")),
            None => batch.fail(i, Error::retry(event.data())),
        }
    }
    Ok(())
}

#[test]
fn each_event_of_a_batch_has_its_outcome() {
    let mut host = Host::new();
    let delivery = host.deliver_batch(handle, &orders(&["1", r#""x]},""#, "0", "null"]));
    assert_eq!(
        delivery.outcome,
        ok(
            r#"{"results":[1,null,null,null],"failures":[{"index":1,"status":"retry","reason":"\"x]},\""},{"index":3,"status":"reject","reason":"none"}]}"#
        )
    );
    assert!(delivery.children[3].ends_with(r#""parent_index":3}"#));
    assert_eq!(
        host.deliver_batch(handle, &orders(&["0", "0"])).outcome,
        ok("{}")
    );
    let all = host.deliver_batch(handle, &orders(&["1", "10"]));
    assert_eq!(all.outcome, Outcome::Reject("too many".into()));
}

#[test]
fn an_invalid_result_among_others_is_a_retry() {
    let invalid = |batch: &Batch| {
        batch.succeed(0, Answer::json("{"));
        Ok(())
    };
    let refused = "the host refused the result: finish: INVALID: the result is not JSON";
    let two = Host::new().deliver_batch(invalid, &orders(&["1", "2"]));
    assert_eq!(two.outcome, Outcome::Retry(refused.into()));
    let one = Host::new().deliver_batch(invalid, &orders(&["1"]));
    assert_eq!(one.outcome, Outcome::Reject(refused.into()));
}

#[test]
#[should_panic(expected = "batch_handler!")]
fn a_batch_needs_a_handler_of_batches() {
    let handle = |_: &Event| Ok(Answer::empty());
    Host::new().deliver(handle, r#"{"events":[]}"#);
}

#[test]
fn state_has_keys_and_limits() {
    let mut host = Host::new();
    let handle = |_: &Event| {
        for i in 0..600 {
            kv::set(format!("k{i:03}"), "")?;
        }
        kv::set("other", "")?;
        let keys: Vec<_> = kv::keys("k").collect::<Result<_, _>>()?;
        assert_eq!(keys.len(), 600);
        assert_eq!(keys[599], b"k599");
        assert_eq!(kv::keys("").count(), 601);
        let long: Vec<_> = kv::keys(vec![b'k'; 257]).collect();
        assert_eq!(long.len(), 1);
        assert_eq!(long[0].as_ref().unwrap_err().code, Code::TooLarge);
        kv::expire("k000", Duration::from_millis(1500))?;
        kv::expire("k001", Duration::from_secs(9))?;
        kv::set("k001", "again")?;
        let code = |result: Result<(), berth::HostError>| result.unwrap_err().code;
        assert_eq!(code(kv::expire("no", Duration::ZERO)), Code::NotFound);
        assert_eq!(code(kv::expire("other", Duration::MAX)), Code::Invalid);
        assert_eq!(berth::trace()?, None);
        Ok(Answer::empty())
    };
    assert_eq!(host.deliver(handle, &event("x", "", "1")).outcome, ok(""));
    assert_eq!(
        host.limits.into_iter().collect::<Vec<_>>(),
        [(b"k000".to_vec(), 2)]
    );
}

#[test]
fn children_can_be_deferred() {
    let handle = |event: &Event| {
        event.emit(Child::new("a", "1").deliver_after(Duration::from_secs(90)))?;
        Child::new("b", "2")
            .deliver_at("2026-12-01T08:00:00Z")
            .emit()?;
        Ok(Answer::json(berth::json::quote(&berth::trace()?.unwrap())))
    };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut host = Host::new();
    host.trace = trace.into();
    let delivery = host.deliver(handle, &event("x", "", "1"));
    assert_eq!(delivery.outcome, ok(&format!("\"{trace}\"")));
    assert_eq!(
        delivery.children,
        [
            r#"{"event_type":"a","data":1,"metadata":{"deliver_after":"90000ms"}}"#,
            r#"{"event_type":"b","data":2,"metadata":{"deliver_at":"2026-12-01T08:00:00Z"}}"#
        ]
    );
}
