//! Fork and join: two closures, in parallel if somebody has nothing to do.
//!
//! [`Worker::join`] leaves its second closure on the stack, notes its address in a private ring
//! (two plain stores, one more to forget it), glances at the hunger hint (one relaxed load), runs the first closure, and then
//! usually finds the second where it left it: the newest in the ring. There is no atomic
//! read-modify-write on this path, no allocation and no clock.
//!
//! When somebody is hungry, the **oldest** pending job, which stands for the largest part of the
//! tree, is *promoted*: it gets a slot and becomes stealable like any task.
//!
//! # Damping
//!
//! A thief costs its victim a few hundred nanoseconds, a sleeping one some microseconds. If jobs are
//! tiny, promoting at every opportunity makes everything slower. So a worker promotes at most once
//! in [`PROMOTION_INTERVAL_NS`], and while it must wait it looks at the clock at exponentially
//! growing distances (1, 2, 4 … [`MAX_SKIPPED`] hungry joins), so that even a tree of tiny jobs pays
//! for few clock reads. On a platform without a clock it promotes at every [`MAX_SKIPPED`]th hungry join.
//!
//! # Source
//!
//! Promotion of the oldest is from heartbeat scheduling (U. Acar et al., "Heartbeat scheduling", PLDI
//! 2018); a demand signal in place of the heartbeat is as in lazy scheduling (A. Tzannes et al.,
//! "Lazy binary-splitting", PPoPP 2010).

use core::cell::Cell;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;

use crate::handle::Ticket;
use crate::platform::{Platform, Unwind};
use crate::scheduler::{Storage, contain};
use crate::sync::UnsafeCell;
use crate::task::Frame;
use crate::worker::Worker;

/// How many jobs can be pending in one worker at once; deeper joins are not offered to thieves.
const RING: usize = if cfg!(pinfold_loom) { 4 } else { 256 };

/// The least time between two promotions by one worker, in nanoseconds.
pub const PROMOTION_INTERVAL_NS: u64 = if cfg!(pinfold_loom) { 0 } else { 5_000 };

/// The most hungry joins between two looks at the clock.
pub const MAX_SKIPPED: u32 = 64;

/// The header of a stack job: stores a call of it, made in the frame, in a slot and publishes that.
///
/// # Safety
///
/// The worker is the one on whose stack the job is, and the job is pending.
type Offer = unsafe fn(*const Job, worker: *const (), frame: Frame) -> bool;

struct Job(Offer);

/// A worker's pending jobs: a ring of addresses, newest at `top`, oldest at `bottom`.
pub(crate) struct Pending {
    top: Cell<usize>,
    bottom: Cell<usize>,
    skip: Cell<u32>,
    skipped: Cell<u32>,
    last_promotion_ns: Cell<u64>,
    ring: [Cell<*const Job>; RING],
}

impl Pending {
    pub(crate) fn new() -> Self {
        Pending {
            top: Cell::new(0),
            bottom: Cell::new(0),
            skip: Cell::new(0),
            skipped: Cell::new(0),
            last_promotion_ns: Cell::new(0),
            ring: [const { Cell::new(ptr::null()) }; RING],
        }
    }

    /// Notes a job; `None` if the ring is full. The result is the job's depth.
    #[inline(always)]
    fn push(&self, job: *const Job) -> Option<usize> {
        let depth = self.top.get();
        if depth - self.bottom.get() >= RING {
            return None;
        }
        self.ring[depth % RING].set(job);
        self.top.set(depth + 1);
        Some(depth)
    }

    /// How many joins are open.
    #[inline(always)]
    pub(crate) fn depth(&self) -> usize {
        self.top.get()
    }

    /// Forgets the newest job, which has `depth`. `false`: it was promoted.
    ///
    /// Joins nest, so the newest at this moment is the one that was pushed at `depth`; and since
    /// the oldest is promoted first, it was promoted if and only if everything was.
    #[inline(always)]
    fn pop(&self, depth: usize) -> bool {
        self.top.set(depth);
        if self.bottom.get() <= depth {
            return true;
        }
        self.bottom.set(depth);
        false
    }

    fn oldest(&self) -> Option<*const Job> {
        let bottom = self.bottom.get();
        (bottom < self.top.get()).then(|| self.ring[bottom % RING].get())
    }

    /// Whether it is time to look for something to promote.
    fn is_due(&self, now_ns: impl FnOnce() -> Option<u64>) -> bool {
        if self.skipped.get() < self.skip.get() {
            self.skipped.set(self.skipped.get() + 1);
            return false;
        }
        self.skipped.set(0);
        let Some(now_ns) = now_ns() else {
            self.skip.set(MAX_SKIPPED);
            return true;
        };
        let elapsed_ns = now_ns.wrapping_sub(self.last_promotion_ns.get());
        if elapsed_ns.checked_sub(PROMOTION_INTERVAL_NS).is_none() {
            self.skip.set((self.skip.get() * 2 + 1).min(MAX_SKIPPED));
            return false;
        }
        self.skip.set(0);
        self.last_promotion_ns.set(now_ns);
        true
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("bottom", &self.bottom.get())
            .field("top", &self.top.get())
            .finish_non_exhaustive()
    }
}

/// The second closure of a join, on the stack of who called it.
#[repr(C)]
struct StackJob<B, R> {
    /// First, so that a pointer to the job is one to the header.
    job: Job,
    closure: UnsafeCell<ManuallyDrop<B>>,
    /// Written when the job is promoted, by its owner.
    ticket: UnsafeCell<MaybeUninit<Ticket<()>>>,
    /// Written by the thief.
    result: UnsafeCell<MaybeUninit<R>>,
}

/// A pointer to a stack job on its way to another thread.
struct SendPtr<T>(*const T);

// SAFETY: `offer` sends it together with the right to call the closure (`Send`) and to leave a
// result (`Send`); the rest of the job stays with its owner.
unsafe impl<T> Send for SendPtr<T> {}

impl<T> SendPtr<T> {
    /// A method, so that closures capture the whole.
    fn get(&self) -> *const T {
        self.0
    }
}

impl<B, R> StackJob<B, R> {
    /// Moves the result out.
    ///
    /// # Safety
    ///
    /// The thief has left it, and it was not moved out before.
    unsafe fn take_result(&self) -> R {
        // SAFETY: the caller's duty.
        self.result
            .with_mut(|result| unsafe { (*result).assume_init_read() })
    }

    /// Moves the closure out.
    ///
    /// # Safety
    ///
    /// The caller owns the closure: the owner of a job that is not promoted or was taken back, or
    /// the thief that claimed it.
    #[inline(always)]
    unsafe fn take(&self) -> B {
        // SAFETY: the caller owns it, and nobody takes it a second time.
        self.closure
            .with_mut(|closure| unsafe { ManuallyDrop::take(&mut *closure) })
    }
}

impl<S: Storage, P: Platform + Unwind> Worker<'_, S, P> {
    /// Calls `a` and `b`, in parallel if somebody has nothing to do, and returns both results.
    ///
    /// `a` runs here and now; `b` runs here afterwards, unless a thief took it. Costs a few
    /// plain stores and loads more than calling both, and no read-modify-write. If one panics, the other is finished or dropped unrun
    /// before the panic goes on; if both panic, `a`'s goes on.
    ///
    /// While it waits for a thief, the worker helps with descendants of `b` only.
    #[inline]
    pub fn join<A, B, RA, RB>(&self, a: A, b: B) -> (RA, RB)
    where
        A: FnOnce(&Self) -> RA,
        B: for<'x> FnOnce(&Worker<'x, S, P>) -> RB + Send,
        RB: Send,
    {
        let job = StackJob::<B, Result<RB, P::Panic>> {
            job: Job(offer::<S, P, B, RB>),
            closure: UnsafeCell::new(ManuallyDrop::new(b)),
            ticket: UnsafeCell::new(MaybeUninit::uninit()),
            result: UnsafeCell::new(MaybeUninit::uninit()),
        };
        let Some(depth) = self.pending.push((&raw const job).cast()) else {
            // SAFETY: the job was not noted, so it is ours.
            let b = unsafe { job.take() };
            return call_both(self, a, b);
        };
        if self.scheduler().idle.is_anyone_hungry() {
            self.promote();
        }
        let guard = Settle {
            worker: self,
            job: &job,
            depth,
        };
        let ra = a(self);
        core::mem::forget(guard);
        if self.pending.pop(depth) {
            // SAFETY: it was not promoted, so it is ours.
            return (ra, unsafe { job.take() }(self));
        }
        (ra, self.finish_promoted(&job))
    }

    /// Offers the oldest pending job to thieves, if it is time.
    #[cold]
    fn promote(&self) {
        if !self.pending.is_due(|| self.scheduler().platform.now_ns()) {
            return;
        }
        let Some(oldest) = self.pending.oldest() else {
            return;
        };
        let bottom = self.pending.bottom.get();
        let frame = self.frame_of_join(bottom);
        // SAFETY: a pending job is alive: `join` does not return before it was popped.
        let Job(offer) = unsafe { &*oldest };
        // SAFETY: the job is pending, on this worker's stack.
        if unsafe { offer(oldest, (&raw const *self).cast(), frame) } {
            self.counters().promotions.bump();
            self.pending.bottom.set(bottom + 1);
        }
    }

    #[cold]
    fn finish_promoted<B, RB>(&self, job: &StackJob<B, Result<RB, P::Panic>>) -> RB
    where
        B: for<'x> FnOnce(&Worker<'x, S, P>) -> RB + Send,
    {
        // SAFETY: the job was promoted.
        let Some(b) = (unsafe { self.settle_promoted(job) }) else {
            // SAFETY: the thief is done, so the result is there and ours.
            return match unsafe { job.take_result() } {
                Ok(rb) => rb,
                Err(panic) => P::resume(panic),
            };
        };
        b(self)
    }

    /// Ends a promotion: the closure if no thief took it, else `None` once the thief is done and has
    /// left its result.
    ///
    /// # Safety
    ///
    /// The job was promoted by this worker.
    unsafe fn settle_promoted<B, R>(&self, job: &StackJob<B, R>) -> Option<B> {
        // SAFETY: the promotion wrote the ticket, and only this reads it.
        let mut ticket = job
            .ticket
            .with(|ticket| unsafe { (*ticket).assume_init_read() });
        // SAFETY: the ticket is this worker's offer.
        if unsafe { self.take_back_offer(&ticket) } {
            // SAFETY: no thief has it, nor will have.
            return Some(unsafe { job.take() });
        }
        // SAFETY: the ticket is of this scheduler.
        unsafe { self.wait(&mut ticket) };
        // SAFETY: the ticket is this worker's offer, and the wait is over.
        if unsafe { self.release_offer(ticket) } {
            return None;
        }
        // Cancelled, by a name that somebody made up: what was dropped is the call, not the closure.
        // SAFETY: no thief has it, nor will have.
        Some(unsafe { job.take() })
    }
}

/// A join that is too deep to be noted.
#[cold]
#[inline(never)]
fn call_both<W, RA, RB>(
    worker: &W,
    a: impl FnOnce(&W) -> RA,
    b: impl FnOnce(&W) -> RB,
) -> (RA, RB) {
    (a(worker), b(worker))
}

/// Stores a call of the job in a slot and publishes it. `false`: there was no room.
///
/// # Safety
///
/// As said at [`Offer`]; the worker is a `Worker<S, P>`, and the job a `StackJob<B, …RB…>`.
unsafe fn offer<S: Storage, P: Platform + Unwind, B, RB>(
    job: *const Job,
    worker: *const (),
    frame: Frame,
) -> bool
where
    B: for<'x> FnOnce(&Worker<'x, S, P>) -> RB + Send,
    RB: Send,
{
    // SAFETY: the caller passes a worker of this type.
    let worker = unsafe { &*worker.cast::<Worker<'_, S, P>>() };
    let job = job.cast::<StackJob<B, Result<RB, P::Panic>>>();
    let pointer = SendPtr(job);
    let call = move |thief: &Worker<'_, S, P>| {
        // SAFETY: this call was claimed, so the job's owner waits for it in `settle_promoted` and
        // the job is alive until this task is done.
        let job = unsafe { &*pointer.get() };
        // SAFETY: the claim gives the closure to this call.
        let b = unsafe { job.take() };
        let result = P::catch(|| b(thief));
        // SAFETY: until this task is done, the result is the thief's.
        job.result.with_mut(|place| unsafe {
            (*place).write(result);
        });
    };
    let note = |ticket| {
        // SAFETY: the job is pending, and its ticket is its owner's, who calls this.
        unsafe { &*job }.ticket.with_mut(|place| unsafe {
            (*place).write(ticket);
        });
    };
    // SAFETY: 1. `offer` takes a slot of its own. 2. the owner of the job does not return before
    // the call was taken back or is done. 3. a pointer fits.
    unsafe { worker.offer(frame, call) }.map(note).is_some()
}

/// Settles the second job if the first one panics.
struct Settle<'j, 'w, S: Storage, P: Platform + Unwind, B, R> {
    worker: &'j Worker<'w, S, P>,
    job: &'j StackJob<B, R>,
    depth: usize,
}

impl<S: Storage, P: Platform + Unwind, B, R> Drop for Settle<'_, '_, S, P, B, R> {
    // In line, so that the fields stay in registers where nothing panics.
    #[inline(always)]
    fn drop(&mut self) {
        settle_unwinding(self.worker, self.job, self.depth);
    }
}

/// Drops what is left of a job whose join unwinds, after any thief is done with it.
#[cold]
#[inline(never)]
fn settle_unwinding<S: Storage, P: Platform + Unwind, B, R>(
    worker: &Worker<'_, S, P>,
    job: &StackJob<B, R>,
    depth: usize,
) {
    if worker.pending.pop(depth) {
        // SAFETY: it was not promoted, so it is ours.
        return contain::<P>(|| drop(unsafe { job.take() }));
    }
    // SAFETY: it was promoted, by this worker.
    match unsafe { worker.settle_promoted(job) } {
        Some(b) => contain::<P>(|| drop(b)),
        // SAFETY: the thief has left its result. It may be a panic, whose payload may panic when dropped.
        None => contain::<P>(|| drop(unsafe { job.take_result() })),
    }
}
