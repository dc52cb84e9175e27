//! A panic's message and location go to file descriptor 2, from where the host takes the
//! delivery's error.

#[cfg(target_arch = "wasm32")]
mod stderr {
    use core::fmt;

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        fn fd_write(fd: i32, pieces: *const Piece, count: usize, written: *mut usize) -> i32;
    }

    #[repr(C)]
    struct Piece {
        bytes: *const u8,
        len: usize,
    }

    pub struct Stderr;

    impl fmt::Write for Stderr {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let piece = Piece {
                bytes: text.as_ptr(),
                len: text.len(),
            };
            let mut written = 0;
            // SAFETY: the piece and its bytes live until the host answers.
            unsafe { fd_write(2, &piece, 1, &mut written) };
            Ok(())
        }
    }
}

/// Makes panics report themselves: "panicked at FILE:LINE:COLUMN:" and the message.
#[cfg(all(target_arch = "wasm32", feature = "std"))]
pub fn install() {
    use core::fmt::Write;
    std::panic::set_hook(alloc::boxed::Box::new(|info| {
        let _ = writeln!(stderr::Stderr, "{info}");
    }));
}

#[cfg(not(all(target_arch = "wasm32", feature = "std")))]
pub fn install() {}

#[cfg(all(target_arch = "wasm32", not(feature = "std")))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    use core::fmt::Write;
    let _ = writeln!(stderr::Stderr, "{info}");
    core::arch::wasm32::unreachable()
}
