//! Tasks with a handle: submit, claim, cancel, wait, take the result.
//!
//! The transitions are in `task/state.rs`; this module moves the values that they guard.
//!
//! A [`Ticket`] is the raw handle: it names a slot, not a scheduler, so that an adapter may keep it
//! beside whatever keeps its scheduler alive. Its operations are methods of [`Scheduler`] and
//! [`Worker`], and `unsafe` in one respect only: the ticket must come from that same scheduler.
//!
//! # Example
//!
//! (`Bare` is the platform of the crate's page: one core, driven by hand.)
//!
//! ```
//! # use pinfold_core::platform::{Aborting, Platform, WorkerId};
//! use pinfold_core::handle::Ended;
//! use pinfold_core::scheduler::{Fixed, Scheduler};
//! # struct Bare;
//! # impl Platform for Bare {
//! #     fn park(&self, _: WorkerId) {}
//! #     fn unpark(&self, _: WorkerId) {}
//! # }
//!
//! static SCHEDULER: Scheduler<Fixed<1, 16, 16>, Aborting<Bare>> = Scheduler::fixed(Aborting(Bare));
//!
//! let runs = SCHEDULER.submit(|_| 6 * 7).expect("a slot is free");
//! let never_runs = SCHEDULER.submit(|_| unreachable!()).expect("a slot is free");
//! assert!(SCHEDULER.cancel(SCHEDULER.task_id(&never_runs)));
//!
//! let worker = SCHEDULER.worker(WorkerId::new(0).unwrap(), &[]).expect("the seat is free");
//! while worker.run_one() {}
//! // SAFETY: both tickets are of this scheduler.
//! unsafe {
//!     assert!(SCHEDULER.is_finished(&runs));
//!     assert_eq!(SCHEDULER.release(runs), Some(Ended::Done(42)));
//!     assert_eq!(SCHEDULER.release::<()>(never_runs), Some(Ended::Cancelled));
//! }
//! ```

use core::fmt;
use core::marker::PhantomData;
use core::task::Waker;

use crate::arena::Exhausted;
use crate::broken;
use crate::platform::{Platform, Unwind};
use crate::scheduler::{Scheduler, SpawnError, Storage, contain};
use crate::task::{Entered, Frame, Kind, Life, Settled, SlotIndex, TaskId, Waiter, fits};
use crate::worker::Worker;

/// The handle to one submitted task with the result `R`. Give it back with
/// [`Scheduler::release`], or its slot is never reused.
#[must_use = "a ticket that is not released keeps its slot for ever"]
pub struct Ticket<R> {
    index: SlotIndex,
    result: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.index).finish()
    }
}

/// How a task with a handle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended<R> {
    /// It ran, and this is its result.
    Done(R),
    /// It was cancelled before it started.
    Cancelled,
}

/// Why there is no slot for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReserveError {
    /// No slot is free: wait for tasks to end, or give the scheduler more slots.
    Exhausted(Exhausted),
    /// The scheduler was closed, and stays so: reserve before [`Scheduler::close`].
    Closed,
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReserveError::Exhausted(exhausted) => exhausted.fmt(f),
            ReserveError::Closed => f.write_str("the scheduler is closed: reserve before `close`"),
        }
    }
}

impl core::error::Error for ReserveError {}

/// A free slot that waits for its task. Dropped, it gives the slot back.
#[must_use = "a reservation is for a task"]
pub struct Reservation<'s, S: Storage, P: Platform + Unwind> {
    scheduler: &'s Scheduler<S, P>,
    index: SlotIndex,
}

impl<S: Storage, P: Platform + Unwind> Reservation<'_, S, P> {
    /// Puts `task` into the slot and publishes it. See [`Scheduler::submit`].
    ///
    /// # Errors
    ///
    /// The closure, if it or its result does not [fit](fits) a slot.
    pub fn submit<F, R>(self, task: F) -> Result<Ticket<R>, F>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) -> R + Send + 'static,
        R: Send + 'static,
    {
        if !fits::<F>() || !fits::<R>() {
            return Err(task);
        }
        let (scheduler, index) = (self.scheduler, self.index);
        core::mem::forget(self);
        let slot = scheduler.arena.slot(index);
        slot.label(Kind::Claimable, Frame::NONE, 0);
        // SAFETY: 1. the slot was taken for this. 2. `F` and `R` are `'static`. 3. checked above.
        unsafe { slot.store_claimable::<Worker<'_, S, P>, _, R>(task) };
        scheduler.inject(index);
        Ok(Ticket {
            index,
            result: PhantomData,
        })
    }
}

impl<S: Storage, P: Platform + Unwind> Drop for Reservation<'_, S, P> {
    fn drop(&mut self) {
        self.scheduler.give_to_everybody(self.index);
    }
}

impl<S: Storage, P: Platform + Unwind> fmt::Debug for Reservation<'_, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reservation").field(&self.index).finish()
    }
}

impl<S: Storage, P: Platform + Unwind> Scheduler<S, P> {
    /// Runs `task` on some worker and keeps its result for the ticket. Lock-free.
    ///
    /// `task` must not panic; an adapter makes the panic part of `R` (see [`Unwind::catch`]).
    ///
    /// # Errors
    ///
    /// With the closure: [`SpawnError::Exhausted`] while no slot is free, [`SpawnError::TooLarge`] if
    /// it or its result does not [fit](fits) a slot, [`SpawnError::Closed`] after [`Scheduler::close`].
    pub fn submit<F, R>(&self, task: F) -> Result<Ticket<R>, SpawnError<F>>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) -> R + Send + 'static,
        R: Send + 'static,
    {
        match self.reserve() {
            Ok(reservation) => reservation.submit(task).map_err(SpawnError::TooLarge),
            Err(ReserveError::Exhausted(exhausted)) => Err(SpawnError::Exhausted(task, exhausted)),
            Err(ReserveError::Closed) => Err(SpawnError::Closed(task)),
        }
    }

    /// Takes a free slot for a task to come, so that an adapter may wrap a closure only once it is
    /// sure to be taken. Lock-free.
    ///
    /// # Errors
    ///
    /// [`ReserveError::Exhausted`] while no slot is free, [`ReserveError::Closed`] after
    /// [`Scheduler::close`].
    pub fn reserve(&self) -> Result<Reservation<'_, S, P>, ReserveError> {
        if self.is_closed() {
            return Err(ReserveError::Closed);
        }
        match self.arena.take_shared() {
            Some(index) => Ok(Reservation {
                scheduler: self,
                index,
            }),
            None => Err(ReserveError::Exhausted(self.arena.exhausted())),
        }
    }

    /// The name of the ticket's task. Wait-free.
    ///
    /// A ticket or a name does not say of which scheduler it is: given to another, it may name a task of
    /// that one, which can then be cancelled.
    pub fn task_id<R>(&self, ticket: &Ticket<R>) -> TaskId {
        let index = ticket.index;
        let is_there = (index as usize) < self.arena.slots();
        let generation = is_there.then(|| self.arena.slot(index).state().generation());
        TaskId {
            index,
            generation: generation.unwrap_or(0),
        }
    }

    /// Cancels the task if it has not started. `false`: it has, or it ended long ago. Lock-free.
    ///
    /// The closure is dropped by the worker that finds it in its queue.
    pub fn cancel(&self, task: TaskId) -> bool {
        if task.index as usize >= self.arena.slots() {
            return false;
        }
        let Some(settled) = self.arena.slot(task.index).state().cancel(task.generation) else {
            return false;
        };
        self.settle(task.index, settled, |index| self.give_to_everybody(index));
        true
    }

    /// Whether the task has ended, one way or the other. Wait-free.
    ///
    /// # Safety
    ///
    /// The ticket is of this scheduler.
    pub unsafe fn is_finished<R>(&self, ticket: &Ticket<R>) -> bool {
        matches!(
            self.arena.slot(ticket.index).state().life(),
            Life::Done | Life::Cancelled
        )
    }

    /// Registers whom to wake when the task ends, in place of whoever was registered before.
    /// `false`: it has ended already, and nobody will be woken. Lock-free.
    ///
    /// # Safety
    ///
    /// The ticket is of this scheduler.
    pub unsafe fn register<R>(&self, ticket: &mut Ticket<R>, waker: &Waker) -> bool {
        // SAFETY: the caller's duty.
        unsafe { self.register_waiter(ticket, Waiter::Waker(waker.clone())) }
    }

    /// Takes back what [`Scheduler::register`] left, if the task has not ended. Lock-free.
    ///
    /// # Safety
    ///
    /// The ticket is of this scheduler.
    pub unsafe fn unregister<R>(&self, ticket: &mut Ticket<R>) {
        let slot = self.arena.slot(ticket.index);
        if slot.state().unset_waiter() {
            // SAFETY: `unset_waiter` gave the waiter back to the handle, which is `ticket`.
            drop(unsafe { slot.take_waiter() });
        }
    }

    /// # Safety
    ///
    /// The ticket is of this scheduler.
    pub(crate) unsafe fn register_waiter<R>(&self, ticket: &mut Ticket<R>, waiter: Waiter) -> bool {
        let slot = self.arena.slot(ticket.index);
        // SAFETY: the caller's duty.
        unsafe { self.unregister(ticket) };
        if matches!(slot.state().life(), Life::Done | Life::Cancelled) {
            // Somebody may be taking the former waiter out at this moment.
            return false;
        }
        // SAFETY: the ticket is the handle, and the bit is not set: it was not, or was just unset,
        // and only the handle sets it.
        unsafe { slot.write_waiter(waiter) };
        if slot.state().set_waiter() {
            return true;
        }
        // SAFETY: `set_waiter` failed: the waiter is still the handle's.
        drop(unsafe { slot.take_waiter() });
        false
    }

    /// Ends the handle: its result if the task has ended, or `None`, and then the task goes on by
    /// itself. Lock-free.
    ///
    /// # Safety
    ///
    /// The ticket is of this scheduler.
    pub unsafe fn release<R>(&self, ticket: Ticket<R>) -> Option<Ended<R>> {
        let index = ticket.index;
        let slot = self.arena.slot(index);
        if slot.state().unset_waiter() {
            // SAFETY: as in `register_waiter`.
            drop(unsafe { slot.take_waiter() });
        }
        let mut ended = None;
        loop {
            match slot.state().life() {
                Life::Done if ended.is_none() => {
                    // SAFETY: the task is done and the handle owns the result, which is an `R`.
                    ended = Some(Ended::Done(unsafe { slot.read::<R>() }));
                }
                Life::Cancelled => ended = Some(Ended::Cancelled),
                _ => {}
            }
            if let Some(free) = slot.state().leave_handle(ended.is_some()) {
                if free {
                    self.retire(index, |index| self.give_to_everybody(index));
                }
                return ended;
            }
        }
    }

    /// Drops a claimable task that was taken from a queue of a closed scheduler. `false`: it had run or
    /// been cancelled before.
    pub(crate) fn drop_claimable(&self, index: SlotIndex) -> bool {
        let slot = self.arena.slot(index);
        let give = |index| self.give_to_everybody(index);
        let settled = slot.state().cancel(slot.state().generation());
        let cancelled = settled.is_some();
        if let Some(settled) = settled {
            self.settle(index, settled, give);
        }
        let entered = slot.state().enter();
        debug_assert_ne!(
            entered,
            Entered::Run,
            "it was cancelled, or had been claimed"
        );
        match entered {
            Entered::Discard => self.discard(index, give),
            Entered::Stale { free: true } => self.retire(index, give),
            Entered::Stale { free: false } | Entered::Run => {}
        }
        cancelled
    }

    /// Wakes the waiter of a task that has ended, and frees the slot if nobody holds it.
    fn settle(&self, index: SlotIndex, settled: Settled, give: impl FnOnce(SlotIndex)) {
        let slot = self.arena.slot(index);
        let mut free = settled.free;
        if settled.waiter {
            // SAFETY: whoever ends a task with a waiter owns the waiter until `leave_waiter`.
            let waiter = unsafe { slot.take_waiter() };
            free = slot.state().leave_waiter();
            match waiter {
                Waiter::Worker(worker) => self.platform.unpark(worker),
                Waiter::Waker(waker) => contain::<P>(|| waker.wake()),
            }
        }
        if free {
            self.retire(index, give);
        }
    }

    fn discard(&self, index: SlotIndex, give: impl FnOnce(SlotIndex)) {
        let slot = self.arena.slot(index);
        // SAFETY: a cancelled task's closure belongs to who took its entry.
        contain::<P>(|| unsafe { slot.discard() });
        if slot.state().leave_entry() {
            self.retire(index, give);
        }
    }

    fn retire(&self, index: SlotIndex, give: impl FnOnce(SlotIndex)) {
        self.arena.slot(index).state().retire();
        give(index);
    }
}

impl<S: Storage, P: Platform + Unwind> Worker<'_, S, P> {
    /// A claimable task was taken from a queue.
    pub(crate) fn enter_claimable(&self, index: SlotIndex) {
        let scheduler = self.scheduler();
        let give = |index| self.give_slot(index);
        match scheduler.arena.slot(index).state().enter() {
            Entered::Run => self.run_claimed(index),
            Entered::Discard => scheduler.discard(index, give),
            Entered::Stale { free } => {
                if free {
                    scheduler.retire(index, give);
                }
            }
        }
    }

    /// Runs a claimable task that this worker has claimed.
    fn run_claimed(&self, index: SlotIndex) {
        let slot = self.scheduler().arena.slot(index);
        // SAFETY: 1. `RUNNING` was entered by this worker, so the closure is ours. 2. only closures
        // for `Worker<S, P>` are stored in this scheduler's slots.
        self.within(Frame::of(index), || unsafe { slot.run(self, index) });
        let mut abandoned = slot.state().is_abandoned();
        loop {
            if abandoned {
                // SAFETY: the handle is gone, so the result is the finisher's.
                contain::<P>(|| unsafe { slot.discard_result() });
            }
            if let Some(settled) = slot.state().finish(abandoned) {
                return self
                    .scheduler()
                    .settle(index, settled, |index| self.give_slot(index));
            }
            abandoned = true;
        }
    }

    /// Stores `task` as a claimable task in `frame` and puts it where thieves see it. `None`: no
    /// slot or no room.
    ///
    /// # Safety
    ///
    /// As for `Slot::store_claimable`.
    pub(crate) unsafe fn offer<F>(&self, frame: Frame, task: F) -> Option<Ticket<()>>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) + Send,
    {
        if !self.has_room() {
            return None;
        }
        let index = self.take_slot()?;
        let slot = self.scheduler().arena.slot(index);
        slot.label(Kind::Claimable, frame, self.depth_below(frame));
        // SAFETY: 1. the slot was just taken. 2. and 3. are the caller's duties.
        unsafe { slot.store_claimable::<Worker<'_, S, P>, _, ()>(task) };
        self.publish(index);
        Some(Ticket {
            index,
            result: PhantomData,
        })
    }

    /// Takes an offered task back, to be run by its owner: `true` if no thief has begun it. The
    /// stored closure is forgotten without a drop; the ticket is spent.
    ///
    /// # Safety
    ///
    /// The ticket came from `offer` on this worker.
    pub(crate) unsafe fn take_back_offer(&self, ticket: &Ticket<()>) -> bool {
        let index = ticket.index;
        let state = self.scheduler().arena.slot(index).state();
        if self.take_back(index) {
            if state.enter() == Entered::Discard {
                // Cancelled by its name. What is dropped is a call of the closure, not the closure.
                self.scheduler()
                    .discard(index, |index| self.give_slot(index));
                return false;
            }
        } else {
            // Left out: what a thief runs is run here too.
            // Model: fork_join::a_joins_stolen_half_is_seen_and_its_frame_not_touched_afterwards.
            let is_taken = !broken!("join.take_back.claim") && !state.claim();
            if is_taken {
                return false;
            }
        }
        if state.finish_claimed() {
            self.scheduler()
                .retire(index, |index| self.give_slot(index));
        }
        true
    }

    /// Waits for a task that somebody else runs, helping with its descendants.
    ///
    /// # Safety
    ///
    /// The ticket is of this worker's scheduler.
    pub unsafe fn wait<R>(&self, ticket: &mut Ticket<R>) {
        let scheduler = self.scheduler();
        let index = ticket.index;
        let state = scheduler.arena.slot(index).state();
        if state.claim() {
            self.run_claimed(index);
            return self.clear_stale_entries();
        }
        self.wait_for(
            Frame::of(index),
            || matches!(state.life(), Life::Done | Life::Cancelled),
            // SAFETY: the caller's duty. If the task has ended, `done` says so.
            || unsafe {
                scheduler.register_waiter(ticket, Waiter::Worker(self.id()));
            },
        );
    }

    /// Takes entries out of the injector whose tasks were claimed through their handles, as far as they
    /// are the oldest: else they would keep their slots for as long as this worker is busy.
    fn clear_stale_entries(&self) {
        let scheduler = self.scheduler();
        let is_stale = |index| {
            let slot = scheduler.arena.slot(index);
            slot.kind() == Kind::Claimable && slot.state().life() != Life::Queued
        };
        while let Some(index) = scheduler.injector.pop_if(is_stale) {
            self.enter_claimable(index);
        }
    }

    /// Ends an offer that is over: `true` if a thief ran it, `false` if it was cancelled.
    ///
    /// # Safety
    ///
    /// The ticket came from `offer` on this worker, and its task has ended.
    pub(crate) unsafe fn release_offer(&self, ticket: Ticket<()>) -> bool {
        let state = self.scheduler().arena.slot(ticket.index).state();
        let done = state.life() == Life::Done;
        if state.leave_handle(true) == Some(true) {
            self.scheduler()
                .retire(ticket.index, |index| self.give_slot(index));
        }
        done
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_refused_reservation_says_cause_and_remedy() {
        let exhausted = Exhausted {
            slots: 16,
            high_water: 12,
        };
        let full = ReserveError::Exhausted(exhausted).to_string();
        assert!(full.starts_with("no free slot among 16"), "{full}");
        assert!(full.ends_with("configure more slots"), "{full}");
        let closed: &dyn core::error::Error = &ReserveError::Closed;
        assert_eq!(
            closed.to_string(),
            "the scheduler is closed: reserve before `close`"
        );
    }
}
