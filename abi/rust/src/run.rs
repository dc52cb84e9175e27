use alloc::format;
use alloc::string::String;

use crate::error::{HostError, Result};
use crate::{report, wire, Error, Event};

const OK: i32 = 0;
const RETRY: i32 = 1;
const REJECT: i32 = 2;

/// Calls `handle` for each event, and returns when the host ends the instance: the entry point
/// should return then.
///
/// # Panics
///
/// If the host fails.
pub fn run(mut handle: impl FnMut(&Event) -> Result) {
    report::install();
    let mut event = Event::new();
    let mut first = true;
    while event.next() {
        if first && event.field("/event_type").is_none() {
            panic!("the manifest asks for batches: use batch_handler! or run_batch");
        }
        first = false;
        finish(handle(&event), Error::reject);
    }
}

/// Closes the open event. If the host refuses the result, the event fails with the error that
/// `refused` makes of the reason.
pub(crate) fn finish(result: Result, refused: impl FnOnce(String) -> Error) {
    let error = match result {
        Ok(answer) => match wire::finish(OK, &answer.json) {
            code if code < 0 => refused(format!(
                "the host refused the result: {}",
                HostError::of("finish", code)
            )),
            _ => return,
        },
        Err(error) => error,
    };
    let status = if error.reject { REJECT } else { RETRY };
    if let Err(error) = HostError::check("finish", wire::finish(status, &error.reason)) {
        panic!("{error}");
    }
}
