use alloc::string::String;

use crate::json::Value;
use crate::Object;

/// The result of a handled event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub(crate) json: String,
}

impl Answer {
    /// The empty result.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A result that is JSON text already, of at most 64 KiB. It is not checked here: if it
    /// is not JSON, the host refuses it, and the event is rejected.
    pub fn json(text: impl Into<String>) -> Self {
        Self { json: text.into() }
    }

    /// The result as JSON text, empty if there is none.
    pub fn text(&self) -> &str {
        &self.json
    }
}

impl From<()> for Answer {
    fn from(_: ()) -> Self {
        Self::empty()
    }
}

impl From<Object> for Answer {
    fn from(object: Object) -> Self {
        Self {
            json: object.text(),
        }
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self {
            json: alloc::format!("{value}"),
        }
    }
}
