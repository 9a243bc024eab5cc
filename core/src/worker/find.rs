//! Where a worker's next task comes from.

#![forbid(unsafe_code)]

use super::Worker;
use crate::broken;
use crate::deque::Steal;
use crate::idle::Slept;
use crate::mailbox::Mailbox;
use crate::order;
use crate::platform::{Platform, Unwind, WorkerId};
use crate::scheduler::{INJECTOR_INTERVAL, Storage, Word};
use crate::sync::spin_hint;
use crate::task::SlotIndex;

/// How many looks at other workers' deques a worker spends before it goes to sleep.
const SEARCH_LOOKS: usize = if cfg!(pinfold_loom) { 1 } else { 128 };

/// The pauses between two rounds of looks: doubled each time, so that a victim that pushes small tasks
/// can pile up a batch before its cache lines are taken away again.
pub(super) struct Pauses(u32);

impl Pauses {
    const FIRST: u32 = 8;
    const MOST: u32 = 256;

    pub(super) fn new() -> Self {
        Pauses(Self::FIRST)
    }

    pub(super) fn pause(&mut self) {
        let pauses = if crate::sync::MODEL { 0 } else { self.0 };
        (0..pauses).for_each(|_| spin_hint());
        self.0 = (self.0 * 2).min(Self::MOST);
    }
}

/// What looking for work came to.
#[derive(Debug)]
pub(super) enum Found {
    Word(Word),
    Closed,
}

impl<S: Storage, P: Platform + Unwind> Worker<'_, S, P> {
    /// The oldest of what was taken out of the mailbox.
    pub(super) fn next_mail(&self) -> Option<SlotIndex> {
        let index = self.mail.get().checked_sub(1)?;
        // Relaxed: the list is this worker's.
        let next = &self.scheduler.arena.slot(index).next;
        self.mail
            .set(next.load(order!("worker.mail.next", Relaxed)));
        Some(index)
    }
}

impl<S: Storage, P: Platform + Unwind> Worker<'_, S, P> {
    /// The next task, after sleeping if need be.
    pub(super) fn next(&self) -> Found {
        if let Some(word) = self.find() {
            return Found::Word(word);
        }
        let idle = &self.scheduler.idle;
        idle.enter_search();
        loop {
            if let Some(word) = self.search() {
                idle.leave_search(&self.scheduler.platform, self.victims, || self.is_more());
                return Found::Word(word);
            }
            match self.sleep() {
                Slept::Found(found) => return found,
                Slept::Woken => {}
            }
        }
    }

    /// Whether the next task comes from outside, if there is any.
    #[inline(always)]
    pub(super) fn is_outsiders_turn(&self) -> bool {
        self.ticks.get().is_multiple_of(INJECTOR_INTERVAL)
    }

    /// Counts a task taken.
    #[inline(always)]
    pub(super) fn tick(&self) {
        self.ticks.set(self.ticks.get().wrapping_add(1));
    }

    #[inline]
    pub(super) fn find(&self) -> Option<Word> {
        let outsiders_turn = self.is_outsiders_turn();
        self.tick();
        if outsiders_turn {
            let outside = self.take_mail().or_else(|| self.take_injected());
            if outside.is_some() {
                return outside;
            }
        }
        match self.owner.pop() {
            Some(raw) => Some(Word::from_raw(raw)),
            None => {
                self.report_sinks();
                self.find_elsewhere()
            }
        }
    }

    fn find_elsewhere(&self) -> Option<Word> {
        self.take_mail()
            .or_else(|| self.take_injected())
            .or_else(|| self.steal())
            .or_else(|| self.take_shelved(|_| true))
    }

    /// The oldest task in this worker's mail.
    pub(super) fn take_mail(&self) -> Option<Word> {
        if self.mail.get() == 0 {
            let seat = self.scheduler.seats.as_ref().get(self.id.index())?;
            self.mail.set(seat.mailbox.take_all(&self.scheduler.arena));
        }
        self.next_mail().map(Word::task)
    }

    fn take_injected(&self) -> Option<Word> {
        let index = self.scheduler.injector.pop()?;
        self.counters.injected.bump();
        Some(Word::task(index))
    }

    /// One sweep over the victims.
    fn steal(&self) -> Option<Word> {
        for victim in self.victims {
            let Some(seat) = self.scheduler.seats.as_ref().get(victim.index()) else {
                continue;
            };
            loop {
                match seat.deque.steal_batch(&self.owner) {
                    Steal::Taken(raw) => {
                        self.counters.steals.bump();
                        return Some(Word::from_raw(raw));
                    }
                    // Somebody else got one; there may be more.
                    Steal::Contended => spin_hint(),
                    Steal::Empty | Steal::Declined => break,
                }
            }
        }
        None
    }

    /// The first task on anybody's shelf that is `wanted`; what else was there goes back.
    pub(super) fn take_shelved(&self, wanted: impl Fn(Word) -> bool) -> Option<Word> {
        let seats = self.scheduler.seats.as_ref();
        let ids = core::iter::once(self.id).chain(self.victims.iter().copied());
        ids.filter_map(|id| seats.get(id.index()))
            .find_map(|seat| self.take_from_shelf(&seat.shelf, &wanted))
    }

    fn take_from_shelf(&self, shelf: &Mailbox, wanted: &impl Fn(Word) -> bool) -> Option<Word> {
        let arena = &self.scheduler.arena;
        if shelf.is_empty() || !shelf.any(arena, |index| wanted(Word::task(index))) {
            return None;
        }
        let mut rest = shelf.take_all(arena);
        let mut found = None;
        let mut left = false;
        while let Some(index) = rest.checked_sub(1) {
            // Relaxed: the list is ours.
            let next = &arena.slot(index).next;
            rest = next.load(order!("worker.shelf.next", Relaxed));
            if found.is_none() && wanted(Word::task(index)) {
                found = Some(Word::task(index));
            } else {
                shelf.post(arena, index);
                left = true;
            }
        }
        // Left out: who looked while it was gone sleeps.
        // Model: shelf::what_is_put_back_on_a_shelf_is_told_to_those_who_missed_it.
        if left && !broken!("worker.shelf.wake") {
            // Somebody may have looked while it was gone.
            self.wake(1);
        }
        found
    }

    /// Whether there is anything that another worker could take.
    fn is_more(&self) -> bool {
        let seats = self.scheduler.seats.as_ref();
        let has_tasks = |id: &WorkerId| {
            let seat = seats.get(id.index());
            seat.is_some_and(|seat| !seat.deque.is_empty() || !seat.shelf.is_empty())
        };
        !self.scheduler.injector.is_empty()
            || has_tasks(&self.id)
            || self.victims.iter().any(has_tasks)
    }

    /// How many rounds of looks a search takes.
    pub(super) fn rounds(&self) -> usize {
        SEARCH_LOOKS.div_ceil(self.victims.len().saturating_add(1))
    }

    /// Looks elsewhere for a while.
    fn search(&self) -> Option<Word> {
        let mut pauses = Pauses::new();
        for _ in 0..self.rounds() {
            if let Some(word) = self.find_elsewhere() {
                return Some(word);
            }
            if self.scheduler.is_closed() {
                return None;
            }
            pauses.pause();
        }
        None
    }

    /// Sleeps until woken, unless there is work or the scheduler is closed.
    fn sleep(&self) -> Slept<Found> {
        let scheduler = self.scheduler;
        self.share_slots();
        scheduler.idle.sleep(&scheduler.platform, self.id, || {
            if let Some(word) = self.find_elsewhere() {
                return Some(Found::Word(word));
            }
            if scheduler.is_closed() {
                // What was accepted before the closing was published before it: once more. Pairs with
                // the `publisher_fence` that stands between the two.
                // Weaker: the task is left behind.
                // Model: scheduler::what_was_accepted_before_the_close_is_run.
                if !broken!("worker.sleep.fence") {
                    scheduler.platform.sleeper_fence();
                }
                let left = self.find_elsewhere().map(Found::Word);
                return Some(left.unwrap_or(Found::Closed));
            }
            if scheduler.starving() {
                scheduler.platform.slots_freed(true);
            }
            self.counters.sleeps.bump();
            None
        })
    }
}
