import { Bytes } from "./bytes";
import { Event } from "./event";
import { Reply, argument } from "./host";
import { JSONObject } from "./object";
import * as wire from "./wire";

const OK = 0;
const RETRY = 1;
const REJECT = 2;

// Answer is what a handler returns: how the event ends.
export class Answer {
  private constructor(public status: i32, public content: Bytes | null, public reason: string) {}

  // The event is done, without a result.
  static ok(): Answer {
    return new Answer(OK, null, "");
  }

  // The event is done, with the object as its result.
  static object(result: JSONObject): Answer {
    return new Answer(OK, result.close(), "");
  }

  // The event is done, with a result that is JSON text already, of at most 64 KiB. It is not checked here: if it is
  // not JSON, the host refuses it, and the event is rejected.
  static json(text: string): Answer {
    return new Answer(OK, new Bytes(text.length).text(text), "");
  }

  // The event is delivered again after a pause; after the last attempt it becomes a dead letter. The host keeps
  // 8 KiB of the reason.
  static retry(reason: string): Answer {
    return new Answer(RETRY, null, reason);
  }

  // The event becomes a dead letter immediately. The host keeps 8 KiB of the reason.
  static reject(reason: string): Answer {
    return new Answer(REJECT, null, reason);
  }

  // The event is delivered again because a call to the host failed.
  static failed(reply: Reply): Answer {
    return Answer.retry(reply.toString());
  }
}

// serve calls handle for each event, and returns when the host ends the instance: the entry point should return
// then.
export function serve(handle: (event: Event) => Answer): void {
  const event = new Event();
  while (event.next()) finish(handle(event));
}

function finish(answer: Answer): void {
  let status = answer.status;
  let reason = answer.reason;
  if (status == OK) {
    const content = answer.content;
    const n = content === null ? wire.finish(OK, 0, 0) : wire.finish(OK, content.start, content.length);
    if (n >= 0) return;
    status = REJECT; // a retry would make the same result
    reason = "the host refused the result: " + new Reply("finish", n).toString();
  }
  const arg = argument(reason);
  const n = wire.finish(status, arg.start, arg.length);
  if (n < 0) throw new Error(new Reply("finish", n).toString());
}
