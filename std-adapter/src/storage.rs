//! Where a pool's scheduler lives: boxes of zeroed memory.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::NonNull;

use pinfold_core::scheduler::{Seat, Storage};
use pinfold_core::storage::Stable;
use pinfold_core::zero::ZeroInit;
use pinfold_core::{deque, idle, injector, task};

/// The storage of a pool.
#[derive(Debug)]
pub(crate) struct Boxed;

impl Storage for Boxed {
    type Slots = Owned<task::Slot>;
    type Entries = Owned<injector::Entry>;
    type DequeSlots = DequeSlots;
    type Seats = Owned<Seat<DequeSlots>>;
    type Words = Owned<idle::Word>;
}

/// A boxed slice of which core knows that it stays the same.
#[derive(Clone, Debug)]
pub(crate) struct Owned<T>(Box<[T]>);

impl<T> AsRef<[T]> for Owned<T> {
    #[inline(always)]
    fn as_ref(&self) -> &[T] {
        &self.0
    }
}

impl<T> AsMut<[T]> for Owned<T> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

// SAFETY: a box owns one slice, and moving the box does not move it.
unsafe impl<T> Stable<T> for Owned<T> {}

impl<T> From<Vec<T>> for Owned<T> {
    fn from(elements: Vec<T>) -> Self {
        Owned(elements.into_boxed_slice())
    }
}

impl<T> FromIterator<T> for Owned<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Owned(elements.into_iter().collect())
    }
}

/// The memory of all deques of a pool: one large allocation costs nothing until it is used, where many
/// middling ones would be cleared at once.
#[derive(Debug)]
pub(crate) struct DequeMemory {
    /// From `Box::into_raw`.
    slots: NonNull<[deque::Slot]>,
    words: usize,
}

// SAFETY: it owns the slots, as a box does, and slots are `Send` and `Sync`.
unsafe impl Send for DequeMemory {}
// SAFETY: as above.
unsafe impl Sync for DequeMemory {}

impl DequeMemory {
    /// Memory for `deques` deques of `words` words.
    pub(crate) fn new(deques: usize, words: usize) -> Result<Self, OutOfMemory> {
        let Owned(slots) = zeroed::<deque::Slot>(deques.saturating_mul(words))?;
        let slots = Box::into_raw(slots);
        // SAFETY: a box is not null.
        let slots = unsafe { NonNull::new_unchecked(slots) };
        Ok(DequeMemory { slots, words })
    }

    /// The part of each deque.
    ///
    /// # Safety
    ///
    /// The parts are not used after the memory was dropped.
    pub(crate) unsafe fn parts(&self) -> impl Iterator<Item = DequeSlots> {
        // SAFETY: the slots are alive, and only shared references to them are made.
        let slots: &[deque::Slot] = unsafe { self.slots.as_ref() };
        slots
            .chunks_exact(self.words)
            .map(|part| DequeSlots(NonNull::from(part)))
    }
}

impl Drop for DequeMemory {
    fn drop(&mut self) {
        // SAFETY: `new` took the pointer from a box.
        drop(unsafe { Box::from_raw(self.slots.as_ptr()) });
    }
}

/// One deque's part of a [`DequeMemory`].
#[derive(Debug)]
pub(crate) struct DequeSlots(NonNull<[deque::Slot]>);

// SAFETY: it leads to the same slots as long as they are there.
unsafe impl Stable<deque::Slot> for DequeSlots {}

// SAFETY: it is a shared reference to slots, which are `Sync`.
unsafe impl Send for DequeSlots {}
// SAFETY: as above.
unsafe impl Sync for DequeSlots {}

impl AsRef<[deque::Slot]> for DequeSlots {
    #[inline(always)]
    fn as_ref(&self) -> &[deque::Slot] {
        // SAFETY: the memory outlives its parts (duty of `parts`).
        unsafe { self.0.as_ref() }
    }
}

/// The memory is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory {
    pub(crate) bytes: usize,
}

/// `count` elements of zeroed memory, whose pages cost nothing until they are used.
pub(crate) fn zeroed<T: ZeroInit>(count: usize) -> Result<Owned<T>, OutOfMemory> {
    let too_much = OutOfMemory {
        bytes: count.saturating_mul(size_of::<T>()),
    };
    let layout = Layout::array::<T>(count).map_err(|_| too_much)?;
    if layout.size() == 0 {
        return Ok(Owned(Box::new([])));
    }
    // SAFETY: the layout's size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return Err(too_much);
    }
    let slice = std::ptr::slice_from_raw_parts_mut(memory.cast::<T>(), count);
    // SAFETY: the memory was allocated by the global allocator with the layout of `[T; count]`, and
    // its zero bytes are valid values (`ZeroInit`).
    Ok(Owned(unsafe { Box::from_raw(slice) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_sizes_are_refused() {
        let refused = zeroed::<deque::Slot>(usize::MAX).map(|_| ()).unwrap_err();
        assert_eq!(refused, OutOfMemory { bytes: usize::MAX });
        assert_eq!(zeroed::<deque::Slot>(0).unwrap().as_ref().len(), 0);
    }
}
