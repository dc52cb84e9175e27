//! The smallest handler that does what `typical` does, against the imports and without the SDK.

#![no_std]

#[link(wasm_import_module = "berth_v1")]
extern "C" {
    fn next(buf: *mut u8, cap: usize) -> i32;
    fn field(ptr: *const u8, len: usize, buf: *mut u8, cap: usize) -> i32;
    fn finish(status: i32, ptr: *const u8, len: usize) -> i32;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

struct Writer {
    bytes: [u8; 512],
    len: usize,
}

impl Writer {
    fn raw(&mut self, text: &[u8]) {
        for &c in text {
            self.byte(c);
        }
    }

    fn byte(&mut self, c: u8) {
        if self.len < self.bytes.len() {
            self.bytes[self.len] = c;
            self.len += 1;
        }
    }

    fn escaped(&mut self, text: &[u8]) {
        for &c in text {
            if c < b' ' {
                self.raw(b"\\u00");
                self.byte(b'0' + (c >> 4));
                self.byte(b"0123456789abcdef"[(c & 15) as usize]);
                continue;
            }
            if c == b'"' || c == b'\\' {
                self.byte(b'\\');
            }
            self.byte(c);
        }
    }
}

/// Reads a field of at most 128 bytes.
fn read<'a>(pointer: &str, buf: &'a mut [u8; 128]) -> &'a [u8] {
    // SAFETY: both ranges are those of slices.
    let n = unsafe { field(pointer.as_ptr(), pointer.len(), buf.as_mut_ptr(), buf.len()) };
    buf.get(..n.max(0) as usize).unwrap_or_default()
}

/// The entry point.
#[no_mangle]
pub extern "C" fn run() {
    let (mut order, mut status, mut cents) = ([0; 128], [0; 128], [0; 128]);
    let mut out = Writer {
        bytes: [0; 512],
        len: 0,
    };
    // SAFETY: the ranges are empty or those of slices.
    while unsafe { next(core::ptr::null_mut(), 0) } >= 0 {
        out.len = 0;
        out.raw(b"{\"order\":\"");
        out.escaped(read("/data/order_id", &mut order));
        out.raw(b"\",\"status\":\"");
        out.escaped(read("/data/status", &mut status));
        out.raw(b"\",\"cents\":");
        out.raw(read("/data/total_cents", &mut cents));
        out.byte(b'}');
        unsafe { finish(0, out.bytes.as_ptr(), out.len) };
    }
}
