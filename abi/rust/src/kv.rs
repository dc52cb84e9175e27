//! The plugin's durable state, shared by all its instances and versions. Each call is its own
//! transaction and takes effect immediately, also if the event fails, unless the manifest has
//! `"state": "atomic"`: then the writes of an event take effect together when it succeeds, with
//! its children, and otherwise not at all. Keys are 1 to 256 bytes,
//! values at most 1 MiB (TOO_LARGE). It needs the capability `kv` (DENIED).

use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{Code, HostError};
use crate::host::yielded;
use crate::wire;

/// The value of a key, or None if there is no such key.
pub fn get(key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, HostError> {
    match yielded("kv_get", 1024, |buf| wire::kv_get(key.as_ref(), buf)) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a value; the last write wins.
pub fn set(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), HostError> {
    HostError::check("kv_set", wire::kv_set(key.as_ref(), value.as_ref()))
}

/// Writes a value only if the present one equals `old`, or, if `old` is None, only if there is
/// none. Otherwise the error is CONFLICT.
pub fn cas(
    key: impl AsRef<[u8]>,
    old: Option<&[u8]>,
    value: impl AsRef<[u8]>,
) -> Result<(), HostError> {
    HostError::check("kv_cas", wire::kv_cas(key.as_ref(), old, value.as_ref()))
}

/// Removes a key. A key that is not there is no error.
pub fn delete(key: impl AsRef<[u8]>) -> Result<(), HostError> {
    HostError::check("kv_delete", wire::kv_delete(key.as_ref()))
}

/// Has a key disappear after a time, which is rounded up to seconds. Zero removes the limit, and
/// so does [`set`]; [`cas`] keeps it. The error is NOT_FOUND if there is no such key, and INVALID
/// for more than 2^31-1 seconds.
pub fn expire(key: impl AsRef<[u8]>, after: Duration) -> Result<(), HostError> {
    let seconds = after
        .as_secs()
        .saturating_add(u64::from(after.subsec_nanos() > 0));
    let seconds = i32::try_from(seconds).unwrap_or(-1); // which the host refuses
    HostError::check("kv_expire", wire::kv_expire(key.as_ref(), seconds))
}

/// The keys that begin with `prefix`, in bytewise order. They are asked for as they are needed:
/// keys written meanwhile may or may not appear.
pub fn keys(prefix: impl Into<Vec<u8>>) -> Keys {
    Keys {
        prefix: prefix.into(),
        after: Vec::new(),
        page: Vec::new(),
        at: 0,
        done: false,
    }
}

/// The iterator of [`keys`]. It ends after an error.
#[derive(Debug)]
pub struct Keys {
    prefix: Vec<u8>,
    after: Vec<u8>,
    page: Vec<u8>,
    at: usize,
    done: bool,
}

impl Iterator for Keys {
    type Item = Result<Vec<u8>, HostError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.page.len() && !self.done {
            let list = |buf: &mut [u8]| wire::kv_list(&self.prefix, &self.after, buf);
            match yielded("kv_list", 1024, list) {
                Ok(page) => self.page = page,
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
            self.at = 0;
            self.done = self.page.is_empty();
        }
        let entry = self.page.get(self.at..)?;
        let size = u32::from_le_bytes(entry.get(..4)?.try_into().ok()?) as usize;
        let key = entry.get(4..4 + size)?;
        self.at += 4 + size;
        self.after = key.to_vec();
        Some(Ok(self.after.clone()))
    }
}
