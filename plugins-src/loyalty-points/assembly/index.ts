// Books loyalty points for delivered orders and takes them back for refunded ones.

import { Answer, Code, Event, JSONObject, config, info, json, kv, serve } from "../../../abi/assemblyscript/assembly";

// So many of the latest bookings of a customer are known by their keys.
const REMEMBERED = 32;

// Another instance may write the same customer's account in between: so often a booking is tried.
const TRIES = 8;

let centsPerPoint: i64 = 100;

export function run(): void {
  const configured = json.find(config(), "/cents_per_point");
  if (configured !== null) centsPerPoint = max(1, I64.parseInt(configured));
  serve(handle);
}

function handle(event: Event): Answer {
  const customer = event.field("/data/customer_id");
  const cents = event.int("/data/total_cents");
  if (customer === null || cents === null) return Answer.reject("this is not an order of a customer");
  const points = bookable(event, cents.value / centsPerPoint);
  const answer = new JSONObject().str("customer", customer).int("points", points);
  if (points == 0) return answer;

  for (let i = 0; i < TRIES; i++) {
    const key = "account/" + customer;
    const found = kv.get(key);
    if (found.code == Code.DENIED) return answer.raw("balance", "null");
    if (!found.ok && found.code != Code.NOT_FOUND) return Answer.failed(found);
    const account = Account.read(found.ok ? found.text : "");
    if (account.has(event.idempotencyKey)) return answer.int("balance", account.balance);
    account.book(points, event.idempotencyKey);
    const written = kv.cas(key, found.ok ? found.text : null, account.toString());
    if (written.ok) {
      info("customer " + customer + " has " + account.balance.toString() + " points");
      return answer.int("balance", account.balance);
    }
    if (written.code != Code.CONFLICT) return Answer.failed(written);
  }
  return Answer.retry("the account of customer " + customer + " changes too often");
}

// bookable returns the points that an event adds, or takes back if it is below zero.
function bookable(event: Event, points: i64): i64 {
  const status = event.field("/data/status");
  if (status === null) return 0;
  if (status == "delivered") return points;
  // A refund of a cancelled order has nothing to take back.
  const previous = event.field("/data/previous_status");
  return status == "refunded" && previous !== null && previous == "delivered" ? -points : 0;
}

// Account is a customer's balance and the keys of the latest bookings. Its text has the balance in the first line,
// and a key in each other.
class Account {
  balance: i64 = 0;
  keys: string[] = [];

  static read(text: string): Account {
    const account = new Account();
    if (text.length == 0) return account;
    account.keys = text.split("\n");
    account.balance = I64.parseInt(account.keys.shift());
    return account;
  }

  has(key: string): bool {
    return this.keys.includes(json.quote(key));
  }

  book(points: i64, key: string): void {
    this.balance += points;
    this.keys.push(json.quote(key)); // quoted: it has no line feed
    while (this.keys.length > REMEMBERED) this.keys.shift();
  }

  toString(): string {
    return this.balance.toString() + "\n" + this.keys.join("\n");
  }
}
