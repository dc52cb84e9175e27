use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::wire;

pub const FIRST: usize = 4096;

/// The texts of one event: blocks of bytes that neither change nor go away until `clear`.
pub struct Scratch {
    blocks: RefCell<Vec<Block>>,
    used: Cell<usize>, // of the last block
}

struct Block {
    bytes: *mut u8,
    size: usize,
}

impl Block {
    fn new(size: usize) -> Self {
        Self {
            bytes: Box::into_raw(vec![0u8; size].into_boxed_slice()).cast(),
            size,
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: bytes and size are those of the slice that new has leaked.
        drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(self.bytes, self.size)) });
    }
}

impl Scratch {
    pub fn new(size: usize) -> Self {
        Self {
            blocks: RefCell::new(vec![Block::new(size)]),
            used: Cell::new(0),
        }
    }

    /// Takes back all bytes. Blocks beyond the first are freed, so that a large event does
    /// not keep its memory.
    pub fn clear(&mut self) {
        let blocks = self.blocks.get_mut();
        blocks.truncate(1);
        self.used.set(0);
    }

    /// Returns the bytes that a yielding function of the host writes into the buffer it is
    /// given, or its negative answer.
    pub fn fill(&self, call: impl FnOnce(&mut [u8]) -> i32) -> Result<&[u8], i32> {
        let n = call(self.free());
        if n < 0 {
            return Err(n);
        }
        let n = n as usize;
        let mut free = self.free();
        if n > free.len() {
            self.blocks.borrow_mut().push(Block::new(n.max(FIRST)));
            self.used.set(0);
            free = self.free();
            let again = wire::last(free);
            if again != n as i32 {
                return Err(again);
            }
        }
        self.used.set(self.used.get() + n);
        Ok(&free[..n])
    }

    /// The bytes of the last block that are not used.
    #[allow(clippy::mut_from_ref)]
    fn free(&self) -> &mut [u8] {
        let blocks = self.blocks.borrow();
        let last = &blocks[blocks.len() - 1];
        let used = self.used.get();
        // SAFETY: bytes above `used` have been given to nobody but an earlier `free` of the
        // same call of `fill`, which does not use that any more.
        unsafe { core::slice::from_raw_parts_mut(last.bytes.add(used), last.size - used) }
    }
}
