//! A place in which one thread leaves one number for others.

use pinfold_core::order;
use pinfold_core::sync::{AtomicBool, AtomicU32};

/// Empty, until a number is left in it.
#[derive(Debug)]
pub struct Handover {
    number: AtomicU32,
    full: AtomicBool,
}

impl Handover {
    /// An empty place.
    pub fn new() -> Self {
        Handover {
            number: AtomicU32::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// Leaves `number`. Called once. Wait-free.
    pub fn leave(&self, number: u32) {
        // Relaxed: published by `full`.
        self.number
            .store(number, order!("handover.leave.number", Relaxed));
        // Release: pairs with the Acquire in `look`; carries the number.
        // Weaker: a number is seen that nobody left. Model: handover::what_is_seen_was_left.
        self.full
            .store(true, order!("handover.leave.publish", Release));
    }

    /// The number, if one was left. Wait-free.
    pub fn look(&self) -> Option<u32> {
        // Acquire: pairs with the Release in `leave`.
        // Weaker: as there. Model: handover::what_is_seen_was_left.
        let is_full = self.full.load(order!("handover.look.full", Acquire));
        // Relaxed: `full` has brought it.
        is_full.then(|| self.number.load(order!("handover.look.number", Relaxed)))
    }
}
