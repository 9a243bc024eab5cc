//! A waker on which a thread sleeps.

use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{RawWaker, RawWakerVTable, Waker};

use crate::linux;

/// Rings whenever a waker of it is woken.
pub struct Bell(AtomicU32);

const VTABLE: RawWakerVTable =
    RawWakerVTable::new(|bell| RawWaker::new(bell, &VTABLE), ring, ring, |_| {});

fn ring(bell: *const ()) {
    // SAFETY: a waker's pointer is to a bell that outlives it (`Bell::waker`).
    let Bell(rings) = unsafe { &*bell.cast::<Bell>() };
    // Release: pairs with the Acquire in `sleep_until_rung`.
    rings.fetch_add(1, Ordering::Release);
    linux::wake_one(rings);
}

impl Bell {
    pub const fn new() -> Self {
        Bell(AtomicU32::new(0))
    }

    /// How often it has rung.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Sleeps until it has rung more than `heard` times.
    pub fn sleep_until_rung(&self, heard: u32) {
        while self.count() == heard {
            linux::sleep_while(&self.0, heard);
        }
    }

    /// A waker that rings it.
    ///
    /// # Safety
    ///
    /// The bell outlives the waker and its clones.
    pub unsafe fn waker(&self) -> Waker {
        let bell = (&raw const *self).cast();
        // SAFETY: the functions of `VTABLE` do what is asked of them, and may be called anywhere.
        unsafe { Waker::from_raw(RawWaker::new(bell, &VTABLE)) }
    }
}
