use alloc::format;

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
    while event.next() {
        finish(handle(&event));
    }
}

/// Closes the open event.
fn finish(result: Result) {
    let error = match result {
        Ok(answer) => match wire::finish(OK, &answer.json) {
            // A retry would make the same result.
            code if code < 0 => Error::reject(format!(
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
