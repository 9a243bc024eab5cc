//! Handles to submitted tasks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pinfold_core::arena::Exhausted;
use pinfold_core::handle::{Ended, Reservation, ReserveError, Ticket};
use pinfold_core::platform::Unwind;
use pinfold_core::task::{TaskId, fits};

use crate::current::{self, Worker};
use crate::error::{JoinError, SubmitError};
use crate::inner::Inner;
use crate::platform::Threads;
use crate::storage::Boxed;

/// The handle to a submitted task: its result, its end, its cancellation. Also a `Future`.
///
/// Dropping it lets the task go on by itself.
///
/// Waiting on a worker of the same pool runs the task on the spot if nobody has begun it, and else
/// helps with the task's own children only.
#[must_use = "dropping a handle gives up the result; use `Pool::spawn` for a task without one"]
pub struct JoinHandle<R> {
    pool: Arc<Inner>,
    ticket: Option<Tickets<R>>,
}

/// The result is in the slot, or, if it is too large, in a box.
enum Tickets<R> {
    Inline(Ticket<thread::Result<R>>),
    Boxed(Ticket<thread::Result<Box<R>>>),
}

impl<R: Send + 'static> Tickets<R> {
    /// Puts `task` into the slot that was reserved, boxed if it or its result does not fit.
    fn of<F>(reservation: Reservation<'_, Boxed, Threads>, task: F) -> Option<Self>
    where
        F: FnOnce() -> R + Send + 'static,
    {
        // The wrappers below capture `task`, or its box, and nothing else.
        match (fits::<F>(), fits::<thread::Result<R>>()) {
            (true, true) => reservation
                .submit(|_: &Worker<'_>| Threads::catch(task))
                .ok()
                .map(Tickets::Inline),
            (false, true) => {
                let task = Box::new(task);
                reservation
                    .submit(|_: &Worker<'_>| Threads::catch(*task))
                    .ok()
                    .map(Tickets::Inline)
            }
            (_, false) => {
                let task = Box::new(task);
                let boxing = |_: &Worker<'_>| Threads::catch(|| Box::new(task()));
                reservation.submit(boxing).ok().map(Tickets::Boxed)
            }
        }
    }
}

/// Does the same with either kind of ticket.
macro_rules! with_ticket {
    ($tickets:expr, $ticket:ident => $body:expr) => {
        match $tickets {
            Tickets::Inline($ticket) => $body,
            Tickets::Boxed($ticket) => $body,
        }
    };
}

impl<R: Send + 'static> JoinHandle<R> {
    pub(crate) fn submit<F>(pool: &Arc<Inner>, task: F) -> Result<Self, SubmitError<F>>
    where
        F: FnOnce() -> R + Send + 'static,
    {
        let reservation = match pool.scheduler.reserve() {
            Ok(reservation) => reservation,
            Err(ReserveError::Exhausted(Exhausted { slots, high_water })) => {
                return Err(SubmitError::Full {
                    task,
                    slots,
                    high_water,
                });
            }
            Err(closed) => {
                debug_assert_eq!(closed, ReserveError::Closed, "there is no third reason");
                return Err(SubmitError::ShutDown { task });
            }
        };
        let ticket = Tickets::of(reservation, task);
        debug_assert!(ticket.is_some(), "what does not fit was boxed");
        let handle = JoinHandle {
            pool: Arc::clone(pool),
            ticket,
        };
        pool.settle_if_closed();
        Ok(handle)
    }

    /// The task's name in its pool. `None` once the handle, as a `Future`, has given its result out.
    pub fn id(&self) -> Option<TaskId> {
        let scheduler = &self.pool.scheduler;
        self.ticket
            .as_ref()
            .map(|tickets| with_ticket!(tickets, t => scheduler.task_id(t)))
    }

    /// Waits for the task's end and returns its result.
    ///
    /// # On a worker of another pool
    ///
    /// there is nothing to help with, and that worker blocks: its pool has one fewer meanwhile. Should
    /// the task in turn wait for a task that it submitted to that pool, and the blocked worker be its
    /// last, then **both wait for ever**. Between pools, call [`Pool::install`](crate::Pool::install)
    /// instead (or `join`, `scope`, `run`): a call that comes back into a pool whose worker is blocked
    /// for its sake is run by that worker.
    ///
    /// ```
    /// let (one, other) = (pinfold::Pool::new(1)?, pinfold::Pool::new(1)?);
    /// // From `one` to `other` and back, with a single worker each.
    /// let answer = one.install(|| other.install(|| one.install(|| 6 * 7)));
    /// assert_eq!(answer, 42);
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`JoinError::Panicked`] with what the task's panic carried, or [`JoinError::Cancelled`] if it
    /// was cancelled before it started, by [`JoinHandle::cancel`] or a shutdown.
    pub fn join(mut self) -> Result<R, JoinError> {
        let pool = Arc::clone(&self.pool);
        current::with_worker_of(&pool.scheduler, |worker| match worker {
            Some(worker) => self.wait_inside(worker),
            None => self.wait_outside(None),
        });
        self.take()
    }

    /// The result if the task has ended, else the handle. Does not wait.
    ///
    /// ```
    /// let pool = pinfold::Pool::new(1)?;
    /// let (open, gate) = std::sync::mpsc::channel::<()>();
    /// let handle = pool.submit(move || gate.recv().is_ok()).expect("a slot is free");
    /// let mut handle = handle.try_join().expect_err("it waits at the gate");
    /// open.send(()).expect("the task listens");
    /// let opened = loop {
    ///     handle = match handle.try_join() {
    ///         Ok(result) => break result?,
    ///         Err(handle) => handle, // something else could be done here
    ///     };
    ///     std::thread::yield_now();
    /// };
    /// assert!(opened);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The handle, while the task has not ended.
    pub fn try_join(self) -> Result<Result<R, JoinError>, Self> {
        if self.is_finished() {
            Ok(self.take())
        } else {
            Err(self)
        }
    }

    /// Waits for the task's end, but no longer than `timeout`. It only waits: on a worker of the
    /// same pool it does not run the task itself, for that might take longer. A `timeout` beyond what
    /// the clock can tell is none.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = pinfold::Pool::new(1)?;
    /// let (open, gate) = std::sync::mpsc::channel::<()>();
    /// let handle = pool.submit(move || gate.recv().is_ok()).expect("a slot is free");
    /// let late = handle.join_timeout(Duration::from_millis(1));
    /// let handle = late.expect_err("nobody has opened the gate");
    /// open.send(()).expect("the task listens");
    /// assert!(handle.join()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The handle, if the time is over.
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<R, JoinError>, Self> {
        self.wait_outside(Instant::now().checked_add(timeout));
        self.try_join()
    }

    /// Cancels the task if it has not started. `false`: it has, or it has ended. Lock-free; does not
    /// wait.
    ///
    /// The closure is dropped by the worker that finds it in its queue. A task that runs is not
    /// interrupted: give it a flag to look at.
    ///
    /// ```
    /// let pool = pinfold::Pool::new(1)?;
    /// let (open, gate) = std::sync::mpsc::channel::<()>();
    /// let busy = pool.submit(move || gate.recv().is_ok()).expect("a slot is free");
    /// // The only worker takes the older one first, and is at the gate with it.
    /// let queued = pool.submit(|| unreachable!("it was cancelled")).expect("a slot is free");
    /// assert!(queued.cancel());
    /// open.send(()).expect("the task listens");
    /// assert!(matches!(queued.join(), Err(pinfold::JoinError::Cancelled)));
    /// assert!(busy.join()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) -> bool {
        self.id().is_some_and(|id| self.pool.scheduler.cancel(id))
    }

    /// Whether the task has ended, one way or the other.
    pub fn is_finished(&self) -> bool {
        let scheduler = &self.pool.scheduler;
        self.ticket.as_ref().is_none_or(|tickets| {
            // SAFETY: the ticket is from this pool's scheduler.
            with_ticket!(tickets, t => unsafe { scheduler.is_finished(t) })
        })
    }

    fn wait_inside(&mut self, worker: &Worker<'_>) {
        let Some(tickets) = &mut self.ticket else {
            return;
        };
        // SAFETY: the ticket is from this pool's scheduler, which is the worker's.
        with_ticket!(tickets, t => unsafe { worker.wait(t) });
    }

    /// Blocks until the task has ended, or until `deadline`.
    fn wait_outside(&mut self, deadline: Option<Instant>) {
        let doorbell = Doorbell::of_this_thread();
        // The doorbell is the thread's: somebody else's ring only leads to another look.
        while !self.is_finished() && self.register(&doorbell.1) {
            // Acquire: pairs with the Release in `wake`.
            while !doorbell.0.rung.swap(false, Ordering::Acquire) {
                let rest = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                match rest {
                    None => thread::park(),
                    Some(Duration::ZERO) => return self.unregister(),
                    Some(rest) => thread::park_timeout(rest),
                }
            }
        }
    }

    fn unregister(&mut self) {
        let scheduler = &self.pool.scheduler;
        if let Some(tickets) = &mut self.ticket {
            // SAFETY: the ticket is from this pool's scheduler.
            with_ticket!(tickets, t => unsafe { scheduler.unregister(t) });
        }
    }

    /// Has `waker` woken at the end. `false`: the task has ended.
    fn register(&mut self, waker: &Waker) -> bool {
        let scheduler = &self.pool.scheduler;
        self.ticket.as_mut().is_some_and(|tickets| {
            // SAFETY: the ticket is from this pool's scheduler.
            with_ticket!(tickets, t => unsafe { scheduler.register(t, waker) })
        })
    }

    /// The result of a task that has ended.
    fn take(mut self) -> Result<R, JoinError> {
        let scheduler = &self.pool.scheduler;
        let result = match self
            .ticket
            .take()
            .expect("a handle has a ticket until it is used up")
        {
            // SAFETY: the ticket is from this pool's scheduler.
            Tickets::Inline(ticket) => match unsafe { scheduler.release(ticket) } {
                Some(Ended::Done(result)) => result,
                _ => return Err(JoinError::Cancelled),
            },
            // SAFETY: as above.
            Tickets::Boxed(ticket) => match unsafe { scheduler.release(ticket) } {
                Some(Ended::Done(result)) => result.map(|boxed| *boxed),
                _ => return Err(JoinError::Cancelled),
            },
        };
        result.map_err(JoinError::Panicked)
    }
}

impl<R: Send + 'static> Future for JoinHandle<R> {
    type Output = Result<R, JoinError>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_finished() && self.register(context.waker()) {
            return Poll::Pending;
        }
        let handle = JoinHandle {
            pool: Arc::clone(&self.pool),
            ticket: self.ticket.take(),
        };
        Poll::Ready(handle.take())
    }
}

impl<R> Unpin for JoinHandle<R> {}

impl<R> Drop for JoinHandle<R> {
    fn drop(&mut self) {
        let Some(tickets) = self.ticket.take() else {
            return;
        };
        let scheduler = &self.pool.scheduler;
        // SAFETY: the ticket is from this pool's scheduler.
        with_ticket!(tickets, t => drop(unsafe { scheduler.release(t) }));
    }
}

impl<R> fmt::Debug for JoinHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self
            .ticket
            .as_ref()
            .map(|t| with_ticket!(t, t => self.pool.scheduler.task_id(t)));
        f.debug_struct("JoinHandle")
            .field("task", &id)
            .finish_non_exhaustive()
    }
}

/// What a blocked thread waits at.
struct Doorbell {
    rung: AtomicBool,
    thread: Thread,
}

impl Doorbell {
    /// The calling thread's, and its waker. Made once per thread, so that waiting allocates nothing.
    fn of_this_thread() -> (Arc<Doorbell>, Waker) {
        thread_local! {
            static DOORBELL: (Arc<Doorbell>, Waker) = {
                let doorbell = Arc::new(Doorbell {
                    rung: AtomicBool::new(false),
                    thread: thread::current(),
                });
                (Arc::clone(&doorbell), Waker::from(doorbell))
            };
        }
        DOORBELL.with(Clone::clone)
    }
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: pairs with the Acquire in `wait_outside`.
        self.rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
