//! The standard library as the core's platform: threads that park, panics that unwind.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::Thread;
use std::time::Instant;

use pinfold_core::platform::{Platform, Unwind, WorkerId};

use crate::lock::{lock, wait_while};

/// What a panic carries.
pub type PanicPayload = Box<dyn Any + Send + 'static>;

/// Told of panics in tasks that nobody joins.
pub(crate) type PanicHandler = Arc<dyn Fn(PanicPayload) + Send + Sync>;

/// While those who starve are still on their way to the slots of the first run that woke them, how many
/// further runs come together before they are woken once more: a wake costs some microseconds, a run is
/// a few dozen slots.
const RUNS_PER_WAKE: u32 = 16;

pub(crate) struct Threads {
    workers: Box<[OnceLock<Thread>]>,
    spare: Mutex<Option<Thread>>,
    start: Instant,
    freed: Mutex<u64>,
    freed_runs: AtomicU32,
    on_freed: Condvar,
    panic_handler: Option<PanicHandler>,
}

impl Threads {
    pub(crate) fn new(workers: usize, panic_handler: Option<PanicHandler>) -> Self {
        Threads {
            workers: (0..workers).map(|_| OnceLock::new()).collect(),
            spare: Mutex::new(None),
            start: Instant::now(),
            freed: Mutex::new(0),
            freed_runs: AtomicU32::new(0),
            on_freed: Condvar::new(),
            panic_handler,
        }
    }

    /// The calling thread is `worker` from now on.
    pub(crate) fn enter(&self, worker: WorkerId) {
        let entered = self.workers[worker.index()].set(std::thread::current());
        debug_assert!(entered.is_ok(), "a worker has one thread");
    }

    /// The calling thread sits in the last seat. It never sleeps there for lack of work, but it waits,
    /// and many threads may come one after the other.
    pub(crate) fn enter_last(&self) {
        *lock(&self.spare) = Some(std::thread::current());
    }

    /// How the panics of tasks are handled that nobody joins.
    pub(crate) fn panic_handler(&self) -> Option<PanicHandler> {
        self.panic_handler.clone()
    }

    /// How often slots have become free for those who starve. The next run of free slots counts, and
    /// the slots of former ones can be seen after this.
    pub(crate) fn freed(&self) -> u64 {
        let freed = *lock(&self.freed);
        // Acquire: pairs with the Release in `slots_freed`: a run that came before this, and may wake
        // nobody, has its slots found by the caller's next look. Release: the one after sees zero.
        // Behind the read of `freed`, so that a run in between is found, and one after is waited for.
        self.freed_runs.swap(0, Ordering::AcqRel);
        freed
    }

    /// Waits until slots have become free since [`Threads::freed`] said `seen`.
    pub(crate) fn wait_for_freed(&self, seen: u64) {
        wait_while(&self.on_freed, lock(&self.freed), |freed| *freed == seen);
    }
}

/// Calls what users have written and nobody joins. The payload of its panic is forgotten, for it may
/// panic in its turn when it is dropped.
fn contain(f: impl FnOnce()) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(f)) {
        std::mem::forget(second);
    }
}

impl Threads {
    /// Drops what a panic carried, which may panic itself.
    pub(crate) fn discard(panic: PanicPayload) {
        contain(|| drop(panic));
    }
}

impl Platform for Threads {
    fn park(&self, _: WorkerId) {
        std::thread::park();
    }

    fn unpark(&self, worker: WorkerId) {
        // Only who has announced itself is unparked, and that comes after `enter`. The handle may
        // still be on its way to this thread, hence `wait`.
        if worker.index() + 1 < self.workers.len() {
            return self.workers[worker.index()].wait().unpark();
        }
        let spare = lock(&self.spare);
        if let Some(thread) = &*spare {
            thread.unpark();
        }
    }

    fn now_ns(&self) -> Option<u64> {
        Some(self.start.elapsed().as_nanos() as u64)
    }

    fn slots_freed(&self, last: bool) {
        // Release: pairs with the Acquire in `freed`. Zero means that somebody may have gone to sleep since
        // the last run; the `last` call never asks.
        let runs = self.freed_runs.fetch_add(1, Ordering::AcqRel);
        if last || runs.is_multiple_of(RUNS_PER_WAKE) {
            *lock(&self.freed) += 1;
            self.on_freed.notify_all();
        }
    }
}

// SAFETY: `catch_unwind` catches what unwinds, and the methods of `Platform` above do not.
unsafe impl Unwind for Threads {
    type Panic = PanicPayload;

    #[inline(always)]
    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, PanicPayload> {
        // Whoever joins gets the panic, and with it the duty to judge what the task left behind.
        catch_unwind(AssertUnwindSafe(f))
    }

    fn resume(panic: PanicPayload) -> ! {
        resume_unwind(panic)
    }

    fn unhandled(&self, panic: PanicPayload) {
        // The process's panic hook has already reported it.
        match &self.panic_handler {
            Some(handler) => contain(|| handler(panic)),
            None => Threads::discard(panic),
        }
    }
}
