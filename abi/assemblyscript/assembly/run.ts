import { Answer, OK, REJECT, RETRY } from "./answer";
import { argument } from "./bytes";
import { Event } from "./event";
import { Reply } from "./host";
import * as json from "./json";
import { JSONObject } from "./object";
import * as wire from "./wire";

// serve calls handle for each event, and returns when the host ends the instance: the entry point should return
// then.
export function serve(handle: (event: Event) => Answer): void {
  const event = new Event();
  let first = true;
  while (event.next()) {
    if (first && event.field("/event_type") === null) throw new Error("the manifest asks for batches: use serveBatch");
    first = false;
    finish(handle(event), REJECT);
  }
}

// Batch is one or more events in the order of the log, no two with the same order key.
export class Batch {
  events: Event[] = [];
  private answers: Answer[] = [];

  // Only serveBatch makes batches.
  constructor(private single: bool, count: i32) {
    for (let i = 0; i < count; i++) {
      this.events.push(single ? new Event() : new Event(i, "/events/" + i.toString()));
      this.answers.push(Answer.ok());
    }
  }

  // set says how an event ends, if the handler returns null; at first it is Answer.ok(). With "state": "atomic" the
  // host refuses a batch in which some events fail: return the failure of all instead.
  set(index: i32, answer: Answer): void {
    // A JSONObject writes into a buffer that the next one takes over.
    this.answers[index] = answer.status == OK ? Answer.json(answer.toString()) : answer;
  }

  // finish closes the batch.
  finish(all: Answer | null): void {
    if (all !== null && all.status != OK) return finish(all, REJECT);
    if (this.single) return finish(this.answers[0], REJECT);
    let results = "";
    let failures = "";
    for (let i = 0; i < this.answers.length; i++) {
      const answer = this.answers[i];
      results += i == 0 ? "[" : ",";
      if (answer.status == OK) {
        results += answer.text.length > 0 ? answer.text : "null";
        continue;
      }
      results += "null";
      failures += failures.length == 0 ? "[" : ",";
      const status = answer.status == RETRY ? "retry" : "reject";
      failures += new JSONObject().int("index", i).str("status", status).str("reason", answer.text).toString();
    }
    const answer = new JSONObject().raw("results", results + "]");
    if (failures.length > 0) answer.raw("failures", failures + "]");
    // When the events come alone again, only the one with the refused result is rejected.
    finish(answer, this.answers.length > 1 ? RETRY : REJECT);
  }
}

// serveBatch is serve for a plugin whose manifest has a batch. An answer that handle returns is one of all events; null
// and Answer.ok() leave each as Batch.set has said. If the operator has disabled batches, each event comes in a batch
// of its own.
export function serveBatch(handle: (batch: Batch) => Answer | null): void {
  const opened = new Event();
  while (opened.next()) {
    const events = opened.field("/events");
    const batch = new Batch(events === null, events === null ? 1 : json.items(events).length);
    batch.finish(handle(batch));
  }
}

// finish closes the open event. If the host refuses the result, it ends with another status.
function finish(answer: Answer, refused: i32): void {
  const size = answer.close();
  let n = size > 0 ? wire.finish(OK, answer.start, size) : close(answer.status, answer.text);
  answer.recycle();
  if (n < 0 && answer.status == OK) {
    n = close(refused, "the host refused the result: " + new Reply("finish", n).toString());
  }
  if (n < 0) throw new Error(new Reply("finish", n).toString());
}

function close(status: i32, text: string): i32 {
  const arg = argument(text);
  return wire.finish(status, arg.start, arg.length);
}
