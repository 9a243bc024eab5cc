//! Which worker the calling thread is.

use std::cell::Cell;
use std::ptr;

use pinfold_core::platform::WorkerId;
use pinfold_core::scheduler::Scheduler;
use pinfold_core::worker::Worker as CoreWorker;

use crate::platform::Threads;
use crate::storage::Boxed;

pub(crate) type Shared = Scheduler<Boxed, Threads>;
pub(crate) type Worker<'s> = CoreWorker<'s, Boxed, Threads>;

thread_local! {
    static CURRENT: Cell<*const Worker<'static>> = const { Cell::new(ptr::null()) };
    /// The innermost [`Entered`] on this thread's stack.
    static ENTERED: Cell<*const Entered> = const { Cell::new(ptr::null()) };
}

/// That a thread is a worker, from here on its stack inwards. Does not change, so that others may read it
/// while the thread waits.
#[derive(Clone, Copy)]
pub(crate) struct Entered {
    worker: *const Worker<'static>,
    /// The worker's scheduler.
    home: *const Shared,
    /// The scheduler of the pool whose tasks run: `home`, unless the worker stands in for an ended pool.
    pool: *const Shared,
    /// Which of the pool's workers it is, if it is one of those.
    id: Option<WorkerId>,
    outer: *const Entered,
}

impl Entered {
    /// The innermost one on the calling thread's stack, or null.
    pub(crate) fn innermost() -> *const Entered {
        ENTERED.get()
    }

    /// Whether there is a worker of `shared` from `from` outwards.
    ///
    /// # Safety
    ///
    /// `from` is null, or its `enter` does not return meanwhile.
    pub(crate) unsafe fn is_worker_of(from: *const Entered, shared: &Shared) -> bool {
        // SAFETY: the caller's duty.
        unsafe { Self::find(from, |entered| ptr::eq(entered.home, shared)) }.is_some()
    }

    /// Whether a task of the pool of `shared` runs from `from` outwards.
    ///
    /// # Safety
    ///
    /// As of [`Entered::is_worker_of`].
    pub(crate) unsafe fn is_inside(from: *const Entered, shared: &Shared) -> bool {
        // SAFETY: the caller's duty.
        unsafe { Self::find(from, |entered| ptr::eq(entered.pool, shared)) }.is_some()
    }

    /// # Safety
    ///
    /// As of [`Entered::is_worker_of`].
    unsafe fn find(from: *const Entered, is: impl Fn(&Entered) -> bool) -> Option<Entered> {
        let mut next = from;
        // SAFETY: an entry is on its thread's stack until its `enter` returns, and outer ones are there
        // for longer.
        while let Some(entered) = unsafe { next.as_ref() } {
            if is(entered) {
                return Some(*entered);
            }
            next = entered.outer;
        }
        None
    }

    /// Calls `body` while this is the innermost one.
    fn enter<R>(mut self, body: impl FnOnce() -> R) -> R {
        struct Leave(*const Entered);
        impl Drop for Leave {
            fn drop(&mut self) {
                // SAFETY: the outer one's `enter` has not returned.
                let outer = unsafe { self.0.as_ref() };
                CURRENT.set(outer.map_or(ptr::null(), |outer| outer.worker));
                ENTERED.set(self.0);
            }
        }
        self.outer = ENTERED.get();
        let _leave = Leave(self.outer);
        CURRENT.set(self.worker);
        ENTERED.set(&raw const self);
        body()
    }
}

/// Calls `body` while the calling thread is known as `worker`, which is the pool's worker `id`.
pub(crate) fn enter<R>(worker: &Worker<'_>, id: Option<WorkerId>, body: impl FnOnce() -> R) -> R {
    enter_for(worker.scheduler(), worker, id, body)
}

/// As [`enter`], for a worker that stands in for those of `pool`.
pub(crate) fn enter_for<R>(
    pool: &Shared,
    worker: &Worker<'_>,
    id: Option<WorkerId>,
    body: impl FnOnce() -> R,
) -> R {
    let entered = Entered {
        worker: ptr::from_ref(worker).cast(),
        home: ptr::from_ref(worker.scheduler()),
        pool: ptr::from_ref(pool),
        id,
        outer: ptr::null(),
    };
    entered.enter(body)
}

/// Calls `f` with the worker that the calling thread is, if it is one.
#[inline(always)]
pub(crate) fn with<R>(f: impl FnOnce(Option<&Worker<'_>>) -> R) -> R {
    let worker = CURRENT.get();
    // SAFETY: `enter` set it on this thread and resets it before the worker goes.
    f(unsafe { worker.as_ref() })
}

/// Which worker of its pool the calling thread is.
pub(crate) fn id() -> Option<WorkerId> {
    // SAFETY: the innermost one's `enter` has not returned.
    unsafe { ENTERED.get().as_ref() }.and_then(|entered| entered.id)
}

/// Calls `f` with the worker of `shared` that the calling thread is, innermost or further out on its
/// stack, if it is one. Inside `f` it is the current one.
#[inline(always)]
pub(crate) fn with_worker_of<R>(shared: &Shared, f: impl FnOnce(Option<&Worker<'_>>) -> R) -> R {
    with(|worker| match worker {
        Some(worker) if ptr::eq(worker.scheduler(), shared) => f(Some(worker)),
        _ => with_outer(|entered| ptr::eq(entered.home, shared), f),
    })
}

/// As [`with_worker_of`], where a worker that stands in for those of `shared` counts as well: for calls
/// that do with any worker.
#[inline(always)]
pub(crate) fn with_worker_for<R>(shared: &Shared, f: impl FnOnce(Option<&Worker<'_>>) -> R) -> R {
    with(|worker| match worker {
        Some(worker) if ptr::eq(worker.scheduler(), shared) => f(Some(worker)),
        _ => with_outer(|entered| ptr::eq(entered.pool, shared), f),
    })
}

#[inline(never)]
fn with_outer<R>(is: impl Fn(&Entered) -> bool, f: impl FnOnce(Option<&Worker<'_>>) -> R) -> R {
    // SAFETY: the innermost one's `enter` has not returned.
    match unsafe { Entered::find(ENTERED.get(), is) } {
        None => f(None),
        Some(entered) => {
            // SAFETY: the worker is there until its `enter` returns, which called this.
            let worker = unsafe { &*entered.worker };
            entered.enter(|| f(Some(worker)))
        }
    }
}
