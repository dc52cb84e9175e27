//! A typical handler: it reads three fields and answers with them.

use berth::{Error, Event, Object};

berth::handler!(handle);

fn handle(event: &Event) -> berth::Result {
    let order = event
        .field("/data/order_id")
        .ok_or(Error::reject("no order"))?;
    let status = event
        .field("/data/status")
        .ok_or(Error::reject("no status"))?;
    let cents = event
        .int("/data/total_cents")
        .ok_or(Error::reject("no total"))?;
    Ok(Object::new()
        .str("order", order)
        .str("status", status)
        .int("cents", cents)
        .into())
}
