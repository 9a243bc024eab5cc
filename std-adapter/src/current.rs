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
}

/// Calls `body` while the calling thread is known as `worker`.
pub(crate) fn enter<R>(worker: &Worker<'_>, body: impl FnOnce() -> R) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            CURRENT.set(ptr::null());
        }
    }
    CURRENT.set(ptr::from_ref(worker).cast());
    let _reset = Reset;
    body()
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
