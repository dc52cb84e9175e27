//! Answers each change of an order's status.

use berth::{Error, Event, Object};

berth::handler!(handle);

fn handle(event: &Event) -> berth::Result {
    let order = event
        .field("/data/order_id")
        .ok_or(Error::reject("this is not an order"))?;
    let status = event
        .field("/data/status")
        .ok_or(Error::reject("the order has no status"))?;
    let cents = event.int("/data/total_cents").unwrap_or(0);
    berth::info(&format!("order {order} is {status}"));
    Ok(Object::new()
        .str("order", order)
        .str("status", status)
        .int("cents", cents)
        .into())
}

#[cfg(test)]
mod tests {
    use super::handle;
    use berth::testing::{event, Host, Outcome};

    #[test]
    fn an_order_is_answered() {
        let order = r#"{"order_id":"o-1","status":"shipped","total_cents":1999}"#;
        let delivery = Host::new().deliver(handle, &event("order_status_changed", "o-1", order));
        assert_eq!(
            delivery.outcome,
            Outcome::Ok(r#"{"order":"o-1","status":"shipped","cents":1999}"#.into())
        );
    }
}
