//! The machine below the core: Linux, reached by system calls alone.

use core::sync::atomic::{AtomicU32, Ordering};

use pinfold_core::platform::{Aborting, Platform, WorkerId};

use crate::linux;

/// How many workers there may be.
pub const WORKERS: usize = 3;

/// The machine, on which a panic would end the program.
pub type Machine = Aborting<Tokens>;

/// A machine without tokens.
pub const fn machine() -> Machine {
    Aborting(Tokens::new(WORKERS))
}

/// A machine on which the worker `dead` does not come back from its sleep.
pub const fn machine_with_dead(dead: usize) -> Machine {
    Aborting(Tokens::new(dead))
}

/// A token per worker, on which it sleeps in the kernel (`futex`).
#[derive(Debug)]
pub struct Tokens {
    tokens: [AtomicU32; WORKERS],
    /// The worker that does not wake up.
    dead: usize,
}

impl Tokens {
    /// No tokens.
    const fn new(dead: usize) -> Self {
        Tokens {
            tokens: [const { AtomicU32::new(0) }; WORKERS],
            dead,
        }
    }
}

impl Platform for Tokens {
    fn park(&self, worker: WorkerId) {
        if let Some(token) = self.tokens.get(worker.index()) {
            // Acquire: pairs with the Release in `unpark`.
            while token.swap(0, Ordering::Acquire) == 0 || worker.index() == self.dead {
                linux::sleep_while(token, 0);
            }
        }
    }

    fn unpark(&self, worker: WorkerId) {
        if let Some(token) = self.tokens.get(worker.index()) {
            // Release: pairs with the Acquire in `park`.
            if token.swap(1, Ordering::Release) == 0 {
                linux::wake_one(token);
            }
        }
    }

    fn now_ns(&self) -> Option<u64> {
        Some(linux::now_ns())
    }
}
