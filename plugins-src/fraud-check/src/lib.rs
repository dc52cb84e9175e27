//! Scores new orders and reports the suspicious ones.

use berth::json::Value;
use berth::{Child, Code, Error, Event, Object};

/// The entry point. It reads the configuration once, before the first event.
#[no_mangle]
pub extern "C" fn run() {
    let mut rules = None;
    berth::run(|event| handle(event, rules.get_or_insert_with(Rules::configured)));
}

struct Rules {
    large_cents: i64,
    bulk_quantity: i64,
    review_score: i64,
}

impl Rules {
    fn configured() -> Self {
        let config = berth::config_value().expect("the configuration is JSON");
        let number = |name, default| config.get(name).and_then(Value::as_i64).unwrap_or(default);
        Self {
            large_cents: number("large_cents", 50_000),
            bulk_quantity: number("bulk_quantity", 20),
            review_score: number("review_score", 50),
        }
    }
}

fn handle(event: &Event, rules: &Rules) -> berth::Result {
    let order = event
        .field("/data/order_id")
        .ok_or(Error::reject("this is not an order"))?;
    let score = Score::of(&event.value()?, rules)
        .ok_or(Error::reject("the order has no items or no total"))?;
    let review = score.points >= rules.review_score;
    let mut answer = Object::new()
        .str("order", order)
        .int("score", score.points)
        .str("verdict", if review { "review" } else { "clear" })
        .strs("reasons", &score.reasons);
    if review {
        answer = answer.bool("reported", report(order, &score)?);
    }
    Ok(answer.into())
}

/// Adds the child event. It returns false if the operator has not granted that.
fn report(order: &str, score: &Score) -> Result<bool, Error> {
    let data = Object::new()
        .str("order_id", order)
        .int("score", score.points)
        .strs("reasons", &score.reasons);
    match Child::new("fraud_suspected", data.text())
        .subject(order)
        .emit()
    {
        Ok(()) => Ok(true),
        Err(error) if error.code == Code::Denied => {
            berth::warn(&format!(
                "order {order} is suspicious: {}",
                score.reasons.join(", ")
            ));
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Default)]
struct Score {
    points: i64,
    reasons: Vec<String>,
}

impl Score {
    /// The score of an order, or None if it has no items or no total.
    fn of(order: &Value, rules: &Rules) -> Option<Self> {
        let total = order.get("total_cents")?.as_i64()?;
        let mut score = Self::default();
        if total >= rules.large_cents {
            score.add(50, format!("a total of {} cents", total));
        }
        let mut sum = 0i64;
        for item in order.get("items")?.items() {
            let sku = item.get("sku").and_then(Value::as_str).unwrap_or("?");
            let quantity = item.get("quantity")?.as_i64()?;
            let price = item.get("unit_price_cents")?.as_i64()?;
            sum = sum.saturating_add(quantity.saturating_mul(price));
            if quantity >= rules.bulk_quantity {
                score.add(30, format!("{quantity} of {sku}"));
            }
            if price == 0 {
                score.add(20, format!("{sku} is free"));
            }
        }
        if sum != total {
            score.add(
                60,
                format!("the items are {sum} cents, the total is {total}"),
            );
        }
        Some(score)
    }

    fn add(&mut self, points: i64, reason: String) {
        self.points = (self.points + points).min(100);
        self.reasons.push(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth::testing::{event, Delivery, Host, Outcome};

    fn check(host: &mut Host, total: i64, items: &str) -> Delivery {
        let data = format!(
            r#"{{"order_id":"o-1","total_cents":{total},"items":{items},"status":"pending"}}"#
        );
        host.deliver(
            |event| handle(event, &Rules::configured()),
            &event("order_status_changed", "o-1", &data),
        )
    }

    fn ok(text: &str) -> Outcome {
        Outcome::Ok(text.into())
    }

    #[test]
    fn an_ordinary_order_is_clear() {
        let delivery = check(
            &mut Host::new(),
            3998,
            r#"[{"sku":"A","quantity":2,"unit_price_cents":1999}]"#,
        );
        assert_eq!(
            delivery.outcome,
            ok(r#"{"order":"o-1","score":0,"verdict":"clear","reasons":[]}"#)
        );
        assert!(delivery.children.is_empty());
    }

    #[test]
    fn a_wrong_total_is_reported() {
        let delivery = check(
            &mut Host::new(),
            1,
            r#"[{"sku":"A","quantity":2,"unit_price_cents":1999}]"#,
        );
        let reasons = r#"["the items are 3998 cents, the total is 1"]"#;
        assert_eq!(
            delivery.outcome,
            ok(&format!(
                r#"{{"order":"o-1","score":60,"verdict":"review","reasons":{reasons},"reported":true}}"#
            ))
        );
        let child = format!(
            r#"{{"event_type":"fraud_suspected","data":{{"order_id":"o-1","score":60,"reasons":{reasons}}},"metadata":{{"subject":"o-1"}}}}"#
        );
        assert_eq!(delivery.children, [child]);
    }

    #[test]
    fn without_the_grant_it_warns() {
        let mut host = Host::new();
        host.denied.push("emit");
        host.config = r#"{"large_cents":100,"review_score":40}"#.into();
        let delivery = check(
            &mut host,
            100,
            r#"[{"sku":"A","quantity":1,"unit_price_cents":100}]"#,
        );
        assert_eq!(
            delivery.outcome,
            ok(
                r#"{"order":"o-1","score":50,"verdict":"review","reasons":["a total of 100 cents"],"reported":false}"#
            )
        );
        assert_eq!(
            delivery.log,
            [(
                2,
                "order o-1 is suspicious: a total of 100 cents".to_string()
            )]
        );
    }

    #[test]
    fn signals_add_up_to_a_hundred() {
        let items = r#"[{"sku":"A","quantity":500,"unit_price_cents":1000},{"sku":"B","quantity":20,"unit_price_cents":0}]"#;
        let delivery = check(&mut Host::new(), 500_000, items);
        assert_eq!(
            delivery.outcome,
            ok(
                r#"{"order":"o-1","score":100,"verdict":"review","reasons":["a total of 500000 cents","500 of A","20 of B","B is free"],"reported":true}"#
            )
        );
    }

    #[test]
    fn other_events_are_rejected() {
        let other = Host::new().deliver(
            |event| handle(event, &Rules::configured()),
            &event("user_created", "u-1", "{}"),
        );
        assert_eq!(
            other.outcome,
            Outcome::Reject("this is not an order".into())
        );
        let bare = check(&mut Host::new(), 1, "[{}]");
        assert_eq!(
            bare.outcome,
            Outcome::Reject("the order has no items or no total".into())
        );
    }
}
