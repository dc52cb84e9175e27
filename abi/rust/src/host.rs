use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::HostError;
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
}

impl Child {
    /// A child of that type, whose data is JSON text.
    pub fn new(event_type: impl Into<String>, data: impl Into<String>) -> Self {
        Self {
            event_type: event_type.into(),
            data: data.into(),
            subject: String::new(),
            idempotency_key: String::new(),
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

    /// Adds the child to the open event. It needs the capability `emit` for the child's type
    /// (DENIED).
    pub fn emit(self) -> Result<(), HostError> {
        let mut metadata = Object::new();
        if !self.idempotency_key.is_empty() {
            metadata = metadata.str("idempotency_key", &self.idempotency_key);
        }
        if !self.subject.is_empty() {
            metadata = metadata.str("subject", &self.subject);
        }
        let child = Object::new()
            .str("event_type", &self.event_type)
            .raw("data", &self.data)
            .raw("metadata", &metadata.text());
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
