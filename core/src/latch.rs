//! A count that somebody waits for, in one word.
//!
//! | operation | cost | progress |
//! |---|---|---|
//! | [`CountLatch::add`], [`CountLatch::done`] | one read-modify-write | wait-free |
//! | [`CountLatch::is_done`] | one load | wait-free |
//! | [`CountLatch::wait_with`] | one read-modify-write, then a load per return of `park` | – |
//!
//! The word holds the count and, below it, the worker that waits. The last decrement therefore
//! *returns* whom to wake: afterwards nothing of the latch is touched, and the waiter may already
//! have returned and freed it.
//!
//! | from | by | to |
//! |---|---|---|
//! | `n`, nobody | `add(k)` | `n + k`, nobody |
//! | `n`, nobody | `wait_with(w)` | `n`, `w` |
//! | `n`, any | `done(k)`, `k < n` | `n - k`, the same |
//! | `n`, any | `done(n)` | 0; `done` returns `w`, who is to be unparked |
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::thread;
//! use pinfold_core::latch::CountLatch;
//! use pinfold_core::platform::WorkerId;
//!
//! let (latch, sum) = (CountLatch::new(2), AtomicU32::new(0));
//! let (me, my_thread) = (WorkerId::new(0).expect("the first"), thread::current());
//! thread::scope(|s| {
//!     for part in [20, 22] {
//!         let (latch, sum, my_thread) = (&latch, &sum, &my_thread);
//!         s.spawn(move || {
//!             sum.fetch_add(part, Ordering::Relaxed);
//!             if let Some(waiter) = latch.done(1) {
//!                 assert_eq!(waiter, me);
//!                 my_thread.unpark();
//!             }
//!         });
//!     }
//!     latch.wait_with(me, thread::park);
//!     assert_eq!(sum.load(Ordering::Relaxed), 42);
//! });
//! assert!(latch.is_done());
//! ```

#![forbid(unsafe_code)]

use core::fmt;

use crate::broken;
use crate::order;
use crate::platform::WorkerId;
use crate::sync::{AtomicUsize, const_fn};

const WAITER_BITS: u32 = 11;
const WAITER_MASK: usize = (1 << WAITER_BITS) - 1;
const ONE: usize = 1 << WAITER_BITS;

const _: () = assert!(WorkerId::MAX_WORKERS < WAITER_MASK);

/// Counts down to zero, and says whom to wake then.
pub struct CountLatch {
    /// `count << WAITER_BITS | waiter + 1`, waiter 0 for nobody.
    word: AtomicUsize,
}

impl CountLatch {
    /// The largest count.
    pub const MAX_COUNT: usize = usize::MAX >> WAITER_BITS;

    const_fn! {
        /// A latch that counts down from `count`, at most [`CountLatch::MAX_COUNT`].
        pub const fn new(count: usize) -> Self {
            CountLatch { word: AtomicUsize::new(count << WAITER_BITS) }
        }
    }

    /// Counts `count` more. Only who holds the latch above zero may add to it. Wait-free.
    #[inline]
    pub fn add(&self, count: usize) {
        // Relaxed: the caller's own share keeps the latch above zero, and whoever takes over the
        // new share does so through a queue that carries this write.
        self.word
            .fetch_add(count << WAITER_BITS, order!("latch.add", Relaxed));
    }

    /// Counts `count` down. At zero, returns the worker to unpark, if one waits. Wait-free.
    ///
    /// When this has returned zero's `Some` or `None`, the latch may be gone.
    #[inline]
    #[must_use = "the returned worker sleeps until it is unparked"]
    pub fn done(&self, count: usize) -> Option<WorkerId> {
        // Release: pairs with the Acquire in `is_done` and `wait_with`; all that the counted work
        // wrote happens before the waiter goes on.
        // Weaker: the waiter reads results that are not there. Model: latch::the_waiter_sees_what_was_counted.
        let before = self
            .word
            .fetch_sub(count * ONE, order!("latch.done", Release));
        debug_assert!(
            before >> WAITER_BITS >= count,
            "a latch was counted below zero"
        );
        if before >> WAITER_BITS != count {
            return None;
        }
        // Left out: the waiter is read after the last decrement. Model: latch::a_frame_found_done_may_be_freed.
        let last = if broken!("latch.done.named_at_once") {
            self.word.load(order!("latch.done.late", Relaxed))
        } else {
            before
        };
        (last & WAITER_MASK).checked_sub(1).and_then(WorkerId::new)
    }

    /// Whether the count is zero. If so, all that was counted happened before.
    #[inline]
    pub fn is_done(&self) -> bool {
        // Acquire: pairs with the Release in `done`; every decrement is a read-modify-write, so the
        // last one carries all of them.
        // Weaker: the waiter reads results that are not there. Model: latch::the_waiter_sees_what_was_counted.
        self.word.load(order!("latch.look", Acquire)) >> WAITER_BITS == 0
    }

    /// Registers who waits. One waiter at a time, which looks once more before it parks.
    pub fn register(&self, waiter: WorkerId) {
        // Relaxed: a decrement that comes later in this word's order returns the waiter; one that
        // came earlier is seen by the waiter's next look, which follows in the same thread.
        self.word
            .fetch_or(waiter.index() + 1, order!("latch.wait.register", Relaxed));
    }

    /// Registers `waiter` and calls `park` until the count is zero. One waiter at a time.
    pub fn wait_with(&self, waiter: WorkerId, mut park: impl FnMut()) {
        self.register(waiter);
        while !self.is_done() {
            park();
        }
    }
}

impl fmt::Debug for CountLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: for the reader of a log.
        let word = self.word.load(order!("latch.debug", Relaxed));
        f.debug_struct("CountLatch")
            .field("count", &(word >> WAITER_BITS))
            .field(
                "waiter",
                &(word & WAITER_MASK).checked_sub(1).and_then(WorkerId::new),
            )
            .finish()
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_decrement_names_the_waiter() {
        let worker = WorkerId::new(WorkerId::MAX_WORKERS - 1).unwrap();
        let latch = CountLatch::new(2);
        latch.add(1);
        assert_eq!(latch.done(2), None);
        let mut parks = 0;
        latch.wait_with(worker, || {
            parks += 1;
            assert_eq!(latch.done(1), Some(worker));
        });
        assert_eq!(parks, 1);
        assert!(latch.is_done());
    }

    #[test]
    fn nobody_waits_nobody_is_woken() {
        let latch = CountLatch::new(1);
        assert!(!latch.is_done());
        assert_eq!(latch.done(1), None);
        latch.wait_with(WorkerId::new(0).unwrap(), || panic!("the count is zero"));
    }
}
