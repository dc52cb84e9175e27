use alloc::string::{String, ToString};
use alloc::vec;
use core::fmt;

use crate::{wire, Answer};

/// What a handler returns: an [`Answer`], or the [`Error`] that ends the event otherwise.
pub type Result<T = Answer> = core::result::Result<T, Error>;

/// Why an event is not done. `?` makes a retry of any other error.
pub struct Error {
    pub(crate) reject: bool,
    pub(crate) reason: String,
}

impl Error {
    /// The event is delivered again after a pause; after the last attempt it becomes a dead
    /// letter. The host keeps 8 KiB of the reason.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self {
            reject: false,
            reason: reason.into(),
        }
    }

    /// The event becomes a dead letter immediately. The host keeps 8 KiB of the reason.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self {
            reject: true,
            reason: reason.into(),
        }
    }

    /// Whether the event becomes a dead letter immediately.
    pub fn is_reject(&self) -> bool {
        self.reject
    }

    /// The reason that the operator sees.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.reject { "reject" } else { "retry" };
        write!(f, "{status}: {}", self.reason)
    }
}

// Error itself is no core::error::Error: the conversion would overlap with From<T> for T.
impl<E: core::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self::retry(error.to_string())
    }
}

/// Why a call to the host failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// There are no more events. [`run`](crate::run()) handles it.
    End,
    /// An argument is malformed.
    Invalid,
    /// The capability is not granted to this plugin.
    Denied,
    /// There is no such key, field or secret.
    NotFound,
    /// Something is over a limit.
    TooLarge,
    /// The host's backend failed; a retry may help.
    Unavailable,
    /// The event's deadline passed, or the call's own.
    Timeout,
    /// The value differs from the one it was compared with.
    Conflict,
    /// A code that this SDK does not know.
    Other(i32),
}

/// The number of [`Code::NotFound`], for calls where it is no failure.
pub(crate) const NOT_FOUND: i32 = -4;

impl Code {
    pub(crate) fn of(number: i32) -> Self {
        match number {
            -1 => Self::End,
            -2 => Self::Invalid,
            -3 => Self::Denied,
            NOT_FOUND => Self::NotFound,
            -5 => Self::TooLarge,
            -6 => Self::Unavailable,
            -7 => Self::Timeout,
            -8 => Self::Conflict,
            other => Self::Other(other),
        }
    }

    /// The name in the ABI, such as `NOT_FOUND`.
    pub fn name(self) -> &'static str {
        match self {
            Self::End => "END",
            Self::Invalid => "INVALID",
            Self::Denied => "DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::TooLarge => "TOO_LARGE",
            Self::Unavailable => "UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::Conflict => "CONFLICT",
            Self::Other(_) => "UNKNOWN",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of a call to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostError {
    /// The function of the ABI, such as `kv_get`.
    pub call: &'static str,
    /// The reason.
    pub code: Code,
    /// The host's explanation; it may be empty.
    pub text: String,
}

impl HostError {
    /// The error of a call that has just failed, with the host's text.
    #[cold]
    pub(crate) fn of(call: &'static str, number: i32) -> Self {
        let mut text = vec![0; 256];
        let n = wire::error(&mut text).max(0) as usize;
        if n > text.len() {
            text = vec![0; n];
            wire::error(&mut text);
        }
        text.truncate(n);
        Self {
            call,
            code: Code::of(number),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// Nothing for a number that is not negative, else the error.
    pub(crate) fn check(call: &'static str, number: i32) -> core::result::Result<(), Self> {
        if number < 0 {
            return Err(Self::of(call, number));
        }
        Ok(())
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        f.write_str(": ")?;
        f.write_str(self.code.name())?;
        if !self.text.is_empty() {
            f.write_str(": ")?;
            f.write_str(&self.text)?;
        }
        Ok(())
    }
}

impl core::error::Error for HostError {}
