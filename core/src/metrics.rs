//! What each worker has done, counted by itself.

#![forbid(unsafe_code)]

use crate::order;
use crate::sync::{AtomicU64, const_fn};

/// A worker's counters. Only the worker writes them; anybody reads them at any time, each by
/// itself (they are not a consistent snapshot).
#[derive(Debug)]
pub struct Counters {
    pub(crate) executed: Counter,
    pub(crate) injected: Counter,
    pub(crate) steals: Counter,
    pub(crate) sleeps: Counter,
    pub(crate) promotions: Counter,
}

impl Counters {
    const_fn! {
        /// All zero.
        pub const fn new() -> Self {
            Counters {
                executed: Counter::new(),
                injected: Counter::new(),
                steals: Counter::new(),
                sleeps: Counter::new(),
                promotions: Counter::new(),
            }
        }
    }

    /// Tasks run: taken from a queue, chains of graph nodes counted once.
    pub fn executed(&self) -> u64 {
        self.executed.get()
    }

    /// Tasks taken from the injector.
    pub fn injected(&self) -> u64 {
        self.injected.get()
    }

    /// Successful steals, batches counted once.
    pub fn steals(&self) -> u64 {
        self.steals.get()
    }

    /// Times the worker went to sleep.
    pub fn sleeps(&self) -> u64 {
        self.sleeps.get()
    }

    /// Halves of joins that were offered to thieves.
    pub fn promotions(&self) -> u64 {
        self.promotions.get()
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

/// A count with one writer.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const_fn! {
        const fn new() -> Self {
            Counter(AtomicU64::new(0))
        }
    }

    /// One more. Called by the counter's worker alone.
    #[inline(always)]
    pub(crate) fn bump(&self) {
        // Relaxed: one writer, and readers want a figure.
        let count = self.0.load(order!("metrics.own", Relaxed));
        self.0
            .store(count.wrapping_add(1), order!("metrics.bump", Relaxed));
    }

    fn get(&self) -> u64 {
        // Relaxed: a figure.
        self.0.load(order!("metrics.get", Relaxed))
    }
}
