//! The life of a task that somebody holds a handle to, in one word.
//!
//! A task without a handle needs no state: it stands in exactly one queue, and whoever takes it
//! from there owns it. A task *with* a handle may also be claimed, cancelled or waited for through
//! the handle while it still stands in a queue. So three parties hold the slot, and the last to let
//! go frees it.
//!
//! | bit | held by | until |
//! |---|---|---|
//! | `ENTRY` | the queue entry | somebody takes the entry from its queue |
//! | `HANDLE` | the handle | the handle is dropped |
//! | `WAITER` | a registered waiter | the finisher has taken it out |
//!
//! | life | `enter` (entry taken) | `claim` | `cancel` | `finish` |
//! |---|---|---|---|---|
//! | `QUEUED` | → `RUNNING`, run it | → `RUNNING`, run it | → `CANCELLED` | – |
//! | `RUNNING` | stale entry | no | no | → `DONE` |
//! | `DONE` | stale entry | no | no | – |
//! | `CANCELLED` | drop the closure | no | no | – |
//!
//! Only `QUEUED` and `RUNNING` may have `WAITER` set by the handle; who moves the life to `DONE` or
//! `CANCELLED` and finds `WAITER` owns the waiter until it clears the bit.
//!
//! The upper bits count generations: they grow when the slot is freed, so that a [`TaskId`] that
//! outlived its task names nothing.
//!
//! [`TaskId`]: super::TaskId

#![forbid(unsafe_code)]

use core::fmt;

use crate::broken;
use crate::order;
use crate::sync::{AtomicUsize, Ghost, MODEL, Ordering, const_fn};

const LIFE: usize = 0b11;
const QUEUED: usize = 0;
const RUNNING: usize = 1;
const DONE: usize = 2;
const CANCELLED: usize = 3;

const HANDLE: usize = 1 << 2;
const ENTRY: usize = 1 << 3;
const WAITER: usize = 1 << 4;
const GENERATION_SHIFT: u32 = 5;

/// What to do with the entry that was taken from a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Run the task; it is `RUNNING` now and the entry is gone.
    Run,
    /// It was cancelled: drop the closure, then call [`State::leave_entry`].
    Discard,
    /// Somebody else ran it; free the slot if `free`.
    Stale { free: bool },
}

/// What the finisher or canceller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// A waiter is registered: take it out, then call [`State::leave_waiter`], then wake it.
    pub waiter: bool,
    /// Nobody holds the slot any more: free it.
    pub free: bool,
}

/// What a handle sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Queued,
    Running,
    Done,
    Cancelled,
}

/// The word; and the mark of who took the entry, and so has read the slot's label, which is checked
/// before the slot is written again.
pub(crate) struct State(AtomicUsize, Ghost);

impl State {
    const_fn! {
        pub(crate) const fn new() -> Self {
            State(AtomicUsize::new(0), Ghost::new())
        }
    }

    /// Starts a life: queued, with an entry and a handle. The caller owns the slot alone.
    pub(crate) fn arm(&self) {
        let generation = self.generation();
        // Relaxed: published with the entry, by the queue.
        self.0.store(
            generation << GENERATION_SHIFT | QUEUED | ENTRY | HANDLE,
            order!("task.arm", Relaxed),
        );
    }

    /// Ends a life. The caller is the last to hold the slot.
    pub(crate) fn retire(&self) {
        let ended = self.generation();
        self.1.assert_read(ended as u32);
        let generation = ended.wrapping_add(1);
        // Relaxed: the slot is published with the free list.
        self.0.store(
            generation << GENERATION_SHIFT,
            order!("task.retire", Relaxed),
        );
    }

    /// The current generation. Meaningful to who holds the slot.
    pub(crate) fn generation(&self) -> usize {
        // Relaxed: the generation changes only while nobody holds the slot.
        self.0.load(order!("task.generation", Relaxed)) >> GENERATION_SHIFT
    }

    /// The entry was taken from its queue.
    pub(crate) fn enter(&self) -> Entered {
        if MODEL {
            self.1.mark_read(self.generation() as u32);
        }
        // AcqRel. Acquire: pairs with the Release of the handle's last transition, so that freeing
        // follows the handle's last use; the closure came with the queue. Release: pairs with
        // the Acquire of whoever frees the slot after us, so that our look at the label comes before.
        // Weaker: a slot is reused while another party still reads it (the label: by a ghost).
        // Model: slot_reuse::the_last_to_let_go_frees_the_slot.
        let (before, after) =
            self.update(order!("task.enter", AcqRel), |state| match state & LIFE {
                QUEUED => Some((state & !(LIFE | ENTRY)) | RUNNING),
                CANCELLED => None,
                _ => Some(state & !ENTRY),
            });
        match before & LIFE {
            QUEUED => Entered::Run,
            CANCELLED => Entered::Discard,
            _ => Entered::Stale {
                free: is_free(after),
            },
        }
    }

    /// The closure of a cancelled task was dropped by who took the entry. Returns whether to free
    /// the slot.
    pub(crate) fn leave_entry(&self) -> bool {
        // AcqRel. Release: pairs with the Acquire of whoever frees the slot after us; the closure was
        // dropped before. Acquire: pairs with the Release of the handle and of the waiter.
        // Weaker: the next task is written beside the drop, or beside the last use of the waiter.
        // Model: slot_reuse::a_cancelled_task_is_followed_when_all_have_let_go.
        self.let_go(ENTRY, order!("task.leave_entry", AcqRel))
    }

    /// The handle wants to run the task itself.
    pub(crate) fn claim(&self) -> bool {
        // Relaxed: the handle's thread wrote the closure, or got it from who did; the exclusion
        // against `enter` and `cancel` is this word's own order.
        let (before, _) = self.update(order!("task.claim", Relaxed), |state| {
            (state & LIFE == QUEUED).then_some(state & !LIFE | RUNNING)
        });
        before & LIFE == QUEUED
    }

    /// Cancels the task of `generation` if it has not started; `None` if it has, or is no more.
    pub(crate) fn cancel(&self, generation: usize) -> Option<Settled> {
        // Acquire: pairs with the Release in `set_waiter`; we may take the waiter out.
        // Weaker: a waiter is read before it was written. Model: task::a_cancel_wakes_the_waiter.
        let (before, after) = self.update(order!("task.cancel", Acquire), |state| {
            // Left out: the next task of the slot is cancelled. Model: task::a_stale_task_id_is_rejected.
            let is_same =
                state >> GENERATION_SHIFT == generation || broken!("task.cancel.generation");
            let ours = is_same && state & ENTRY != 0;
            (ours && state & LIFE == QUEUED).then_some(state | CANCELLED)
        });
        let cancelled = before != after;
        cancelled.then_some(Settled {
            waiter: after & WAITER != 0,
            free: false,
        })
    }

    /// Whether the running task's handle is gone, so that its result has no reader.
    pub(crate) fn is_abandoned(&self) -> bool {
        // Relaxed: a handle does not come back; `finish` confirms the other answer.
        self.0.load(order!("task.abandoned", Relaxed)) & HANDLE == 0
    }

    /// The task has run and its result is in the slot, or, if `abandoned`, was dropped. `None`: the
    /// handle was dropped just now; drop the result and come again.
    pub(crate) fn finish(&self, abandoned: bool) -> Option<Settled> {
        // AcqRel. Release: pairs with the Acquire in `life`; carries the result.
        // Weaker: the handle reads a result that is not there. Model: task::a_handle_sees_the_result.
        // Acquire: pairs with the Release in `set_waiter`, and with whoever let go before us.
        // Weaker: a waiter is taken out that is not there. Model: task::a_finish_wakes_the_waiter.
        let (before, after) = self.update(order!("task.finish", AcqRel), |state| {
            // Left out: a result that nobody reads is not dropped. Model: task::a_result_that_nobody_takes_is_dropped_once.
            let is_read = state & HANDLE != 0 || broken!("task.finish.handle");
            (abandoned || is_read).then_some(state & !LIFE | DONE)
        });
        (before != after).then_some(Settled {
            waiter: after & WAITER != 0,
            free: is_free(after),
        })
    }

    /// What has become of the task.
    pub(crate) fn life(&self) -> Life {
        // Acquire: pairs with the Release in `finish`; the result may be read.
        // Weaker: the handle reads a result that is not there. Model: task::a_handle_sees_the_result.
        match self.0.load(order!("task.life", Acquire)) & LIFE {
            QUEUED => Life::Queued,
            RUNNING => Life::Running,
            DONE => Life::Done,
            _ => Life::Cancelled,
        }
    }

    /// The handle has written a waiter. `false`: the task has ended, the waiter is still ours.
    pub(crate) fn set_waiter(&self) -> bool {
        // Release: pairs with the Acquire in `finish` and `cancel`; carries the waiter.
        // Weaker: the finisher reads a waiter that is not there. Model: task::a_finish_wakes_the_waiter.
        let (before, after) = self.update(order!("task.set_waiter", Release), |state| {
            (state & LIFE <= RUNNING).then_some(state | WAITER)
        });
        before != after
    }

    /// The handle wants its waiter back. `false`: there is none, or the finisher has it.
    pub(crate) fn unset_waiter(&self) -> bool {
        // Relaxed: the handle's own write comes back to it.
        let (before, after) = self.update(order!("task.unset_waiter", Relaxed), |state| {
            (state & LIFE <= RUNNING && state & WAITER != 0).then_some(state & !WAITER)
        });
        before != after
    }

    /// The finisher has taken the waiter out. Returns whether to free the slot.
    pub(crate) fn leave_waiter(&self) -> bool {
        // AcqRel. Release: pairs with the Acquire of whoever frees the slot after us; the waiter was read
        // before. Acquire: pairs with the Release of the handle, which has read the result.
        // Weaker: the next task is written beside either. Model: slot_reuse::a_finished_task_is_followed_when_all_have_let_go.
        self.let_go(WAITER, order!("task.leave_waiter", AcqRel))
    }

    /// The handle is dropped; if the task is done, its result has been taken or dropped. Returns
    /// whether to free the slot; `None`: the task got done just now and its result must be dropped
    /// first.
    pub(crate) fn leave_handle(&self, result_gone: bool) -> Option<bool> {
        // AcqRel. Release: pairs with the Acquire of whoever frees the slot after us; the result was read
        // before. Acquire: pairs with the Release of whoever took the entry, and of the waiter.
        // Weaker: the next task is written beside the last reader of result, label or waiter.
        // Model: slot_reuse::a_finished_task_is_followed_when_all_have_let_go, slot_reuse::a_cancelled_task_is_followed_when_all_have_let_go.
        let (before, after) = self.update(order!("task.leave_handle", AcqRel), |state| {
            (result_gone || state & LIFE != DONE).then_some(state & !HANDLE)
        });
        (before != after).then_some(is_free(after))
    }

    /// The handle claimed the task and has run it, without a result: done, and the handle is gone.
    /// Returns whether to free the slot.
    pub(crate) fn finish_claimed(&self) -> bool {
        // Acquire: pairs with the Release of who took the entry and had looked at the label before. Not
        // Release: the claimer leaves nothing in the slot that it had not before it was published.
        // Weaker: the next task's label is read (by a ghost).
        // Model: fork_join::a_joins_stolen_half_is_seen_and_its_frame_not_touched_afterwards.
        let (_, after) = self.update(order!("task.finish_claimed", Acquire), |state| {
            Some(state & !(LIFE | HANDLE) | DONE)
        });
        is_free(after)
    }

    #[inline]
    fn let_go(&self, bit: usize, ordering: Ordering) -> bool {
        is_free(self.0.fetch_and(!bit, ordering) & !bit)
    }

    /// Applies `change` until it sticks, or until it says `None`; returns the word before and after
    /// (the same word for `None`).
    #[inline]
    fn update(
        &self,
        ordering: Ordering,
        change: impl Fn(usize) -> Option<usize>,
    ) -> (usize, usize) {
        // Relaxed: the exchange confirms it.
        let mut state = self.0.load(order!("task.update.load", Relaxed));
        loop {
            let Some(next) = change(state) else {
                return (state, state);
            };
            // Left out: what came between is written over. Model: task::a_stale_task_id_is_rejected.
            if broken!("task.update.compare") {
                self.0.swap(next, ordering);
                return (state, next);
            }
            // Relaxed on failure: another round follows.
            match self.0.compare_exchange(
                state,
                next,
                ordering,
                order!("task.update.fail", Relaxed),
            ) {
                Ok(_) => return (state, next),
                Err(seen) => state = seen,
            }
        }
    }
}

fn is_free(state: usize) -> bool {
    state & LIFE >= DONE && state & (HANDLE | ENTRY | WAITER) == 0
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: for the reader of a log.
        let state = self.0.load(order!("task.debug", Relaxed));
        let life = ["queued", "running", "done", "cancelled"][state & LIFE];
        f.debug_struct("State")
            .field("generation", &(state >> GENERATION_SHIFT))
            .field("life", &life)
            .field("handle", &(state & HANDLE != 0))
            .field("entry", &(state & ENTRY != 0))
            .field("waiter", &(state & WAITER != 0))
            .finish()
    }
}
