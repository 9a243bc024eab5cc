//! Waiting inside a worker.
//!
//! A worker that waits for a join, a scope or a run helps with **descendants of what it waits for and
//! nothing else**. Running anything at hand instead deadlocks users who hold a lock across the
//! wait, and lets stacks grow without bound. What it does, in this order:
//!
//! 1. its own deque, newest first: a descendant is run; a detached task is moved to the injector,
//!    where any free worker takes it; another structured task (pushed into an *outer* scope from
//!    inside this one) is set aside and put back when the wait is over;
//! 2. the oldest task of each victim, if it is a descendant (looked at before it is taken);
//! 3. it counts as hungry for a while, so that running descendants may share their joins;
//! 4. it parks; the end of what it waits for wakes it.
//!
//! **No deadlock.** Suppose all workers wait. A worker's queued descendants of its own wait are in its
//! own deque (step 1 finds all of those), or were taken in a batch by a worker that was at the
//! bottom of its stack. Consider the worker that took its bottom task last, at time *t*. Nothing that
//! its task's tree created later than *t* was ever taken in a batch, so whatever is still queued of
//! that tree stands in the deque of the worker that pushed it, which waits inside that tree's task
//! and finds it by step 1. If nothing of the tree is queued, its deepest waiter waits for nothing.

#![forbid(unsafe_code)]

use core::cell::Cell;

use super::Worker;
use super::find::{SEARCH_LOOKS, SEARCH_PAUSES};
use crate::deque::Steal;
use crate::order;
use crate::platform::{Platform, Unwind};
use crate::scheduler::{Storage, Word, Work};
use crate::sync::spin_hint;
use crate::task::{Frame, SlotIndex};

impl<'s, S: Storage, P: Platform + Unwind> Worker<'s, S, P> {
    /// Runs the descendants of `frame` in this worker's own deque.
    pub(crate) fn help_own(&self, frame: Frame) {
        let aside = Aside::new(self);
        while let Some(word) = aside.find_own(frame) {
            self.run(word);
        }
    }

    /// Helps with descendants of `frame`, then parks, until `done`. Who makes `done` true unparks
    /// this worker, after `register`.
    pub(crate) fn wait_for(&self, frame: Frame, done: impl Fn() -> bool, register: impl FnOnce()) {
        self.wait_in(Aside::new(self), frame, done, register);
    }

    /// As `wait_for`, and serves this worker's whole mailbox meanwhile.
    pub(crate) fn wait_and_serve_mail(
        &self,
        frame: Frame,
        done: impl Fn() -> bool,
        register: impl FnOnce(),
    ) {
        self.wait_in(Aside::serving_mail(self), frame, done, register);
    }

    fn wait_in(
        &self,
        aside: Aside<'_, 's, S, P>,
        frame: Frame,
        done: impl Fn() -> bool,
        register: impl FnOnce(),
    ) {
        let mut register = Some(register);
        while !done() {
            if let Some(word) = aside.find_descendant(frame) {
                self.run(word);
                continue;
            }
            self.scheduler.idle.enter_hunger();
            let found = self.search_descendant(&aside, frame, &done).or_else(|| {
                if let Some(register) = register.take() {
                    register();
                }
                self.park_waiting(&aside, frame, &done)
            });
            self.scheduler.idle.leave_hunger();
            if let Some(Some(word)) = found {
                self.run(word);
            }
        }
    }

    /// Looks for a descendant for a while. `Some(None)`: done.
    fn search_descendant(
        &self,
        aside: &Aside<'_, 's, S, P>,
        frame: Frame,
        done: &impl Fn() -> bool,
    ) -> Option<Option<Word>> {
        for _ in 0..SEARCH_LOOKS.div_ceil(self.victims.len() + 1) {
            if done() {
                return Some(None);
            }
            if let Some(word) = aside.find_descendant(frame) {
                return Some(Some(word));
            }
            for _ in 0..SEARCH_PAUSES {
                spin_hint();
            }
        }
        None
    }

    fn park_waiting(
        &self,
        aside: &Aside<'_, 's, S, P>,
        frame: Frame,
        done: &impl Fn() -> bool,
    ) -> Option<Option<Word>> {
        self.scheduler.arena.empty(&self.magazine);
        self.scheduler
            .idle
            .wait(&self.scheduler.platform, self.id, || {
                if done() {
                    Some(None)
                } else {
                    aside.find_descendant(frame).map(Some)
                }
            })
    }

    /// Whether `word` was started, directly or not, inside `ancestor`.
    ///
    /// `word` may be somebody else's; then the answer holds if it is still queued afterwards.
    fn is_descendant(&self, word: Word, ancestor: Frame) -> bool {
        let arena = &self.scheduler.arena;
        let Some(root) = ancestor.slot() else {
            return false;
        };
        let (mut frame, mut depth) = match word.work() {
            Work::Task(index) if index == root => return true,
            Work::Task(index) => arena.slot(index).frame(),
            Work::Node { run, .. } => (Frame::of(run), u32::MAX),
        };
        let least = arena.slot(root).frame().1;
        while frame != ancestor {
            let Some(index) = frame.slot() else {
                return false;
            };
            let (next, next_depth) = arena.slot(index).frame();
            // Depths fall from child to parent. If not, somebody reused a slot under our eyes.
            if next_depth <= least || next_depth >= depth {
                return false;
            }
            (frame, depth) = (next, next_depth);
        }
        true
    }
}

/// The structured tasks that a waiting worker found above its own and may not run yet: put back
/// when the wait is over.
struct Aside<'w, 's, S: Storage, P: Platform + Unwind> {
    worker: &'w Worker<'s, S, P>,
    /// The first slot of a list, plus one; the oldest task first.
    first: Cell<u32>,
    /// Whether mail need not be a descendant.
    any_mail: bool,
}

impl<'w, 's, S: Storage, P: Platform + Unwind> Aside<'w, 's, S, P> {
    fn new(worker: &'w Worker<'s, S, P>) -> Self {
        Aside {
            worker,
            first: Cell::new(0),
            any_mail: false,
        }
    }

    /// For a worker that waits for all others: they may be waiting for it in the same way.
    fn serving_mail(worker: &'w Worker<'s, S, P>) -> Self {
        Aside {
            worker,
            first: Cell::new(0),
            any_mail: true,
        }
    }

    /// A descendant of `frame`, from this worker's deque or a victim's.
    fn find_descendant(&self, frame: Frame) -> Option<Word> {
        let worker = self.worker;
        let wanted = |word| self.any_mail || worker.is_descendant(word, frame);
        self.find_own(frame)
            .or_else(|| worker.take_mail(wanted))
            .or_else(|| self.steal_descendant(frame))
    }

    fn find_own(&self, frame: Frame) -> Option<Word> {
        let found = self.pop_own(frame);
        if found.is_none() {
            self.worker.report_sinks();
        }
        found
    }

    fn pop_own(&self, frame: Frame) -> Option<Word> {
        let worker = self.worker;
        while let Some(newest) = worker.owner.peek().map(Word::from_raw) {
            if worker.is_descendant(newest, frame) {
                if worker.owner.pop().is_some() {
                    return Some(newest);
                }
                continue;
            }
            // Nodes of another run were published before this wait began, so nothing of ours
            // lies below them.
            let Work::Task(index) = newest.work() else {
                return None;
            };
            if worker.owner.pop().is_none() {
                continue;
            }
            if worker.scheduler.arena.slot(index).frame().0 == Frame::NONE {
                worker.inject(index);
                worker.wake(1);
            } else {
                self.set_aside(index);
            }
        }
        None
    }

    fn steal_descendant(&self, frame: Frame) -> Option<Word> {
        let worker = self.worker;
        for victim in worker.victims {
            let Some(seat) = worker.scheduler.seats.as_ref().get(victim.index()) else {
                continue;
            };
            let wanted = |raw| worker.is_descendant(Word::from_raw(raw), frame);
            if let Steal::Taken(raw) = seat.deque.steal_if(wanted) {
                worker.counters.steals.bump();
                return Some(Word::from_raw(raw));
            }
        }
        None
    }

    fn set_aside(&self, index: SlotIndex) {
        let slot = self.worker.scheduler.arena.slot(index);
        // Relaxed: the task was taken; its link is this worker's.
        slot.next
            .store(self.first.get(), order!("worker.aside.link", Relaxed));
        self.first.set(index + 1);
    }
}

impl<S: Storage, P: Platform + Unwind> Drop for Aside<'_, '_, S, P> {
    fn drop(&mut self) {
        while let Some(index) = self.first.get().checked_sub(1) {
            let slot = self.worker.scheduler.arena.slot(index);
            // Relaxed: as in `set_aside`.
            self.first
                .set(slot.next.load(order!("worker.aside.next", Relaxed)));
            self.worker.publish(index);
        }
    }
}
