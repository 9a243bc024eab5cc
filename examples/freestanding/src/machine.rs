//! The machine below the core: Linux, reached by system calls alone.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU32, Ordering};

use pinfold_core::platform::{Platform, Unwind, WorkerId};

use crate::linux;

/// How many workers there may be.
pub const WORKERS: usize = 3;

/// A token per worker, on which it sleeps in the kernel (`futex`).
#[derive(Debug)]
pub struct Machine {
    tokens: [AtomicU32; WORKERS],
}

impl Machine {
    /// No tokens.
    pub const fn new() -> Self {
        Machine {
            tokens: [const { AtomicU32::new(0) }; WORKERS],
        }
    }
}

impl Platform for Machine {
    fn park(&self, worker: WorkerId) {
        if let Some(token) = self.tokens.get(worker.index()) {
            // Acquire: pairs with the Release in `unpark`.
            while token.swap(0, Ordering::Acquire) == 0 {
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

    fn now_ns(&self) -> u64 {
        linux::now_ns()
    }
}

impl Unwind for Machine {
    type Panic = Infallible;

    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Infallible> {
        Ok(f())
    }

    fn resume(panic: Infallible) -> ! {
        match panic {}
    }

    fn unhandled(&self, panic: Infallible) {
        match panic {}
    }
}
