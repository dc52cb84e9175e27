//! The functions of `berth_v1` over slices. Natively the host of the module testing answers.

#[cfg(target_arch = "wasm32")]
mod imports {
    #[link(wasm_import_module = "berth_v1")]
    extern "C" {
        pub fn next(buf: *mut u8, cap: usize) -> i32;
        pub fn field(ptr: *const u8, len: usize, buf: *mut u8, cap: usize) -> i32;
        pub fn finish(status: i32, ptr: *const u8, len: usize) -> i32;
        pub fn emit(ptr: *const u8, len: usize) -> i32;
        pub fn log(level: i32, ptr: *const u8, len: usize);
        pub fn config(buf: *mut u8, cap: usize) -> i32;
        pub fn secret(ptr: *const u8, len: usize, buf: *mut u8, cap: usize) -> i32;
        pub fn kv_get(key: *const u8, key_len: usize, buf: *mut u8, cap: usize) -> i32;
        pub fn kv_set(key: *const u8, key_len: usize, val: *const u8, val_len: usize) -> i32;
        pub fn kv_cas(
            key: *const u8,
            key_len: usize,
            old: *const u8,
            old_len: i32,
            val: *const u8,
            val_len: usize,
        ) -> i32;
        pub fn kv_delete(key: *const u8, key_len: usize) -> i32;
        pub fn kv_list(
            prefix: *const u8,
            prefix_len: usize,
            after: *const u8,
            after_len: usize,
            buf: *mut u8,
            cap: usize,
        ) -> i32;
        pub fn kv_expire(key: *const u8, key_len: usize, seconds: i32) -> i32;
        pub fn trace(buf: *mut u8, cap: usize) -> i32;
        pub fn http(req: *const u8, req_len: usize, buf: *mut u8, cap: usize) -> i32;
        pub fn attempt() -> i32;
        pub fn remaining() -> i32;
        pub fn last(buf: *mut u8, cap: usize) -> i32;
        pub fn error(buf: *mut u8, cap: usize) -> i32;
    }
}

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::imports;

// SAFETY, for all calls: the host reads and writes inside the slices only, and keeps no
// pointer.

pub fn next(buf: &mut [u8]) -> i32 {
    unsafe { imports::next(buf.as_mut_ptr(), buf.len()) }
}

pub fn field(pointer: &str, buf: &mut [u8]) -> i32 {
    unsafe { imports::field(pointer.as_ptr(), pointer.len(), buf.as_mut_ptr(), buf.len()) }
}

pub fn finish(status: i32, text: &str) -> i32 {
    unsafe { imports::finish(status, text.as_ptr(), text.len()) }
}

pub fn emit(json: &str) -> i32 {
    unsafe { imports::emit(json.as_ptr(), json.len()) }
}

pub fn log(level: i32, text: &str) {
    unsafe { imports::log(level, text.as_ptr(), text.len()) }
}

pub fn config(buf: &mut [u8]) -> i32 {
    unsafe { imports::config(buf.as_mut_ptr(), buf.len()) }
}

pub fn secret(name: &str, buf: &mut [u8]) -> i32 {
    unsafe { imports::secret(name.as_ptr(), name.len(), buf.as_mut_ptr(), buf.len()) }
}

pub fn kv_get(key: &[u8], buf: &mut [u8]) -> i32 {
    unsafe { imports::kv_get(key.as_ptr(), key.len(), buf.as_mut_ptr(), buf.len()) }
}

pub fn kv_set(key: &[u8], value: &[u8]) -> i32 {
    unsafe { imports::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
}

pub fn kv_cas(key: &[u8], old: Option<&[u8]>, value: &[u8]) -> i32 {
    let (old, old_len) = match old {
        Some(old) => (old.as_ptr(), old.len() as i32),
        None => (core::ptr::null(), -1),
    };
    unsafe {
        imports::kv_cas(
            key.as_ptr(),
            key.len(),
            old,
            old_len,
            value.as_ptr(),
            value.len(),
        )
    }
}

pub fn kv_delete(key: &[u8]) -> i32 {
    unsafe { imports::kv_delete(key.as_ptr(), key.len()) }
}

pub fn kv_list(prefix: &[u8], after: &[u8], buf: &mut [u8]) -> i32 {
    unsafe {
        imports::kv_list(
            prefix.as_ptr(),
            prefix.len(),
            after.as_ptr(),
            after.len(),
            buf.as_mut_ptr(),
            buf.len(),
        )
    }
}

pub fn kv_expire(key: &[u8], seconds: i32) -> i32 {
    unsafe { imports::kv_expire(key.as_ptr(), key.len(), seconds) }
}

pub fn trace(buf: &mut [u8]) -> i32 {
    unsafe { imports::trace(buf.as_mut_ptr(), buf.len()) }
}

pub fn http(request: &str, buf: &mut [u8]) -> i32 {
    unsafe { imports::http(request.as_ptr(), request.len(), buf.as_mut_ptr(), buf.len()) }
}

pub fn attempt() -> i32 {
    unsafe { imports::attempt() }
}

pub fn remaining() -> i32 {
    unsafe { imports::remaining() }
}

pub fn last(buf: &mut [u8]) -> i32 {
    unsafe { imports::last(buf.as_mut_ptr(), buf.len()) }
}

pub fn error(buf: &mut [u8]) -> i32 {
    unsafe { imports::error(buf.as_mut_ptr(), buf.len()) }
}
