//! Which worker the calling thread is.

use std::cell::Cell;
use std::ptr;

use pinfold_core::scheduler::Scheduler;
use pinfold_core::worker::Worker as CoreWorker;

use crate::platform::Threads;
use crate::storage::Boxed;

pub(crate) type Shared = Scheduler<Boxed, Threads>;
pub(crate) type Worker<'s> = CoreWorker<'s, Boxed, Threads>;

thread_local! {
    static CURRENT: Cell<*const Worker<'static>> = const { Cell::new(ptr::null()) };
    /// What `CURRENT` was further out on this thread's stack.
    static OUTER: Cell<*const Entered> = const { Cell::new(ptr::null()) };
}

/// One [`enter`] on this thread's stack.
struct Entered {
    former: *const Worker<'static>,
    outer: *const Entered,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.former);
        OUTER.set(self.outer);
    }
}

/// Calls `body` while the calling thread is known as `worker`.
pub(crate) fn enter<R>(worker: &Worker<'_>, body: impl FnOnce() -> R) -> R {
    let entered = Entered {
        former: CURRENT.replace(ptr::from_ref(worker).cast()),
        outer: OUTER.get(),
    };
    OUTER.set(&entered);
    body()
}

/// Calls `f` with the worker of `shared` that the calling thread is further out on its stack, if it is
/// one. Inside `f` it is the current one again.
pub(crate) fn with_outer_worker_of<R>(
    shared: &Shared,
    f: impl FnOnce(Option<&Worker<'_>>) -> R,
) -> R {
    let mut next = OUTER.get();
    // SAFETY: an entry is on this thread's stack until its `enter` returns, and so is its worker.
    while let Some(entered) = unsafe { next.as_ref() } {
        // SAFETY: as above.
        let worker = unsafe { entered.former.as_ref() };
        if let Some(worker) = worker.filter(|worker| ptr::eq(worker.scheduler(), shared)) {
            return enter(worker, || f(Some(worker)));
        }
        next = entered.outer;
    }
    f(None)
}

/// Calls `f` with the worker that the calling thread is, if it is one.
#[inline(always)]
pub(crate) fn with<R>(f: impl FnOnce(Option<&Worker<'_>>) -> R) -> R {
    let worker = CURRENT.get();
    // SAFETY: `enter` set it on this thread and resets it before the worker goes.
    f(unsafe { worker.as_ref() })
}

/// As [`with`], where only a worker of `shared` counts.
#[inline(always)]
pub(crate) fn with_worker_of<R>(shared: &Shared, f: impl FnOnce(Option<&Worker<'_>>) -> R) -> R {
    with(|worker| f(worker.filter(|worker| ptr::eq(worker.scheduler(), shared))))
}
