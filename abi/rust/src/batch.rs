use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::error::Result;
use crate::run::finish;
use crate::{json, report, Answer, Error, Event, Object};

/// One or more events that are handled together, in the order of the log. No two have the same
/// order key. An event that is delivered again comes in a batch of its own.
#[derive(Debug, Default)]
pub struct Batch {
    events: Vec<Event>,
    size: usize,
    results: RefCell<Vec<Result>>,
}

impl Batch {
    /// The number of events, at least 1.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.size
    }

    /// The events, in the order of their indexes.
    pub fn events(&self) -> &[Event] {
        &self.events[..self.size]
    }

    /// Has an event succeed with a result of at most 64 KiB; the results of a batch have at most
    /// 8 MiB together. An event of which nothing is said succeeds with the empty result.
    ///
    /// # Panics
    ///
    /// If no event has the index.
    pub fn succeed(&self, index: usize, answer: impl Into<Answer>) {
        self.set(index, Ok(answer.into()));
    }

    /// Has an event fail with an error, as a handler of one event does. Its children are dropped.
    /// With `"state": "atomic"` the host refuses a batch with failures: return an error for all
    /// events instead.
    ///
    /// # Panics
    ///
    /// If no event has the index.
    pub fn fail(&self, index: usize, error: impl Into<Error>) {
        self.set(index, Err(error.into()));
    }

    /// Has an event end as a handler of one event would.
    ///
    /// # Panics
    ///
    /// If no event has the index.
    pub fn set(&self, index: usize, result: Result) {
        self.results.borrow_mut()[index] = result;
    }

    /// Makes the batch of the event that `next` has opened.
    fn fill(&mut self, opened: &Event) {
        let single = opened.field("/event_type").is_some();
        self.size = if single {
            1
        } else {
            json::count(opened.field("/events").unwrap_or_default())
        };
        for i in self.events.len()..self.size {
            self.events.push(Event::of_batch(i));
        }
        if single || self.events[0].index.is_none() {
            self.events[0].index = if single { None } else { Some(0) };
        }
        for event in &mut self.events {
            event.clear();
        }
        let results = self.results.get_mut();
        results.clear();
        results.resize_with(self.size, || Ok(Answer::empty()));
    }

    /// Closes the batch.
    fn finish(&mut self, result: Result<()>) {
        let results = core::mem::take(self.results.get_mut());
        if let Err(error) = result {
            return finish(Err(error), Error::reject);
        }
        if self.events[0].index.is_none() {
            return results
                .into_iter()
                .for_each(|result| finish(result, Error::reject));
        }
        let answer = Answer::json(joined(&results));
        match results.len() {
            1 => finish(Ok(answer), Error::reject), // a retry would make the same result
            // Each comes alone then, so that only the cause is rejected.
            _ => finish(Ok(answer), Error::retry),
        }
    }
}

/// The result of a batch.
fn joined(results: &[Result]) -> String {
    let (mut list, mut failures) = (String::new(), String::new());
    let mut empty = true;
    for (i, result) in results.iter().enumerate() {
        list.push(if i == 0 { '[' } else { ',' });
        match result {
            Ok(answer) if !answer.json.is_empty() => {
                empty = false;
                list.push_str(&answer.json);
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                failures.push(if failures.is_empty() { '[' } else { ',' });
                let status = if error.reject { "reject" } else { "retry" };
                failures.push_str(
                    &Object::new()
                        .int("index", i as i64)
                        .str("status", status)
                        .str("reason", &error.reason)
                        .text(),
                );
            }
        }
        list.push_str("null");
    }
    let mut answer = Object::new();
    if !empty {
        list.push(']');
        answer = answer.raw("results", &list);
    }
    if !failures.is_empty() {
        failures.push(']');
        answer = answer.raw("failures", &failures);
    }
    answer.text()
}

/// As [`run`](crate::run()), for a plugin whose manifest has a batch, such as
/// `{"max_events": 100, "max_wait": "50ms"}`. An error that `handle` returns is one of all events
/// of the batch. If the operator has disabled batches, each event comes in a batch of its own.
///
/// # Panics
///
/// If the host fails.
pub fn run_batch(mut handle: impl FnMut(&Batch) -> Result<()>) {
    report::install();
    let mut opened = Event::new();
    let mut batch = Batch::default();
    while opened.next() {
        batch.fill(&opened);
        let result = handle(&batch);
        batch.finish(result);
    }
}
