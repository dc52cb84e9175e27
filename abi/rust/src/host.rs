use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{Code, HostError};
use crate::json::{ParseError, Value};
use crate::{wire, Object};

/// The handler's configuration as JSON text, `{}` if it has none. It does not change while an
/// instance lives.
pub fn config() -> String {
    match yielded("config", 1024, wire::config) {
        Ok(bytes) => text(bytes),
        Err(error) => panic!("{error}"), // the host always has one
    }
}

/// The handler's configuration as a [`Value`].
pub fn config_value() -> Result<Value, ParseError> {
    Value::parse(&config())
}

/// A secret by its name. It needs the capability `secret` for that name: DENIED without it,
/// NOT_FOUND if the host has no such secret.
pub fn secret(name: &str) -> Result<String, HostError> {
    yielded("secret", 256, |buf| wire::secret(name, buf)).map(text)
}

/// The W3C traceparent of the current attempt, for requests to other services. None if the host
/// does not trace it. Without an open event the error is INVALID.
pub fn trace() -> Result<Option<String>, HostError> {
    match yielded("trace", 64, wire::trace) {
        Ok(bytes) => Ok(Some(text(bytes))),
        Err(error) if error.code == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a line to the host's log. The host keeps 8 KiB of a line, and discards lines of a
/// plugin that writes too many.
pub fn debug(text: &str) {
    wire::log(0, text);
}

/// Writes a line to the host's log; see [`debug`].
pub fn info(text: &str) {
    wire::log(1, text);
}

/// Writes a line to the host's log; see [`debug`].
pub fn warn(text: &str) {
    wire::log(2, text);
}

/// Writes a line to the host's log; see [`debug`].
pub fn error(text: &str) {
    wire::log(3, text);
}

/// An event that follows from the open one. The host publishes all children together when the
/// event succeeds, and once, also if the event is delivered again. An event may have 64.
///
/// ```no_run
/// # fn f() -> Result<(), berth::HostError> {
/// berth::Child::new("fraud_suspected", r#"{"order_id":"o-1"}"#).subject("o-1").emit()
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Child {
    event_type: String,
    data: String,
    subject: String,
    idempotency_key: String,
    deliver_at: String,
    deliver_after: Duration,
}

impl Child {
    /// A child of that type, whose data is JSON text.
    pub fn new(event_type: impl Into<String>, data: impl Into<String>) -> Self {
        Self {
            event_type: event_type.into(),
            data: data.into(),
            subject: String::new(),
            idempotency_key: String::new(),
            deliver_at: String::new(),
            deliver_after: Duration::ZERO,
        }
    }

    /// Sets what the child is about.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Sets the key that makes the child unique. The host derives one from the parent's if
    /// there is none.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = key.into();
        self
    }

    /// Defers the child to a time, as RFC 3339: it is durable with its parent, and delivered
    /// when it is due, at most a year ahead. A time in the past means immediately.
    pub fn deliver_at(mut self, time: impl Into<String>) -> Self {
        self.deliver_at = time.into();
        self
    }

    /// Defers the child, in whole milliseconds from the commit of its parent. It cannot be used
    /// together with [`deliver_at`](Self::deliver_at).
    pub fn deliver_after(mut self, time: Duration) -> Self {
        self.deliver_after = time;
        self
    }

    /// Adds the child to the open event. In a batch, use [`Event::emit`](crate::Event::emit). It needs the capability `emit` for the child's type
    /// (DENIED).
    pub fn emit(self) -> Result<(), HostError> {
        self.emit_from(None)
    }

    pub(crate) fn emit_from(self, parent: Option<usize>) -> Result<(), HostError> {
        let mut metadata = Object::new();
        if !self.idempotency_key.is_empty() {
            metadata = metadata.str("idempotency_key", &self.idempotency_key);
        }
        if !self.subject.is_empty() {
            metadata = metadata.str("subject", &self.subject);
        }
        if !self.deliver_at.is_empty() {
            metadata = metadata.str("deliver_at", &self.deliver_at);
        }
        if !self.deliver_after.is_zero() {
            let time = format!("{}ms", self.deliver_after.as_millis());
            metadata = metadata.str("deliver_after", &time);
        }
        let mut child = Object::new()
            .str("event_type", &self.event_type)
            .raw("data", &self.data)
            .raw("metadata", &metadata.text());
        if let Some(parent) = parent {
            child = child.int("parent_index", parent as i64);
        }
        HostError::check("emit", wire::emit(&child.text()))
    }
}

/// The bytes that a yielding function of the host writes into the buffer it is given, which
/// has `size` bytes at first, or the error of its negative answer.
pub(crate) fn yielded(
    call: &'static str,
    size: usize,
    function: impl FnOnce(&mut [u8]) -> i32,
) -> Result<Vec<u8>, HostError> {
    let mut buf = vec![0; size];
    let n = function(&mut buf);
    HostError::check(call, n)?;
    let n = n as usize;
    if n > buf.len() {
        buf = vec![0; n];
        HostError::check("last", wire::last(&mut buf))?;
    }
    buf.truncate(n);
    Ok(buf)
}

/// The text of bytes of the host.
pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
