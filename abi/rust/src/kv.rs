//! The plugin's durable state, shared by all its instances and versions. Each call is its own
//! transaction and takes effect immediately, also if the event fails. Keys are 1 to 256 bytes,
//! values at most 1 MiB (TOO_LARGE). It needs the capability `kv` (DENIED).

use alloc::vec::Vec;

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
