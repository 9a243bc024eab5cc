//! Structured tasks: none outlives the scope that it was spawned in.
//!
//! A scope counts its unfinished tasks in a [`CountLatch`] on the stack of who opened it, and what
//! its owner spawns and finishes itself in a plain cell: a scope that no thief visits performs no
//! atomic read-modify-write. The latch starts with a large bias, which the owner takes back when its
//! body has ended, together with its own count; only from then on can the latch reach zero.
//!
//! (On 32-bit targets the bias is about a million: there a scope of which thieves end more tasks than that before its body
//! has ended trips an assertion of debug builds, and no more.)
//!
//! The scope's place in the ancestry (see `task`) is a slot that it holds while it is open. If there
//! is none free, its tasks are run at once by whoever spawns them.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;

use crate::arena::{Arena, Exhausted};
use crate::latch::CountLatch;
use crate::order;
use crate::platform::{Platform, Unwind, WorkerId};
use crate::scheduler::{SpawnError, Storage, contain};
use crate::sync::{AtomicBool, UnsafeCell};
use crate::task::{Frame, Kind, Slot, SlotIndex, fits};
use crate::worker::Worker;

/// What the latch holds until the body has ended.
const BIAS: usize = CountLatch::MAX_COUNT / 2;

/// An open scope: a place to spawn tasks that may borrow what outlives `'scope`.
pub struct Scope<'scope, S: Storage, P: Platform + Unwind> {
    latch: CountLatch,
    /// The address of the worker that opened it.
    owner: *const (),
    /// The address of its scheduler.
    scheduler: *const (),
    frame: Frame,
    depth: u32,
    /// Whether the scope has a slot, without which it cannot have queued tasks.
    open: bool,
    /// Tasks spawned minus tasks finished by the owner, until `settled`. The owner's alone.
    own: Cell<isize>,
    /// Whether `own` has gone into the latch. The owner's alone.
    settled: Cell<bool>,
    panicked: AtomicBool,
    /// The first panic. Written by who set `panicked`, read when all tasks are done.
    panic: UnsafeCell<Option<P::Panic>>,
    scope: PhantomData<fn(&'scope (), S) -> &'scope ()>,
}

// SAFETY: `own` and `settled` are touched only by the worker whose address is `owner`, which is one
// thread's and alive while the scope is; `panic` by the one task that wins `panicked`, and by
// the owner after the latch; the rest is atomic or constant. Panics are `Send`.
unsafe impl<S: Storage, P: Platform + Unwind> Sync for Scope<'_, S, P> {}

/// Slots that were taken together, linked through themselves.
#[derive(Default)]
struct SlotList {
    /// The first slot, plus one.
    first: u32,
}

impl SlotList {
    fn push<A: AsRef<[Slot]>>(&mut self, arena: &Arena<A>, index: SlotIndex) {
        // Relaxed: the slot is ours.
        arena
            .slot(index)
            .next
            .store(self.first, order!("scope.slots.link", Relaxed));
        self.first = index + 1;
    }

    fn pop<A: AsRef<[Slot]>>(&mut self, arena: &Arena<A>) -> Option<SlotIndex> {
        let index = self.first.checked_sub(1)?;
        // Relaxed: the slot is ours.
        self.first = arena
            .slot(index)
            .next
            .load(order!("scope.slots.next", Relaxed));
        Some(index)
    }
}

/// A scope's address on its way to a task.
struct ScopePtr<T>(*const T);

// SAFETY: a `Scope` is `Sync`, and alive until its last task is done.
unsafe impl<T> Send for ScopePtr<T> {}

impl<T> ScopePtr<T> {
    /// A method, so that closures capture the whole.
    fn get(&self) -> *const T {
        self.0
    }
}

impl<S: Storage, P: Platform + Unwind> Worker<'_, S, P> {
    /// Calls `body` with a scope, waits until all tasks spawned in it are done, and returns what
    /// `body` returned.
    ///
    /// While it waits, the worker helps with the scope's tasks and their descendants only. A panic
    /// of the body, or else the first panic of a task, goes on after all are done.
    pub fn scope<'scope, R>(&self, body: impl FnOnce(&Scope<'scope, S, P>) -> R) -> R {
        self.open_scope(self.take_slot(), body)
    }

    /// Calls `task` once on each of the first `workers` workers and on this one, and waits until
    /// all are done.
    ///
    /// While it waits, the worker also serves what others broadcast to it; every waiting worker does.
    ///
    /// # Errors
    ///
    /// [`Exhausted`], before anything ran, unless a slot is free for each worker.
    pub fn broadcast<F>(&self, workers: usize, task: &F) -> Result<(), Exhausted>
    where
        F: for<'x> Fn(&Worker<'x, S, P>) + Sync,
    {
        let others = || {
            let all = (0..workers).filter_map(WorkerId::new);
            all.filter(|&id| id != self.id())
        };
        let mut slots = self
            .take_slots(1 + others().count())
            .ok_or_else(|| self.scheduler().arena.exhausted())?;
        let frame = slots.pop(&self.scheduler().arena);
        self.open_scope(frame, |scope| {
            for target in others() {
                let call = |_: &Scope<'_, S, P>, worker: &Worker<'_, S, P>| task(worker);
                if let Some(index) = slots.pop(&self.scheduler().arena) {
                    self.post(target, scope.fill(self, index, call));
                }
            }
            task(self);
        });
        Ok(())
    }

    /// So many slots, or none.
    fn take_slots(&self, count: usize) -> Option<SlotList> {
        let arena = &self.scheduler().arena;
        let mut slots = SlotList::default();
        for _ in 0..count {
            let Some(index) = self.take_slot() else {
                while let Some(index) = slots.pop(arena) {
                    self.give_slot(index);
                }
                return None;
            };
            slots.push(arena, index);
        }
        Some(slots)
    }

    fn open_scope<'scope, R>(
        &self,
        slot: Option<SlotIndex>,
        body: impl FnOnce(&Scope<'scope, S, P>) -> R,
    ) -> R {
        let outer = self.frame();
        let depth = self.depth_below(outer);
        if let Some(index) = slot {
            self.scheduler()
                .arena
                .slot(index)
                .label(Kind::Frame, outer, depth);
        }
        let scope = Scope {
            latch: CountLatch::new(BIAS),
            owner: (&raw const *self).cast(),
            scheduler: (&raw const *self.scheduler()).cast(),
            frame: slot.map_or(outer, Frame::of),
            depth: depth + 1,
            open: slot.is_some(),
            own: Cell::new(0),
            settled: Cell::new(false),
            panicked: AtomicBool::new(false),
            panic: UnsafeCell::new(None),
            scope: PhantomData,
        };
        let result = self.within(scope.frame, || P::catch(|| body(&scope)));
        self.finish_scope(&scope);
        if let Some(index) = slot {
            self.give_slot(index);
        }
        // SAFETY: all tasks are done.
        let panic = scope.panic.with_mut(|panic| unsafe { (*panic).take() });
        match (result, panic) {
            (Err(panic), other) => {
                contain::<P>(|| drop(other));
                P::resume(panic)
            }
            (Ok(_), Some(panic)) => P::resume(panic),
            (Ok(result), None) => result,
        }
    }

    fn finish_scope(&self, scope: &Scope<'_, S, P>) {
        if !scope.open {
            return;
        }
        self.help_own(scope.frame);
        scope.settled.set(true);
        let share = BIAS.wrapping_add_signed(-scope.own.get());
        let waiter = scope.latch.done(share);
        debug_assert_eq!(waiter, None, "only the owner waits");
        self.wait_for(
            scope.frame,
            || scope.latch.is_done(),
            || scope.latch.register(self.id()),
        );
    }
}

impl<'scope, S: Storage, P: Platform + Unwind> Scope<'scope, S, P> {
    /// Runs `task` on some worker before the scope ends; it gets the scope, to spawn more, and
    /// its worker. `worker` is the caller's; if it belongs to another scheduler, or no slot is
    /// free, the task is run at once. Lock-free.
    ///
    /// # Errors
    ///
    /// `TooLarge` with the closure.
    pub fn spawn<'w, F>(&self, worker: &Worker<'w, S, P>, task: F) -> Result<(), SpawnError<F>>
    where
        F: for<'x> FnOnce(&Self, &Worker<'x, S, P>) + Send + 'scope,
    {
        // What is stored is the task and the scope's address.
        if !fits::<(usize, F)>() {
            return Err(SpawnError::TooLarge(task));
        }
        match self.slot_from(worker) {
            Some(index) => worker.publish(self.fill(worker, index, task)),
            // The frame, too, is of this scope's scheduler.
            None if !self.is_of(worker) => self.call(worker, task),
            None => worker.within(self.frame, || self.call(worker, task)),
        }
        Ok(())
    }

    /// As [`Scope::spawn`], but `task` runs on the worker `target` and nowhere else. A target
    /// without a seat is the caller itself.
    ///
    /// # Errors
    ///
    /// `TooLarge`, or `Exhausted` (also if the scope itself found no slot, or `worker` belongs to
    /// another scheduler), with the closure.
    pub fn spawn_on<'w, F>(
        &self,
        worker: &Worker<'w, S, P>,
        target: WorkerId,
        task: F,
    ) -> Result<(), SpawnError<F>>
    where
        F: for<'x> FnOnce(&Self, &Worker<'x, S, P>) + Send + 'scope,
    {
        if !fits::<(usize, F)>() {
            return Err(SpawnError::TooLarge(task));
        }
        let Some(index) = self.slot_from(worker) else {
            return Err(SpawnError::Exhausted(
                task,
                worker.scheduler().arena.exhausted(),
            ));
        };
        worker.post(target, self.fill(worker, index, task));
        Ok(())
    }

    /// Counts `task` and puts it into the slot `index`.
    #[inline]
    fn fill<F>(&self, worker: &Worker<'_, S, P>, index: SlotIndex, task: F) -> SlotIndex
    where
        F: for<'x> FnOnce(&Self, &Worker<'x, S, P>) + Send + 'scope,
    {
        self.count_spawn(worker);
        let slot = worker.scheduler().arena.slot(index);
        slot.label(Kind::Plain, self.frame, self.depth);
        let scope = ScopePtr(&raw const *self);
        let counted = move |worker: &Worker<'_, S, P>| {
            // SAFETY: the scope waits for this task, which is counted until `count_end`.
            unsafe { (*scope.get()).call(worker, task) };
            // SAFETY: as above, up to the count.
            unsafe { Scope::count_end(scope.get(), worker) };
        };
        // SAFETY: 1. the caller took the slot for this. 2. the scope does not end before the task
        // has, and what the task borrows outlives `'scope`. 3. the callers check that it fits.
        unsafe { slot.store::<Worker<'_, S, P>, _>(counted) };
        index
    }

    fn slot_from(&self, worker: &Worker<'_, S, P>) -> Option<SlotIndex> {
        if self.open && self.is_of(worker) {
            worker.take_slot()
        } else {
            None
        }
    }

    /// Whether `worker` works for the scheduler in which the scope was opened.
    #[inline(always)]
    fn is_of(&self, worker: &Worker<'_, S, P>) -> bool {
        self.scheduler == (&raw const *worker.scheduler()).cast()
    }

    fn call<F>(&self, worker: &Worker<'_, S, P>, task: F)
    where
        F: for<'x> FnOnce(&Self, &Worker<'x, S, P>),
    {
        self.call_here(|scope| task(scope, worker));
    }

    #[inline(always)]
    fn counts_in_cell(&self, worker: &Worker<'_, S, P>) -> bool {
        self.owner == (&raw const *worker).cast() && !self.settled.get()
    }

    #[inline(always)]
    fn count_spawn(&self, worker: &Worker<'_, S, P>) {
        if self.counts_in_cell(worker) {
            self.own.set(self.own.get() + 1);
        } else {
            self.latch.add(1);
        }
    }

    /// The last use of the scope by a task. By pointer, because the scope may be gone before this
    /// returns.
    ///
    /// # Safety
    ///
    /// The task is counted, and this is its end.
    #[inline(always)]
    unsafe fn count_end(scope: *const Self, worker: &Worker<'_, S, P>) {
        // SAFETY: until the latch counts the task off, the scope is there.
        let in_cell = unsafe { (*scope).counts_in_cell(worker) };
        if in_cell {
            // SAFETY: as above; the owner is here, so the scope is not going away.
            let own = unsafe { &(*scope).own };
            own.set(own.get() - 1);
            return;
        }
        // SAFETY: as above. The latch is one atomic word, and is not touched after it has counted.
        if let Some(waiter) = unsafe { (*scope).latch.done(1) } {
            worker.scheduler().platform.unpark(waiter);
        }
    }

    /// Calls `task` here and now, as one of the scope's: its panic goes to the scope.
    pub fn call_here(&self, task: impl FnOnce(&Self)) {
        if let Err(panic) = P::catch(|| task(self)) {
            self.keep_panic(panic);
        }
    }

    fn keep_panic(&self, panic: P::Panic) {
        // Relaxed: who is first is decided by this word; the panic travels with the latch.
        if self.panicked.swap(true, order!("scope.panicked", Relaxed)) {
            // A payload may panic when it is dropped.
            contain::<P>(|| drop(panic));
        } else {
            // SAFETY: only one task gets here, and the owner reads after it is done.
            self.panic.with_mut(|place| unsafe { *place = Some(panic) });
        }
    }
}

impl<S: Storage, P: Platform + Unwind> fmt::Debug for Scope<'_, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("frame", &self.frame)
            .field("latch", &self.latch)
            .finish_non_exhaustive()
    }
}
