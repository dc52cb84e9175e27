use alloc::format;
use alloc::string::{String, ToString};
use core::cell::RefCell;
use core::fmt::Write;
use core::time::Duration;

use crate::error::{Code, HostError, NOT_FOUND};
use crate::json::{self, Value};
use crate::scratch::{Scratch, FIRST};
use crate::{wire, Child};

/// The open event, or one of a [`Batch`](crate::Batch). Texts that it returns are valid until
/// the handler returns.
pub struct Event {
    scratch: Scratch,
    /// The index within the batch, and the pointer to the event there.
    pub(crate) index: Option<usize>,
    path: RefCell<String>,
}

/// What the host adds to an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The event's id, which no other event has.
    pub event_id: String,
    /// The same each time this event is delivered, and for an event that was published twice.
    pub idempotency_key: String,
    /// The producer.
    pub source: String,
    /// What the event is about, such as an order's id; empty if there is none.
    pub subject: String,
    /// When the event was accepted, as RFC 3339.
    pub time: String,
    /// The first event of the chain.
    pub correlation_id: String,
    /// The event that caused this one.
    pub causation_id: Option<String>,
    /// The W3C trace context of the event.
    pub traceparent: Option<String>,
    /// How many events precede this one in the chain.
    pub hops: u32,
}

impl Event {
    pub(crate) fn new() -> Self {
        Self {
            scratch: Scratch::new(FIRST),
            index: None,
            path: RefCell::default(),
        }
    }

    /// An event of a batch; its buffer begins small.
    pub(crate) fn of_batch(index: usize) -> Self {
        Self {
            scratch: Scratch::new(256),
            index: Some(index),
            path: RefCell::default(),
        }
    }

    /// Takes back all texts.
    pub(crate) fn clear(&mut self) {
        self.scratch.clear();
    }

    /// Waits for an event, and returns false when there are no more.
    pub(crate) fn next(&mut self) -> bool {
        self.scratch.clear();
        // The envelope is fetched when it is asked for.
        let n = wire::next(&mut []);
        if n < 0 && Code::of(n) != Code::End {
            panic!("{}", HostError::of("next", n));
        }
        n >= 0
    }

    /// The value at a JSON Pointer (RFC 6901) into the envelope, such as `/data/status`. A
    /// string comes as its text, any other value as JSON: a null is `null`.
    ///
    /// # Panics
    ///
    /// If the pointer is malformed: it is neither empty nor begins with `/`, or has a `~`
    /// that is not in `~0` or `~1`.
    #[track_caller]
    pub fn field(&self, pointer: &str) -> Option<&str> {
        match self.fetch(pointer) {
            Ok(text) => Some(text),
            Err(NOT_FOUND) => None,
            Err(code) => panic!("{pointer}: {}", HostError::of("field", code)),
        }
    }

    /// As [`field`](Self::field), with an error instead of a panic or None.
    pub fn try_field(&self, pointer: &str) -> Result<&str, HostError> {
        self.fetch(pointer)
            .map_err(|code| HostError::of("field", code))
    }

    fn fetch(&self, pointer: &str) -> Result<&str, i32> {
        let bytes = match self.index {
            // A malformed pointer stays one.
            Some(index) if pointer.is_empty() || pointer.starts_with('/') => {
                let mut path = self.path.borrow_mut();
                path.clear();
                let _ = write!(path, "/events/{index}{pointer}");
                self.scratch.fill(|buf| wire::field(&path, buf))?
            }
            _ => self.scratch.fill(|buf| wire::field(pointer, buf))?,
        };
        Ok(core::str::from_utf8(bytes).expect("the host yields UTF-8"))
    }

    /// The whole number at a JSON Pointer. None if there is nothing or something else, such
    /// as a fraction, or a number that an i64 cannot have. A string of digits is read as a
    /// number.
    #[track_caller]
    pub fn int(&self, pointer: &str) -> Option<i64> {
        number(self.field(pointer)?)?.parse().ok()
    }

    /// The number at a JSON Pointer.
    #[track_caller]
    pub fn float(&self, pointer: &str) -> Option<f64> {
        number(self.field(pointer)?)?.parse().ok()
    }

    /// The `true` or `false` at a JSON Pointer.
    #[track_caller]
    pub fn bool(&self, pointer: &str) -> Option<bool> {
        self.field(pointer)?.parse().ok()
    }

    /// The value at a JSON Pointer as the JSON text it is in the envelope: strings have their
    /// quotes. It panics as [`field`](Self::field) does.
    #[track_caller]
    pub fn raw(&self, pointer: &str) -> Option<&str> {
        self.field(pointer)?; // its parent is an object or an array, not a text that looks like one
                              // The host yields strings unquoted, so ask for the parent.
        let (parent, name) = match pointer.rfind('/') {
            Some(at) => pointer.split_at(at),
            None => ("", pointer),
        };
        match json::find(self.field(parent)?, name) {
            Ok(text) => Some(text),
            Err(Code::NotFound) => None,
            Err(code) => panic!("{pointer}: {code}"),
        }
    }

    /// The whole envelope, byte for byte as it was published.
    pub fn envelope(&self) -> &str {
        self.field("").unwrap_or_default()
    }

    /// The event's data as JSON text.
    pub fn data(&self) -> &str {
        self.raw("/data").unwrap_or("null")
    }

    /// The event's data as a [`Value`].
    pub fn value(&self) -> Result<Value, json::ParseError> {
        Value::parse(self.data())
    }

    /// The event's type, such as `order_status_changed`.
    pub fn event_type(&self) -> &str {
        self.text("/event_type")
    }

    /// The event's id, which no other event has.
    pub fn id(&self) -> &str {
        self.text("/metadata/event_id")
    }

    /// The key that is the same each time this event is delivered.
    pub fn idempotency_key(&self) -> &str {
        self.text("/metadata/idempotency_key")
    }

    /// What the event is about, such as an order's id; empty if there is none.
    pub fn subject(&self) -> &str {
        self.text("/metadata/subject")
    }

    fn text(&self, pointer: &str) -> &str {
        self.field(pointer).unwrap_or_default()
    }

    /// Everything that the host adds to the event.
    pub fn metadata(&self) -> Metadata {
        let value = self
            .field("/metadata")
            .and_then(|text| Value::parse(text).ok())
            .unwrap_or(Value::Null);
        let text = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .map(ToString::to_string)
        };
        Metadata {
            event_id: text("event_id").unwrap_or_default(),
            idempotency_key: text("idempotency_key").unwrap_or_default(),
            source: text("source").unwrap_or_default(),
            subject: text("subject").unwrap_or_default(),
            time: text("time").unwrap_or_default(),
            correlation_id: text("correlation_id").unwrap_or_default(),
            causation_id: text("causation_id"),
            traceparent: text("traceparent"),
            hops: value.get("hops").and_then(Value::as_i64).unwrap_or(0) as u32,
        }
    }

    /// 1 when the event is delivered for the first time, 2 the second time.
    pub fn attempt(&self) -> u32 {
        wire::attempt().max(0) as u32
    }

    /// Adds a child to this event, which [`Child::emit`] does for the open one. In a batch the
    /// child is published only if this event succeeds.
    pub fn emit(&self, child: Child) -> Result<(), HostError> {
        child.emit_from(self.index)
    }

    /// The time until the event's deadline, in whole milliseconds. The host ends an instance
    /// that exceeds it.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(wire::remaining().max(0) as u64)
    }
}

/// The text if it begins as a number of JSON does: Rust reads `+1` and `inf`, too.
fn number(text: &str) -> Option<&str> {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        .then_some(text)
}

impl core::fmt::Debug for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&format!("Event({})", self.envelope()))
    }
}
