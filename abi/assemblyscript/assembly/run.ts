import { Answer, OK, REJECT } from "./answer";
import { argument } from "./bytes";
import { Event } from "./event";
import { Reply } from "./host";
import * as wire from "./wire";

// serve calls handle for each event, and returns when the host ends the instance: the entry point should return
// then.
export function serve(handle: (event: Event) => Answer): void {
  const event = new Event();
  while (event.next()) finish(handle(event));
}

function finish(answer: Answer): void {
  const size = answer.close();
  let n = size > 0 ? wire.finish(OK, answer.start, size) : close(answer.status, answer.text);
  answer.recycle();
  if (n < 0 && answer.status == OK) {
    // A retry would make the same result.
    n = close(REJECT, "the host refused the result: " + new Reply("finish", n).toString());
  }
  if (n < 0) throw new Error(new Reply("finish", n).toString());
}

function close(status: i32, text: string): i32 {
  const arg = argument(text);
  return wire.finish(status, arg.start, arg.length);
}
