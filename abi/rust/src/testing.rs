//! A host for ordinary tests: it runs a handler natively, without WebAssembly.
//!
//! ```
//! use berth::testing::{self, Outcome};
//! use berth::{Event, Object};
//!
//! fn handle(event: &Event) -> berth::Result {
//!     Ok(Object::new().str("order", event.subject()).into())
//! }
//!
//! let mut host = testing::Host::new();
//! let delivery = host.deliver(handle, &testing::event("order_status_changed", "o-1", r#"{"status":"shipped"}"#));
//! assert_eq!(delivery.outcome, Outcome::Ok(r#"{"order":"o-1"}"#.into()));
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::string::String;
use std::vec::Vec;

use crate::error::Code;
use crate::json::{self, Value};
use crate::{Batch, Event, Object, Result};

/// What the host has for the handler, and what the handler left there.
#[derive(Debug, Default)]
pub struct Host {
    /// The configuration as JSON text; empty means `{}`.
    pub config: String,
    /// The durable state.
    pub kv: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The seconds after which keys disappear, for keys with a limit. No time passes in a test.
    pub limits: BTreeMap<Vec<u8>, u32>,
    /// The traceparent of an attempt; empty if the host does not trace it.
    pub trace: String,
    /// The secrets by name.
    pub secrets: BTreeMap<String, String>,
    /// The answers to the next HTTP requests, as JSON text of the ABI. Without one a request
    /// is UNAVAILABLE.
    pub responses: VecDeque<String>,
    /// The HTTP requests so far, as JSON text of the ABI.
    pub requests: Vec<String>,
    /// The capabilities that are not granted, such as `kv`.
    pub denied: Vec<&'static str>,
    /// The attempt of the next delivery; 0 means 1.
    pub attempt: u32,
    open: State,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How it ended.
    pub outcome: Outcome,
    /// The children, as JSON text of the ABI. The host publishes them if the outcome is ok.
    pub children: Vec<String>,
    /// The log lines with their levels, 0 (debug) to 3 (error).
    pub log: Vec<(i32, String)>,
}

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, with this result.
    Ok(String),
    /// It is delivered again, for this reason.
    Retry(String),
    /// It is a dead letter, for this reason.
    Reject(String),
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<String>,
    event: Option<String>,
    outcome: Option<Outcome>,
    children: Vec<String>,
    log: Vec<(i32, String)>,
    last: Vec<u8>,
    error: String,
}

std::thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// An envelope of that type and subject, whose data is JSON text.
pub fn event(event_type: &str, subject: &str, data: &str) -> String {
    let metadata = Object::new()
        .str("event_id", "e-1")
        .str("idempotency_key", "key-1")
        .str("source", "test")
        .str("subject", subject)
        .str("time", "2026-01-02T03:04:05Z")
        .str("correlation_id", "e-1")
        .int("hops", 0);
    Object::new()
        .str("event_type", event_type)
        .raw("data", data)
        .raw("metadata", &metadata.text())
        .text()
}

impl Host {
    /// A host that grants all and has nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Delivers events as one batch to the handler. The outcome is that of the batch: its result
    /// is an object of `results` and `failures`, or empty.
    ///
    /// # Panics
    ///
    /// If the handler does.
    pub fn deliver_batch(
        &mut self,
        handle: impl FnMut(&Batch) -> Result<()>,
        envelopes: &[String],
    ) -> Delivery {
        let batch = Object::new().raw("events", &std::format!("[{}]", envelopes.join(",")));
        self.serve(|| crate::run_batch(handle), &batch.text())
    }

    /// Delivers one event to the handler.
    ///
    /// # Panics
    ///
    /// If the handler does.
    pub fn deliver(&mut self, handle: impl FnMut(&Event) -> Result, envelope: &str) -> Delivery {
        self.serve(|| crate::run(handle), envelope)
    }

    fn serve(&mut self, run: impl FnOnce(), envelope: &str) -> Delivery {
        let mut host = core::mem::take(self);
        host.open = State {
            waiting: Some(envelope.into()),
            ..State::default()
        };
        HOST.with(|slot| *slot.borrow_mut() = Some(host));
        run();
        *self = HOST
            .with(|slot| slot.borrow_mut().take())
            .unwrap_or_default();
        let state = core::mem::take(&mut self.open);
        Delivery {
            outcome: state.outcome.expect("run finishes the event"),
            children: state.children,
            log: state.log,
        }
    }

    fn fail(&mut self, code: i32, text: &str) -> i32 {
        self.open.error = text.into();
        code
    }

    fn yields(&mut self, bytes: &[u8], buf: &mut [u8]) -> i32 {
        self.open.last = bytes.to_vec();
        if let Some(target) = buf.get_mut(..bytes.len()) {
            target.copy_from_slice(bytes);
        }
        bytes.len() as i32
    }

    fn denies(&mut self, capability: &str) -> Option<i32> {
        self.denied
            .contains(&capability)
            .then(|| self.fail(-3, "it is not granted"))
    }

    fn next(&mut self, buf: &mut [u8]) -> i32 {
        let Some(event) = self.open.waiting.take() else {
            return self.fail(-1, "no more events");
        };
        self.open.event = Some(event.clone());
        self.yields(event.as_bytes(), buf)
    }

    fn field(&mut self, pointer: &[u8], buf: &mut [u8]) -> i32 {
        let Some(event) = self.open.event.clone() else {
            return self.fail(-2, "no event is open");
        };
        let pointer = String::from_utf8_lossy(pointer);
        match json::find(&event, &pointer) {
            Ok(text) => self.yields(json::unquote(text).as_bytes(), buf),
            Err(Code::NotFound) => self.fail(-4, "no such field"),
            Err(_) => self.fail(-2, "the pointer is malformed"),
        }
    }

    fn finish(&mut self, status: i32, bytes: &[u8]) -> i32 {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if self.open.event.is_none() {
            return self.fail(-2, "no event is open");
        }
        self.open.outcome = Some(match status {
            0 if !text.is_empty() && Value::parse(&text).is_err() => {
                return self.fail(-2, "the result is not JSON")
            }
            0 => Outcome::Ok(text),
            1 => Outcome::Retry(text),
            _ => Outcome::Reject(text),
        });
        self.open.event = None;
        0
    }

    fn emit(&mut self, child: &[u8]) -> i32 {
        if let Some(code) = self.denies("emit") {
            return code;
        }
        let child = String::from_utf8_lossy(child).into_owned();
        let Ok(value) = Value::parse(&child) else {
            return self.fail(-2, "the child is not JSON");
        };
        if value
            .get("event_type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .is_empty()
            || value.get("data").is_none()
        {
            return self.fail(-2, "the child has no event_type or no data");
        }
        self.open.children.push(child);
        0
    }

    fn secret(&mut self, name: &[u8], buf: &mut [u8]) -> i32 {
        if let Some(code) = self.denies("secret") {
            return code;
        }
        match self.secrets.get(&*String::from_utf8_lossy(name)).cloned() {
            Some(secret) => self.yields(secret.as_bytes(), buf),
            None => self.fail(-4, "no such secret"),
        }
    }

    fn kv_fault(&mut self, key: &[u8], value: &[u8]) -> Option<i32> {
        if let Some(code) = self.denies("kv") {
            return Some(code);
        }
        match key.len() {
            0 => Some(self.fail(-2, "the key is empty")),
            257.. => Some(self.fail(-5, "the key is over 256 bytes")),
            _ if value.len() > 1 << 20 => Some(self.fail(-5, "the value is over 1 MiB")),
            _ => None,
        }
    }

    fn kv_get(&mut self, key: &[u8], buf: &mut [u8]) -> i32 {
        if let Some(code) = self.kv_fault(key, &[]) {
            return code;
        }
        match self.kv.get(key).cloned() {
            Some(value) => self.yields(&value, buf),
            None => self.fail(-4, "no such key"),
        }
    }

    fn kv_cas(&mut self, key: &[u8], old: Option<&[u8]>, value: &[u8]) -> i32 {
        if let Some(code) = self.kv_fault(key, value) {
            return code;
        }
        if self.kv.get(key).map(Vec::as_slice) != old {
            return self.fail(-8, "the value differs");
        }
        self.kv.insert(key.to_vec(), value.to_vec());
        0
    }

    fn kv_list(&mut self, prefix: &[u8], after: &[u8], buf: &mut [u8]) -> i32 {
        let checked = if prefix.is_empty() { b"k" } else { prefix };
        if let Some(code) = self.kv_fault(checked, &[]) {
            return code;
        }
        let mut page = Vec::new();
        let keys = self.kv.keys();
        for key in keys
            .filter(|key| key.starts_with(prefix) && key.as_slice() > after)
            .take(256)
        {
            if page.len() + 4 + key.len() > 64 << 10 {
                break;
            }
            page.extend((key.len() as u32).to_le_bytes());
            page.extend(key);
        }
        self.yields(&page, buf)
    }

    fn kv_expire(&mut self, key: &[u8], seconds: i32) -> i32 {
        if let Some(code) = self.kv_fault(key, &[]) {
            return code;
        }
        let Ok(seconds) = u32::try_from(seconds) else {
            return self.fail(-2, "the time is below zero");
        };
        if !self.kv.contains_key(key) {
            return self.fail(-4, "no such key");
        }
        self.limits.remove(key);
        if seconds > 0 {
            self.limits.insert(key.to_vec(), seconds);
        }
        0
    }

    fn trace(&mut self, buf: &mut [u8]) -> i32 {
        if self.open.event.is_none() {
            return self.fail(-2, "no event is open");
        }
        match self.trace.clone() {
            trace if trace.is_empty() => self.fail(-4, "the attempt is not traced"),
            trace => self.yields(trace.as_bytes(), buf),
        }
    }

    fn http(&mut self, request: &[u8], buf: &mut [u8]) -> i32 {
        if let Some(code) = self.denies("http") {
            return code;
        }
        self.requests
            .push(String::from_utf8_lossy(request).into_owned());
        match self.responses.pop_front() {
            Some(response) => self.yields(response.as_bytes(), buf),
            None => self.fail(-6, "there is no response"),
        }
    }
}

/// The functions that a module imports from `berth_v1`, for the host of this thread.
pub(crate) mod imports {
    use super::*;
    use core::slice::{from_raw_parts, from_raw_parts_mut};

    fn host<T>(call: impl FnOnce(&mut Host) -> T) -> T {
        HOST.with(|slot| {
            call(
                slot.borrow_mut()
                    .as_mut()
                    .expect("calls to the host are made inside Host::deliver"),
            )
        })
    }

    pub unsafe fn next(buf: *mut u8, cap: usize) -> i32 {
        host(|h| h.next(unsafe { from_raw_parts_mut(buf, cap) }))
    }
    pub unsafe fn field(ptr: *const u8, len: usize, buf: *mut u8, cap: usize) -> i32 {
        host(|h| {
            h.field(unsafe { from_raw_parts(ptr, len) }, unsafe {
                from_raw_parts_mut(buf, cap)
            })
        })
    }
    pub unsafe fn finish(status: i32, ptr: *const u8, len: usize) -> i32 {
        host(|h| h.finish(status, unsafe { from_raw_parts(ptr, len) }))
    }
    pub unsafe fn emit(ptr: *const u8, len: usize) -> i32 {
        host(|h| h.emit(unsafe { from_raw_parts(ptr, len) }))
    }
    pub unsafe fn log(level: i32, ptr: *const u8, len: usize) {
        let text = String::from_utf8_lossy(unsafe { from_raw_parts(ptr, len) }).into_owned();
        host(|h| h.open.log.push((level, text)));
    }
    pub unsafe fn config(buf: *mut u8, cap: usize) -> i32 {
        host(|h| {
            let config = if h.config.is_empty() {
                "{}".into()
            } else {
                h.config.clone()
            };
            h.yields(config.as_bytes(), unsafe { from_raw_parts_mut(buf, cap) })
        })
    }
    pub unsafe fn secret(ptr: *const u8, len: usize, buf: *mut u8, cap: usize) -> i32 {
        host(|h| {
            h.secret(unsafe { from_raw_parts(ptr, len) }, unsafe {
                from_raw_parts_mut(buf, cap)
            })
        })
    }
    pub unsafe fn kv_get(key: *const u8, key_len: usize, buf: *mut u8, cap: usize) -> i32 {
        host(|h| {
            h.kv_get(unsafe { from_raw_parts(key, key_len) }, unsafe {
                from_raw_parts_mut(buf, cap)
            })
        })
    }
    pub unsafe fn kv_set(key: *const u8, key_len: usize, val: *const u8, val_len: usize) -> i32 {
        let (key, value) = unsafe { (from_raw_parts(key, key_len), from_raw_parts(val, val_len)) };
        host(|h| {
            h.kv_fault(key, value).unwrap_or_else(|| {
                h.kv.insert(key.to_vec(), value.to_vec());
                h.limits.remove(key);
                0
            })
        })
    }
    pub unsafe fn kv_cas(
        key: *const u8,
        key_len: usize,
        old: *const u8,
        old_len: i32,
        val: *const u8,
        val_len: usize,
    ) -> i32 {
        let (key, value) = unsafe { (from_raw_parts(key, key_len), from_raw_parts(val, val_len)) };
        let old = (old_len >= 0).then(|| unsafe { from_raw_parts(old, old_len as usize) });
        host(|h| h.kv_cas(key, old, value))
    }
    pub unsafe fn kv_delete(key: *const u8, key_len: usize) -> i32 {
        let key = unsafe { from_raw_parts(key, key_len) };
        host(|h| {
            h.kv_fault(key, &[]).unwrap_or_else(|| {
                h.kv.remove(key);
                h.limits.remove(key);
                0
            })
        })
    }
    pub unsafe fn kv_list(
        prefix: *const u8,
        prefix_len: usize,
        after: *const u8,
        after_len: usize,
        buf: *mut u8,
        cap: usize,
    ) -> i32 {
        let prefix = unsafe { from_raw_parts(prefix, prefix_len) };
        let after = unsafe { from_raw_parts(after, after_len) };
        host(|h| h.kv_list(prefix, after, unsafe { from_raw_parts_mut(buf, cap) }))
    }
    pub unsafe fn kv_expire(key: *const u8, key_len: usize, seconds: i32) -> i32 {
        let key = unsafe { from_raw_parts(key, key_len) };
        host(|h| h.kv_expire(key, seconds))
    }
    pub unsafe fn trace(buf: *mut u8, cap: usize) -> i32 {
        host(|h| h.trace(unsafe { from_raw_parts_mut(buf, cap) }))
    }
    pub unsafe fn http(req: *const u8, req_len: usize, buf: *mut u8, cap: usize) -> i32 {
        host(|h| {
            h.http(unsafe { from_raw_parts(req, req_len) }, unsafe {
                from_raw_parts_mut(buf, cap)
            })
        })
    }
    pub unsafe fn attempt() -> i32 {
        host(|h| h.attempt.max(1) as i32)
    }
    pub unsafe fn remaining() -> i32 {
        5000
    }
    pub unsafe fn last(buf: *mut u8, cap: usize) -> i32 {
        host(|h| {
            let last = core::mem::take(&mut h.open.last);
            h.yields(&last, unsafe { from_raw_parts_mut(buf, cap) })
        })
    }
    pub unsafe fn error(buf: *mut u8, cap: usize) -> i32 {
        host(|h| {
            let text = h.open.error.clone();
            h.yields(text.as_bytes(), unsafe { from_raw_parts_mut(buf, cap) })
        })
    }
}
