//! JSON without dependencies: strings for results, single values by JSON Pointer, and whole
//! values, for configurations and small data.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error::Code;

/// Arrays and objects may nest this deep in [`Value::parse`].
const DEPTH: usize = 128;

/// Appends a text as a JSON string, with its quotes.
pub fn escape(out: &mut String, text: &str) {
    out.push('"');
    let mut clean = 0; // text[..clean] is in out
    for (i, c) in text.bytes().enumerate() {
        if c >= b' ' && c != b'"' && c != b'\\' {
            continue;
        }
        out.push_str(&text[clean..i]);
        clean = i + 1;
        out.push('\\');
        if c < b' ' {
            out.push_str("u00");
            out.push(char::from(b'0' + (c >> 4)));
            out.push(char::from(b"0123456789abcdef"[usize::from(c & 15)]));
        } else {
            out.push(char::from(c));
        }
    }
    out.push_str(&text[clean..]);
    out.push('"');
}

/// The text as a JSON string, with its quotes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    escape(&mut out, text);
    out
}

/// The text of a JSON string, given with its quotes. Half of a surrogate pair is U+FFFD.
/// Anything that is no string is returned as it is.
pub fn unquote(json: &str) -> Cow<'_, str> {
    let Some(inner) = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return Cow::Borrowed(json);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut unread = inner;
    while let Some(at) = unread.find('\\') {
        out.push_str(&unread[..at]);
        unread = &unread[at + 1..];
        let Some(c) = unread.chars().next() else {
            break;
        };
        unread = &unread[c.len_utf8()..];
        out.push(match c {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => escaped(&mut unread),
            other => other,
        });
    }
    out.push_str(unread);
    Cow::Owned(out)
}

/// The character of the digits after `\u`, of two escapes if it is a surrogate pair.
fn escaped(unread: &mut &str) -> char {
    let Some(first) = hex(unread) else {
        return char::REPLACEMENT_CHARACTER;
    };
    *unread = &unread[4..];
    if (0xd800..0xdc00).contains(&first) {
        if let Some(second) = unread
            .strip_prefix("\\u")
            .and_then(hex)
            .filter(|n| (0xdc00..0xe000).contains(n))
        {
            *unread = &unread[6..];
            return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                .unwrap_or(char::REPLACEMENT_CHARACTER);
        }
    }
    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn hex(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    digits
        .bytes()
        .all(|c| c.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())?
}

/// The value at a JSON Pointer (RFC 6901), as the JSON text it is in `json`. Of a name given
/// twice the last value counts. The code is NOT_FOUND or, for a malformed pointer, INVALID.
///
/// ```
/// assert_eq!(berth::json::find(r#"{"a":[1.0,{"b":"x"}]}"#, "/a/1/b"), Ok("\"x\""));
/// ```
pub fn find<'a>(json: &'a str, pointer: &str) -> Result<&'a str, Code> {
    if !pointer.is_empty() && !pointer.starts_with('/') || malformed(pointer) {
        return Err(Code::Invalid);
    }
    let mut value = json.trim_matches(blank);
    for token in pointer.split('/').skip(1) {
        let mut scan = Scan { text: value, at: 0 };
        value = match value.as_bytes().first() {
            Some(b'{') => scan.member(&unescaped(token)),
            Some(b'[') => index(token).and_then(|n| scan.element(n)),
            _ => None,
        }
        .ok_or(Code::NotFound)?;
    }
    Ok(value)
}

/// How many values an array has.
pub(crate) fn count(array: &str) -> usize {
    Scan { text: array, at: 0 }.count()
}

fn malformed(pointer: &str) -> bool {
    pointer
        .split('~')
        .skip(1)
        .any(|after| !after.starts_with(['0', '1']))
}

fn unescaped(token: &str) -> Cow<'_, str> {
    if !token.contains('~') {
        return Cow::Borrowed(token);
    }
    Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
}

fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|c| c.is_ascii_digit());
    (digits && (token == "0" || !token.starts_with('0'))).then(|| token.parse().ok())?
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// A position in JSON text. It moves over values without understanding them; text that is not
/// JSON yields None or a part of it.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|c| blank(char::from(c))) {
            self.at += 1;
        }
    }

    /// Moves over the byte c and the blanks before it.
    fn take(&mut self, c: u8) -> bool {
        self.blanks();
        let is = self.peek() == Some(c);
        self.at += usize::from(is);
        is
    }

    /// Moves over a string.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        if !self.take(b'"') {
            return None;
        }
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return self.text.get(start..self.at);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// Moves over a value of any kind and the blanks before it.
    fn value(&mut self) -> Option<&'a str> {
        self.blanks();
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':' | b' ' | b'\t' | b'\n' | b'\r') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b',' | b':' | b'}' | b']') | None => return None,
                Some(_) => self.word(),
            }
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }

    /// Moves over a number, true, false or null.
    fn word(&mut self) {
        let ends =
            |c| matches!(c, b',' | b':' | b'}' | b']' | b'{' | b'[' | b'"') || blank(char::from(c));
        while self.peek().is_some_and(|c| !ends(c)) {
            self.at += 1;
        }
    }

    /// The last value of that name in the object at the position.
    fn member(&mut self, name: &str) -> Option<&'a str> {
        let mut found = None;
        if !self.take(b'{') {
            return None;
        }
        while !self.take(b'}') {
            self.blanks();
            let key = self.string()?;
            if !self.take(b':') {
                return None;
            }
            let value = self.value()?;
            if unquote(key) == name {
                found = Some(value);
            }
            self.take(b',');
        }
        found
    }

    /// How many values the array at the position has.
    fn count(&mut self) -> usize {
        let mut n = 0;
        self.take(b'[');
        while self.value().is_some() {
            n += 1;
            self.take(b',');
        }
        n
    }

    /// The n-th value of the array at the position.
    fn element(&mut self, n: usize) -> Option<&'a str> {
        if !self.take(b'[') {
            return None;
        }
        for _ in 0..n {
            self.value()?;
            if !self.take(b',') {
                return None;
            }
        }
        self.value()
    }
}

/// A JSON value. Numbers keep their text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object, with its members in order.
    Object(Vec<(String, Value)>),
}

/// The text is not JSON, or nests too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The offset in bytes.
    pub at: usize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON at byte {}", self.at)
    }
}

impl core::error::Error for ParseError {}

impl Value {
    /// Reads a JSON text, which nests at most 128 deep.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut scan = Scan { text, at: 0 };
        let value = scan.parse(DEPTH);
        scan.blanks();
        match value {
            Some(value) if scan.at == text.len() => Ok(value),
            _ => Err(ParseError {
                at: scan.at.min(text.len()),
            }),
        }
    }

    /// The member of an object, the last of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(members) => members
                .iter()
                .rev()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// true or false.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The values of an array; none if it is something else.
    pub fn items(&self) -> &[Value] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// The members of an object; none if it is something else.
    pub fn members(&self) -> &[(String, Value)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => f.write_str(if *value { "true" } else { "false" }),
            Self::Number(text) => f.write_str(text),
            Self::String(text) => f.write_str(&quote(text)),
            Self::Array(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    f.write_str(if i > 0 { "," } else { "" })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    f.write_str(if i > 0 { "," } else { "" })?;
                    f.write_str(&quote(name))?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Scan<'_> {
    fn parse(&mut self, depth: usize) -> Option<Value> {
        self.blanks();
        match self.peek()? {
            b'"' => self.text_value().map(Value::String),
            b'[' => {
                let depth = depth.checked_sub(1)?;
                self.at += 1;
                let mut items = Vec::new();
                if !self.take(b']') {
                    loop {
                        items.push(self.parse(depth)?);
                        if !self.take(b',') {
                            break;
                        }
                    }
                    self.take(b']').then_some(())?;
                }
                Some(Value::Array(items))
            }
            b'{' => {
                let depth = depth.checked_sub(1)?;
                self.at += 1;
                let mut members = Vec::new();
                if !self.take(b'}') {
                    loop {
                        self.blanks();
                        let name = self.text_value()?;
                        self.take(b':').then_some(())?;
                        members.push((name, self.parse(depth)?));
                        if !self.take(b',') {
                            break;
                        }
                    }
                    self.take(b'}').then_some(())?;
                }
                Some(Value::Object(members))
            }
            _ => {
                let start = self.at;
                self.word();
                let value = match &self.text[start..self.at] {
                    "null" => Value::Null,
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    text if is_number(text.as_bytes()) => Value::Number(text.into()),
                    _ => {
                        self.at = start;
                        return None;
                    }
                };
                Some(value)
            }
        }
    }

    /// The text of the string at the position, if it is one of JSON.
    fn text_value(&mut self) -> Option<String> {
        let start = self.at;
        let quoted = self.string()?;
        let mut bytes = quoted.bytes();
        let bad = |c: u8| c < b' ';
        while let Some(c) = bytes.next() {
            let valid = match c {
                b'\\' => match bytes.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => true,
                    b'u' => (0..4).all(|_| bytes.next().is_some_and(|c| c.is_ascii_hexdigit())),
                    _ => false,
                },
                c => !bad(c),
            };
            if !valid {
                self.at = start;
                return None;
            }
        }
        Some(unquote(quoted).into_owned())
    }
}

/// Whether the text is a number of JSON.
fn is_number(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> usize {
        text.iter().take_while(|c| c.is_ascii_digit()).count()
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || whole > 1 && text[0] == b'0' {
        return false;
    }
    let mut text = &text[whole..];
    if let Some(fraction) = text.strip_prefix(b".") {
        let n = digits(fraction);
        if n == 0 {
            return false;
        }
        text = &fraction[n..];
    }
    if let [b'e' | b'E', exponent @ ..] = text {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(
            quote("a\"\\\n\u{0}\u{1f}é\u{2028}😀"),
            "\"a\\\"\\\\\\u000a\\u0000\\u001fé\u{2028}😀\""
        );
    }

    #[test]
    fn strings_are_unescaped() {
        for (json, text) in [
            (r#""""#, ""),
            (r#""a\/\b\f\n\r\t\"\\z""#, "a/\u{8}\u{c}\n\r\t\"\\z"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83dx""#, "\u{fffd}x"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ude00\u0000""#, "\u{fffd}\u{0}"),
            ("17", "17"),
        ] {
            assert_eq!(unquote(json), text, "{json}");
        }
    }

    #[test]
    fn texts_survive_quoting() {
        let text: String = (0..0x3000).filter_map(char::from_u32).collect();
        assert_eq!(unquote(&quote(&text)), text);
        assert_eq!(Value::parse(&quote(&text)), Ok(Value::String(text)));
    }

    #[test]
    fn values_survive() {
        for text in [
            "null",
            "[]",
            "{}",
            r#"[1.0,-0,1e400,{"a":[true,false,null],"b":"\"\u0000"}]"#,
        ] {
            assert_eq!(Value::parse(text).unwrap().to_string(), text);
        }
        let value = Value::parse(" { \"a\" : 1 , \"a\" : [ 2 ] , \"b\" : \"c\" } ").unwrap();
        assert_eq!(value.get("a").unwrap().items()[0].as_i64(), Some(2));
        assert_eq!(value.get("b").unwrap().as_str(), Some("c"));
        assert_eq!(value.members().len(), 3);
    }

    #[test]
    fn damaged_values_are_errors() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            "-",
            "+1",
            "1e",
            "nul",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "1 2",
            "[]]",
            "{\"a\" 1}",
        ] {
            assert!(Value::parse(text).is_err(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        assert!(Value::parse(&deep).is_err());
        assert!(Value::parse(&deep[1..deep.len() - 1]).is_ok());
    }

    #[test]
    fn damaged_texts_end_the_search() {
        let whole = r#"{"a":[1,"x\"y",{"b":null}],"c":{"d":"é"}}"#;
        for end in 0..whole.len() {
            let Some(cut) = whole.get(..end) else {
                continue;
            };
            for pointer in ["", "/a", "/a/1", "/a/2/b", "/c/d", "/z"] {
                let _ = find(cut, pointer);
            }
        }
        assert_eq!(find(whole, "/c/d"), Ok("\"é\""));
    }
}
