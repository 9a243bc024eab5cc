//! Where a pool's scheduler lives: boxes of zeroed memory.

use std::alloc::{Layout, alloc_zeroed};

use pinfold_core::scheduler::{Seat, Storage};
use pinfold_core::zero::ZeroInit;
use pinfold_core::{deque, idle, injector, task};

/// The storage of a pool.
#[derive(Debug)]
pub(crate) struct Boxed;

impl Storage for Boxed {
    type Slots = Box<[task::Slot]>;
    type Entries = Box<[injector::Entry]>;
    type DequeSlots = Box<[deque::Slot]>;
    type Seats = Box<[Seat<Box<[deque::Slot]>>]>;
    type Words = Box<[idle::Word]>;
}

/// The memory is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory {
    pub(crate) bytes: usize,
}

/// `count` elements of zeroed memory, whose pages cost nothing until they are used.
pub(crate) fn zeroed<T: ZeroInit>(count: usize) -> Result<Box<[T]>, OutOfMemory> {
    let too_much = OutOfMemory {
        bytes: count.saturating_mul(size_of::<T>()),
    };
    let layout = Layout::array::<T>(count).map_err(|_| too_much)?;
    if layout.size() == 0 {
        return Ok(Box::new([]));
    }
    // SAFETY: the layout's size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return Err(too_much);
    }
    let slice = std::ptr::slice_from_raw_parts_mut(memory.cast::<T>(), count);
    // SAFETY: the memory was allocated by the global allocator with the layout of `[T; count]`, and
    // its zero bytes are valid values (`ZeroInit`).
    Ok(unsafe { Box::from_raw(slice) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_sizes_are_refused() {
        let refused = zeroed::<deque::Slot>(usize::MAX).map(|_| ()).unwrap_err();
        assert_eq!(refused, OutOfMemory { bytes: usize::MAX });
        assert_eq!(zeroed::<deque::Slot>(0).unwrap().len(), 0);
    }
}
