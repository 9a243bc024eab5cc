//! Calls from outside that wait for a result, also from one pool into another and back.
//!
//! A worker of one pool that calls into another blocks, for nothing in the other pool is its to help
//! with. There is one exception: if what it waits for calls *back* into its own pool, that is a
//! descendant, and its pool may have no other worker left to run it. So each call carries the chain of
//! threads that are blocked for its sake, with all the workers that each of them is; a call into a pool
//! that has a worker in the chain is delivered to that thread, which runs it where it waits.

use std::cell::Cell;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

use pinfold_core::platform::Unwind;

use crate::current::{self, Entered, Shared, Worker};
use crate::inner::Inner;
use crate::lock::{into_inner, lock};
use crate::platform::Threads;

thread_local! {
    /// The innermost blocked worker for whose sake this thread runs, if any.
    static CHAIN: Cell<*const Blocked> = const { Cell::new(ptr::null()) };
}

impl Inner {
    /// Calls `f` on some worker and waits for its result; here if the pool was shut down. The calling thread
    /// is no worker of this pool.
    pub(crate) fn call<F, R>(&self, f: F) -> R
    where
        F: FnOnce(&Worker<'_>) -> R + Send,
        R: Send,
    {
        let ancestor = Blocked::find(|blocked| blocked.is_worker_of(&self.scheduler));
        if ancestor.is_none() && self.scheduler.is_closed() {
            return self.alone(f);
        }
        let blocked = Blocked::new();
        let call = Call {
            state: Mutex::new(State::Waiting(f)),
            ended: AtomicBool::new(false),
            chain: if blocked.entered.is_null() {
                blocked.outer
            } else {
                &blocked
            },
            caller: thread::current(),
        };
        // SAFETY: `call` is alive until it has ended, which is waited for below.
        let entry = unsafe { Entry::new(&call) };
        match ancestor {
            Some(ancestor) => ancestor.deliver(&self.scheduler, entry),
            // SAFETY: `call` is borrowed until `ended`, which `entry` sets when it is run or
            // dropped, and which is waited for below.
            None => unsafe {
                self.inject(move |worker: &Worker<'_>| entry.run(worker));
            },
        }
        call.wait(&blocked);
        match into_inner(call.state) {
            State::Ended(Ok(result)) => result,
            State::Ended(Err(panic)) => Threads::resume(panic),
            // A shutdown came before a worker took it.
            State::Waiting(f) => self.alone(f),
            State::Running => unreachable!("the call has ended"),
        }
    }

    /// Whether the calling thread runs a task of this pool, or something that such a task waits for.
    pub(crate) fn is_inside(&self) -> bool {
        // SAFETY: what this thread has entered it leaves after this.
        let here = unsafe { Entered::is_inside(Entered::innermost(), &self.scheduler) };
        here || Blocked::find(|blocked| blocked.is_inside(&self.scheduler)).is_some()
    }
}

/// A thread that is blocked in a call into a pool, on that thread's stack.
struct Blocked {
    /// The workers that it is, of other pools.
    entered: *const Entered,
    /// The next one further out.
    outer: *const Blocked,
    /// A call back into such a pool. There is one at a time: what calls back waits.
    delivered: Mutex<Option<Delivered>>,
    thread: Thread,
}

/// A call on its way to a blocked worker.
struct Delivered {
    /// The scheduler of the pool that is called.
    pool: *const Shared,
    call: *const (),
    /// Runs it; see [`run`].
    run: unsafe fn(*const (), &Worker<'_>),
}

// SAFETY: a `Call` may be run on any thread: its closure and result are `Send`; a scheduler is `Sync`.
unsafe impl Send for Delivered {}

impl Delivered {
    fn run(self) {
        // SAFETY: this thread is a worker of the pool, so its scheduler is there.
        let pool = unsafe { &*self.pool };
        current::with_worker_of(pool, |worker| {
            let worker = worker.expect("it was delivered to a worker of its pool");
            // SAFETY: it was taken out, so it is run once, and who delivered it waits.
            unsafe { (self.run)(self.call, worker) };
        });
    }
}

impl Blocked {
    fn new() -> Self {
        Blocked {
            entered: Entered::innermost(),
            outer: CHAIN.get(),
            delivered: Mutex::new(None),
            thread: thread::current(),
        }
    }

    /// The innermost one for whose sake the calling thread runs, of those that are `wanted`.
    fn find<'c>(wanted: impl Fn(&Blocked) -> bool) -> Option<&'c Blocked> {
        let mut next = CHAIN.get();
        // SAFETY: whoever is in the chain waits, directly or not, for what this thread runs now,
        // so its stack frame is there until that returns.
        while let Some(blocked) = unsafe { next.as_ref() } {
            if wanted(blocked) {
                return Some(blocked);
            }
            next = blocked.outer;
        }
        None
    }

    fn is_worker_of(&self, pool: &Shared) -> bool {
        // SAFETY: the thread waits, so it leaves nothing meanwhile that it had entered before.
        unsafe { Entered::is_worker_of(self.entered, pool) }
    }

    fn is_inside(&self, pool: &Shared) -> bool {
        // SAFETY: as above.
        unsafe { Entered::is_inside(self.entered, pool) }
    }

    fn deliver<F, R>(&self, pool: &Shared, entry: Entry<F, R>)
    where
        F: FnOnce(&Worker<'_>) -> R + Send,
        R: Send,
    {
        let delivered = Delivered {
            pool,
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
    fn wait(&self, blocked: &Blocked) {
        // Acquire: pairs with the Release in `end`.
        while !self.ended.load(Ordering::Acquire) {
            match blocked.take() {
                Some(delivered) => delivered.run(),
                None => thread::park(),
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

    /// Runs the call on a worker of the pool. Who only stands in for one turns it away: its caller waits,
    /// and does that as well ([`Inner::alone`]).
    fn run(self, worker: &Worker<'_>)
    where
        F: FnOnce(&Worker<'_>) -> R,
    {
        if current::id().is_none() {
            return drop(self);
        }
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
