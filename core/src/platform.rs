//! What the core asks of the machine below it.

#![deny(unsafe_code)]

use core::fmt;

use crate::order;
use crate::sync::fence;

/// The number of a worker in its scheduler, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(u16);

impl WorkerId {
    /// The largest number of workers of one scheduler.
    pub const MAX_WORKERS: usize = 2046;

    /// The worker numbered `index`, or `None` from [`WorkerId::MAX_WORKERS`] on.
    pub const fn new(index: usize) -> Option<Self> {
        if index < Self::MAX_WORKERS {
            Some(WorkerId(index as u16))
        } else {
            None
        }
    }

    /// The number, as an index.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The machine, as far as the core needs one: a way to stop and start a worker.
///
/// The core owns every recheck: it parks only after it has announced itself and looked once more,
/// and looks again whenever `park` returns, for whatever reason.
pub trait Platform: Sync {
    /// Stops the calling worker until [`Platform::unpark`] is called for it, or for no reason at
    /// all. If `unpark` came first, it returns at once (a token, as of `std::thread::park`).
    ///
    /// On bare metal beware of the gap between looking at the token and stopping the core: an interrupt
    /// in between is an `unpark` missed. Look with interrupts masked and stop by an instruction that a
    /// pending interrupt ends all the same (`wfi`), or by one with an event register (`wfe`, and
    /// `sev` in `unpark`).
    fn park(&self, worker: WorkerId);

    /// Lets `worker` return from its present or next `park`. Callable from any thread, and from an
    /// interrupt handler where the platform has them. What happened before it is visible after the
    /// `park` that it ends (release and acquire).
    fn unpark(&self, worker: WorkerId);

    /// Nanoseconds since some fixed moment, if the platform has a clock. Never goes back. Read only on
    /// rare paths, and never for anything that must be right: it paces how often joins are offered.
    fn now_ns(&self) -> Option<u64> {
        None
    }

    /// Slots became free while [`Scheduler::starving`](crate::scheduler::Scheduler::starving)
    /// says that somebody outside waits for one: a run of them, after which more will come if the
    /// workers stay busy, or the `last` before a worker sleeps. Does nothing by default.
    fn slots_freed(&self, last: bool) {
        let _ = last;
    }

    /// The publisher's half of the barrier between "work was published" and "who sleeps?".
    ///
    /// A platform whose [`Platform::sleeper_fence`] acts on all processors at once may leave this
    /// one to the compiler.
    #[inline(always)]
    fn publisher_fence(&self) {
        // SeqCst fence: pairs with the one in `sleeper_fence`. Either the publisher sees the
        // sleeper's bit or the sleeper sees the publisher's work.
        // Weaker: both miss each other. Model: idle::no_wakeup_is_lost.
        fence(order!("idle.publish.fence", SeqCst));
    }

    /// The sleeper's half of the barrier between "I sleep" and "is there work?".
    #[inline(always)]
    fn sleeper_fence(&self) {
        // SeqCst fence: pairs with the one in `publisher_fence`.
        // Weaker: both miss each other. Model: idle::no_wakeup_is_lost.
        fence(order!("idle.sleep.fence", SeqCst));
    }
}

/// What happens when a task panics.
///
/// Where panics end the program, as in most firmware, [`Aborting`] implements it.
///
/// # Safety
///
/// No panic of `f` leaves `catch`: it is caught, or ends the program (as every panic does that is compiled with
/// `panic = "abort"`). Closures and results on stacks of others are given up by returning,
/// and an unwinding that nobody expects would give them up while they are used. For the same reason no
/// method of the type's [`Platform`] unwinds.
#[allow(unsafe_code, reason = "a promise of the implementor's")]
pub unsafe trait Unwind {
    /// What a panic carries.
    type Panic: Send;

    /// Calls `f` and catches its panic.
    ///
    /// # Errors
    ///
    /// The panic.
    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Self::Panic>;

    /// Goes on with a caught panic, in whoever joins the task.
    fn resume(panic: Self::Panic) -> !;

    /// A task panicked that nobody joins.
    fn unhandled(&self, panic: Self::Panic);
}

/// The platform `P`, on which a panic ends the program, in whatever way that is compiled.
///
/// ```
/// use pinfold_core::platform::{Aborting, Platform, WorkerId};
/// use pinfold_core::scheduler::{Fixed, Scheduler};
///
/// struct Board;
/// impl Platform for Board {
///     fn park(&self, _: WorkerId) {}
///     fn unpark(&self, _: WorkerId) {}
/// }
///
/// static SCHEDULER: Scheduler<Fixed<1, 16, 16>, Aborting<Board>> = Scheduler::fixed(Aborting(Board));
/// assert_eq!(SCHEDULER.workers(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Aborting<P>(pub P);

impl<P: Platform> Platform for Aborting<P> {
    fn park(&self, worker: WorkerId) {
        call_or_abort(|| self.0.park(worker));
    }

    fn unpark(&self, worker: WorkerId) {
        call_or_abort(|| self.0.unpark(worker));
    }

    fn now_ns(&self) -> Option<u64> {
        call_or_abort(|| self.0.now_ns())
    }

    fn slots_freed(&self, last: bool) {
        call_or_abort(|| self.0.slots_freed(last));
    }

    #[inline(always)]
    fn publisher_fence(&self) {
        call_or_abort(|| self.0.publisher_fence());
    }

    #[inline(always)]
    fn sleeper_fence(&self) {
        call_or_abort(|| self.0.sleeper_fence());
    }
}

/// Calls `f`; should it unwind, a second panic on its way out ends the program.
#[inline(always)]
fn call_or_abort<R>(f: impl FnOnce() -> R) -> R {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a panic on a platform on which that ends the program");
        }
    }
    let bomb = Bomb;
    let result = f();
    core::mem::forget(bomb);
    result
}

/// A panic that nobody can see: there is none.
type Never = core::convert::Infallible;

// SAFETY: what users have written is called by `call_or_abort`, in `catch` and in `Platform`.
#[allow(unsafe_code, reason = "the promise is kept here")]
unsafe impl<P> Unwind for Aborting<P> {
    type Panic = Never;

    #[inline(always)]
    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Never> {
        Ok(call_or_abort(f))
    }

    fn resume(panic: Never) -> ! {
        match panic {}
    }

    fn unhandled(&self, panic: Never) {
        match panic {}
    }
}
