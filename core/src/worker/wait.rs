//! Waiting inside a worker.
//!
//! A worker that waits for a join, a scope or a run helps with **descendants of what it waits for and
//! nothing else**. Running anything at hand instead deadlocks users who hold a lock across the
//! wait, and lets stacks grow without bound. What it does, in this order:
//!
//! 1. its own deque, as long as the newest task is a descendant; its mail, whatever it is; descendants
//!    on anybody's *shelf*; the oldest task of each victim, if it is a descendant (looked at before
//!    it is taken);
//! 2. it counts as hungry for a while, so that running descendants may share their joins;
//! 3. before it parks, it clears its deque: descendants are run, detached tasks go to the injector,
//!    where any free worker takes them, and what somebody waits for goes to its shelf, where
//!    everybody sees it;
//! 4. it parks; the end of what it waits for wakes it, or work that no free sleeper could be woken for.
//!
//! **No deadlock.** Suppose all workers wait. Then all are parked, with empty deques, and every queued
//! structured task is on a shelf, or is a promoted join or a submitted task, which its waiter claims
//! wherever it is queued. Take a waiter none of whose descendants wait. What it waits for is not
//! running, so it is queued, hence on a shelf or claimable. It would have found it: it looked
//! at all shelves after it had announced itself, and whoever puts a task on a shelf wakes the waiters
//! afterwards. (A node of another run, and what is older in the deque, stays there if no slot is free to
//! carry it to the shelf: size the arena with that in mind.)
//!
//! **Mail is the exception** to "descendants only": a broadcast waits for every worker, so workers
//! that wait for each other's broadcasts must serve them. Its closure may therefore run on top of
//! anything that a worker waits for.

#![forbid(unsafe_code)]

use super::Worker;
use super::find::Pauses;
use crate::broken;
use crate::deque::Steal;
use crate::platform::{Platform, Unwind};
use crate::scheduler::{Storage, Word, Work};
use crate::task::{Frame, Kind};

impl<S: Storage, P: Platform + Unwind> Worker<'_, S, P> {
    /// Runs the descendants of `frame` in this worker's own deque, as long as they are the newest.
    pub(crate) fn help_own(&self, frame: Frame) {
        while let Some(word) = self.pop_descendant(frame) {
            self.run(word);
        }
    }

    /// Helps with descendants of `frame`, then parks, until `done`. Who makes `done` true unparks
    /// this worker, after `register`.
    pub(crate) fn wait_for(&self, frame: Frame, done: impl Fn() -> bool, register: impl FnOnce()) {
        let mut register = Some(register);
        while !done() {
            if let Some(word) = self.find_descendant(frame) {
                self.run(word);
                continue;
            }
            self.scheduler.idle.enter_hunger();
            let found = self.search_descendant(frame, &done).or_else(|| {
                if let Some(register) = register.take() {
                    register();
                }
                self.park_waiting(frame, &done)
            });
            self.scheduler.idle.leave_hunger();
            if let Some(Some(word)) = found {
                self.run(word);
            }
        }
    }

    /// Looks for a descendant for a while. `Some(None)`: done.
    fn search_descendant(&self, frame: Frame, done: &impl Fn() -> bool) -> Option<Option<Word>> {
        let mut pauses = Pauses::new();
        for _ in 0..self.rounds() {
            if done() {
                return Some(None);
            }
            if let Some(word) = self.find_descendant(frame) {
                return Some(Some(word));
            }
            pauses.pause();
        }
        None
    }

    fn park_waiting(&self, frame: Frame, done: &impl Fn() -> bool) -> Option<Option<Word>> {
        let scheduler = self.scheduler;
        // Left out: what is under something else is out of reach.
        // Model: shelf::what_is_under_something_else_is_waited_for_in_vain_by_nobody.
        let cleared = if broken!("worker.wait.clear_deque") {
            None
        } else {
            self.clear_deque(frame)
        };
        if let Some(word) = cleared {
            return Some(Some(word));
        }
        self.share_slots();
        scheduler.idle.wait(&scheduler.platform, self.id, || {
            if done() {
                return Some(None);
            }
            if scheduler.starving() {
                scheduler.platform.slots_freed(true);
            }
            self.find_descendant(frame).map(Some)
        })
    }

    fn find_descendant(&self, frame: Frame) -> Option<Word> {
        let is_descendant = |word| self.is_descendant(word, frame);
        self.pop_descendant(frame)
            .or_else(|| {
                self.report_sinks();
                self.take_mail()
            })
            // Left out: who waits does not see the shelves.
            // Model: shelf::what_is_under_something_else_is_waited_for_in_vain_by_nobody.
            .or_else(|| {
                self.take_shelved(|word| is_descendant(word) && !broken!("worker.wait.shelf"))
            })
            .or_else(|| self.steal_descendant(frame))
    }

    /// The newest task in this worker's deque, if it is a descendant.
    fn pop_descendant(&self, frame: Frame) -> Option<Word> {
        let newest = Word::from_raw(self.owner.peek()?);
        if !self.is_descendant(newest, frame) {
            return None;
        }
        self.tick();
        self.owner.pop().map(Word::from_raw)
    }

    fn steal_descendant(&self, frame: Frame) -> Option<Word> {
        for victim in self.victims {
            let Some(seat) = self.scheduler.seats.as_ref().get(victim.index()) else {
                continue;
            };
            let wanted = |raw| self.is_descendant(Word::from_raw(raw), frame);
            if let Steal::Taken(raw) = seat.deque.steal_if(wanted) {
                self.counters.steals.bump();
                return Some(Word::from_raw(raw));
            }
        }
        None
    }

    /// Empties this worker's deque, so that nobody waits in vain for what is under something else;
    /// stops at a descendant, which is returned.
    fn clear_deque(&self, frame: Frame) -> Option<Word> {
        while let Some(word) = self.owner.pop().map(Word::from_raw) {
            if self.is_descendant(word, frame) {
                return Some(word);
            }
            let Some(index) = self.in_a_slot(word) else {
                // No slot to carry it in: it stays, for whoever steals.
                let pushed = self.owner.push(word.raw());
                debug_assert_eq!(pushed, Ok(()), "it was there before");
                break;
            };
            let slot = self.scheduler.arena.slot(index);
            if slot.kind() == Kind::Plain && slot.frame().0 == Frame::NONE {
                self.inject(index);
            } else if let Some(seat) = self.scheduler.seats.as_ref().get(self.id.index()) {
                seat.shelf.post(&self.scheduler.arena, index);
            }
            // Left out: who waits for it has looked before.
            // Model: shelf::what_is_under_something_else_is_waited_for_in_vain_by_nobody.
            if !broken!("worker.wait.wake") {
                self.wake(1);
            }
        }
        None
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
