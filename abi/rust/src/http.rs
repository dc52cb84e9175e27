//! HTTP requests through the host. They need the capability `http` with the URL's host on its
//! list (DENIED).
//!
//! ```no_run
//! # fn f() -> Result<(), berth::HostError> {
//! let response = berth::http::Request::post("https://api.example.com/score")
//!     .header("content-type", "application/json")
//!     .body("{}")
//!     .send()?;
//! # Ok(()) }
//! ```

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::error::{Code, HostError};
use crate::host::{text, yielded};
use crate::json::Value;
use crate::{base64, wire, Object};

/// A request.
#[derive(Clone, Debug)]
#[must_use]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The response to a request, of any status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Request {
    /// A request with that method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the request. The error is UNAVAILABLE or TIMEOUT if there is no response, and
    /// TOO_LARGE if request or response are over the host's limit.
    pub fn send(self) -> Result<Response, HostError> {
        let answer = yielded("http", 4096, |buf| wire::http(&self.json(), buf)).map(text)?;
        let malformed = || HostError {
            call: "http",
            code: Code::Invalid,
            text: "the host's response cannot be read".into(),
        };
        Response::of(&Value::parse(&answer).map_err(|_| malformed())?).ok_or_else(malformed)
    }

    fn json(&self) -> String {
        let mut request = Object::new()
            .str("method", &self.method)
            .str("url", &self.url);
        if !self.headers.is_empty() {
            let headers = self
                .headers
                .iter()
                .fold(Object::new(), |object, (name, value)| {
                    object.str(name, value)
                });
            request = request.raw("headers", &headers.text());
        }
        match core::str::from_utf8(&self.body) {
            Ok("") => request,
            Ok(body) => request.str("body", body),
            Err(_) => request.str("body_base64", &base64::encode(&self.body)),
        }
        .text()
    }
}

impl Response {
    fn of(value: &Value) -> Option<Self> {
        let body = match (value.get("body"), value.get("body_base64")) {
            (Some(body), _) => body.as_str()?.as_bytes().to_vec(),
            (None, Some(body)) => base64::decode(body.as_str()?)?,
            (None, None) => Vec::new(),
        };
        let headers = value.get("headers").map(Value::members).unwrap_or_default();
        Some(Self {
            status: u16::try_from(value.get("status")?.as_i64()?).ok()?,
            headers: headers
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_string())))
                .collect(),
            body,
        })
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; what is not UTF-8 in it is U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}
