import { Reply } from "./host";

export const OK = 0;
export const RETRY = 1;
export const REJECT = 2;

// Answer is what a handler returns: how the event ends. A JSONObject is one, too.
export class Answer {
  constructor(readonly status: i32, readonly text: string) {}

  // The event is done, without a result.
  static ok(): Answer {
    return new Answer(OK, "");
  }

  // The event is done, with a result that is JSON text already, of at most 64 KiB. It is not checked here: if it is
  // not JSON, the host refuses it, and the event is rejected.
  static json(text: string): Answer {
    return new Answer(OK, text);
  }

  // The event is delivered again after a pause; after the last attempt it becomes a dead letter. The host keeps
  // 8 KiB of the reason.
  static retry(reason: string): Answer {
    return new Answer(RETRY, reason);
  }

  // The event becomes a dead letter immediately. The host keeps 8 KiB of the reason.
  static reject(reason: string): Answer {
    return new Answer(REJECT, reason);
  }

  // The event is delivered again because a call to the host failed.
  static failed(reply: Reply): Answer {
    return Answer.retry(reply.toString());
  }

  // The result or the reason.
  toString(): string {
    return this.text;
  }

  // The address of the result in UTF-8, if the text is not the result.
  get start(): usize {
    return 0;
  }

  // Completes the result in UTF-8, and returns its size in bytes: 0 if the text is the result.
  close(): i32 {
    return 0;
  }

  // Ends the use of the result: the host has it.
  recycle(): void {}
}
