use alloc::string::String;
use core::fmt::Write;

use crate::json::escape;

/// Writes a JSON object, member by member. It does not check for names given twice.
///
/// ```
/// use berth::Object;
///
/// let text = Object::new().str("order", "o-1").int("cents", 1999).text();
/// assert_eq!(text, r#"{"order":"o-1","cents":1999}"#);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Object {
    json: String,
}

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        let mut json = String::with_capacity(128);
        json.push('{');
        Self { json }
    }

    /// Adds a string.
    pub fn str(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        escape(&mut self.json, value);
        self
    }

    /// Adds a whole number.
    pub fn int(mut self, name: &str, value: impl Into<i64>) -> Self {
        self.name(name);
        push_int(&mut self.json, value.into());
        self
    }

    /// Adds a number; one that is not finite becomes null.
    pub fn float(mut self, name: &str, value: f64) -> Self {
        self.name(name);
        if value.is_finite() {
            let _ = write!(self.json, "{value}");
        } else {
            self.json.push_str("null");
        }
        self
    }

    /// Adds true or false.
    pub fn bool(mut self, name: &str, value: bool) -> Self {
        self.name(name);
        self.json.push_str(if value { "true" } else { "false" });
        self
    }

    /// Adds an array of strings.
    pub fn strs<T: AsRef<str>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.name(name);
        self.json.push('[');
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                self.json.push(',');
            }
            escape(&mut self.json, value.as_ref());
        }
        self.json.push(']');
        self
    }

    /// Adds a value that is JSON text already. It is not checked.
    pub fn raw(mut self, name: &str, json: &str) -> Self {
        self.name(name);
        self.json.push_str(json);
        self
    }

    /// The object as JSON text.
    pub fn text(mut self) -> String {
        self.json.push('}');
        self.json
    }

    fn name(&mut self, name: &str) {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        escape(&mut self.json, name);
        self.json.push(':');
    }
}

/// Appends a number in decimal digits, without the formatter.
fn push_int(out: &mut String, value: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut left = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.push_str(core::str::from_utf8(&digits[at..]).unwrap_or_default());
}
