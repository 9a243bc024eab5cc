//! Calls from outside that wait for a result, also from one pool into another and back.
//!
//! A worker of one pool that calls into another blocks, for nothing in the other pool is its to help
//! with. There is one exception: if what it waits for calls *back* into its own pool, that is a
//! descendant, and its pool may have no other worker left to run it. So each call carries the chain of
//! workers that are blocked for its sake; a call into a pool that has a worker in the chain is
//! delivered to that worker, which runs it where it waits.

use std::cell::Cell;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

use pinfold_core::platform::Unwind;

use crate::current::{self, Shared, Worker};
use crate::inner::Inner;
use crate::lock::{into_inner, lock};
use crate::platform::Threads;

thread_local! {
    /// The innermost blocked worker for whose sake this thread runs, if any.
    static CHAIN: Cell<*const Blocked> = const { Cell::new(ptr::null()) };
}

impl Inner {
    /// Calls `f` on some worker and waits for its result; here if the pool was shut down.
    pub(crate) fn call<F, R>(&self, f: F) -> R
    where
        F: FnOnce(&Worker<'_>) -> R + Send,
        R: Send,
    {
        current::with_outer_worker_of(&self.scheduler, |worker| match worker {
            Some(worker) => f(worker),
            None => self.call_elsewhere(f),
        })
    }

    fn call_elsewhere<F, R>(&self, f: F) -> R
    where
        F: FnOnce(&Worker<'_>) -> R + Send,
        R: Send,
    {
        current::with(|caller| {
            let blocked = Blocked::new(caller);
            let call = Call {
                state: Mutex::new(State::Waiting(f)),
                ended: AtomicBool::new(false),
                chain: if caller.is_some() {
                    &blocked
                } else {
                    blocked.outer
                },
                caller: thread::current(),
            };
            // SAFETY: `call` is alive until it has ended, which is waited for below.
            let entry = unsafe { Entry::new(&call) };
            match Blocked::of_pool(&self.scheduler) {
                Some(ancestor) => ancestor.deliver(entry),
                // SAFETY: `call` is borrowed until `ended`, which `entry` sets when it is run or
                // dropped, and which is waited for below.
                None => unsafe { self.inject(move |worker: &Worker<'_>| entry.run(worker)) },
            }
            call.wait(&blocked, caller);
            match into_inner(call.state) {
                State::Ended(Ok(result)) => result,
                State::Ended(Err(panic)) => Threads::resume(panic),
                // A shutdown cancelled the task before a worker took it.
                State::Waiting(f) => self.as_last_worker(f),
                State::Running => unreachable!("the call has ended"),
            }
        })
    }
}

/// A worker that is blocked in a call into another pool, on that worker's stack.
struct Blocked {
    /// The address of its pool's scheduler.
    home: *const Shared,
    /// The next one further out.
    outer: *const Blocked,
    /// A call back into its pool. There is one at a time: what calls back waits.
    delivered: Mutex<Option<Delivered>>,
    thread: Thread,
}

/// A call on its way to a blocked worker.
struct Delivered {
    call: *const (),
    /// Runs it; see [`run`].
    run: unsafe fn(*const (), &Worker<'_>),
}

// SAFETY: a `Call` may be run on any thread: its closure and result are `Send`.
unsafe impl Send for Delivered {}

impl Blocked {
    fn new(caller: Option<&Worker<'_>>) -> Self {
        Blocked {
            home: caller.map_or(ptr::null(), |worker| ptr::from_ref(worker.scheduler())),
            outer: CHAIN.get(),
            delivered: Mutex::new(None),
            thread: thread::current(),
        }
    }

    /// The innermost worker of `pool` that is blocked for the sake of the calling thread.
    fn of_pool<'c>(pool: &Shared) -> Option<&'c Blocked> {
        let mut next = CHAIN.get();
        // SAFETY: whoever is in the chain waits, directly or not, for what this thread runs now,
        // so its stack frame is there until that returns.
        while let Some(blocked) = unsafe { next.as_ref() } {
            if ptr::eq(blocked.home, pool) {
                return Some(blocked);
            }
            next = blocked.outer;
        }
        None
    }

    fn deliver<F, R>(&self, entry: Entry<F, R>)
    where
        F: FnOnce(&Worker<'_>) -> R + Send,
        R: Send,
    {
        let delivered = Delivered {
            call: entry.0.cast(),
            run: run::<F, R>,
        };
        std::mem::forget(entry);
        let before = lock(&self.delivered).replace(delivered);
        debug_assert!(
            before.is_none(),
            "what calls back waits, so there is one at a time"
        );
        self.thread.unpark();
    }

    fn take(&self) -> Option<Delivered> {
        lock(&self.delivered).take()
    }
}

/// A call, on the caller's stack.
struct Call<F, R> {
    state: Mutex<State<F, R>>,
    ended: AtomicBool,
    /// The workers that are blocked for the sake of this call.
    chain: *const Blocked,
    caller: Thread,
}

enum State<F, R> {
    Waiting(F),
    Running,
    Ended(thread::Result<R>),
}

impl<F, R> Call<F, R> {
    fn wait(&self, blocked: &Blocked, caller: Option<&Worker<'_>>) {
        // Acquire: pairs with the Release in `end`.
        while !self.ended.load(Ordering::Acquire) {
            match (blocked.take(), caller) {
                // SAFETY: it was taken out, so it is run once, and who delivered it waits.
                (Some(Delivered { call, run }), Some(worker)) => unsafe { run(call, worker) },
                _ => thread::park(),
            }
        }
    }
}

/// Runs a call and ends it. By pointer, because the call may be gone before this returns.
///
/// # Safety
///
/// `call` points to a `Call<F, R>` that has not ended, and nobody else runs it.
unsafe fn run<F: FnOnce(&Worker<'_>) -> R, R>(call: *const (), worker: &Worker<'_>) {
    let call = call.cast::<Call<F, R>>();
    // SAFETY: the call is there until it has ended.
    let (state, chain) = unsafe { (&(*call).state, (*call).chain) };
    let before = std::mem::replace(&mut *lock(state), State::Running);
    if let State::Waiting(f) = before {
        let outer = CHAIN.replace(chain);
        let result = Threads::catch(|| f(worker));
        CHAIN.set(outer);
        *lock(state) = State::Ended(result);
    }
    // SAFETY: as above.
    unsafe { end(call) };
}

/// Lets the caller go on. The last use of the call.
///
/// # Safety
///
/// The call has not ended.
unsafe fn end<F, R>(call: *const Call<F, R>) {
    // SAFETY: the call is there until `ended` is set.
    let caller = unsafe { (*call).caller.clone() };
    // SAFETY: as above; the flag is one atomic byte. Release: pairs with the Acquire in `wait`.
    unsafe { (*call).ended.store(true, Ordering::Release) };
    caller.unpark();
}

/// The right to run a call; dropped, it ends the call unrun.
struct Entry<F, R>(*const Call<F, R>);

// SAFETY: of the call, an entry uses the closure and the result, which are `Send`, and the chain,
// whose members wait.
unsafe impl<F: Send, R: Send> Send for Entry<F, R> {}

impl<F, R> Entry<F, R> {
    /// # Safety
    ///
    /// The call is not freed before it has ended, and has one entry.
    unsafe fn new(call: &Call<F, R>) -> Self {
        Entry(call)
    }

    fn run(self, worker: &Worker<'_>)
    where
        F: FnOnce(&Worker<'_>) -> R,
    {
        let call = self.0.cast();
        std::mem::forget(self);
        // SAFETY: duty of `new`; the one entry is used up.
        unsafe { run::<F, R>(call, worker) };
    }
}

impl<F, R> Drop for Entry<F, R> {
    fn drop(&mut self) {
        // SAFETY: duty of `new`; the call was not run.
        unsafe { end(self.0) };
    }
}
