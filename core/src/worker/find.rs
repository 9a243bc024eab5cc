//! Where a worker's next task comes from.

#![forbid(unsafe_code)]

use super::Worker;
use crate::deque::Steal;
use crate::idle::Slept;
use crate::order;
use crate::platform::{Platform, Unwind};
use crate::scheduler::{INJECTOR_INTERVAL, Storage, Word};
use crate::sync::spin_hint;
use crate::task::SlotIndex;

/// How many looks at other workers' deques a worker spends before it goes to sleep.
pub(super) const SEARCH_LOOKS: usize = if cfg!(pinfold_loom) { 1 } else { 512 };

/// How many pauses stand between two rounds of looks.
pub(super) const SEARCH_PAUSES: usize = if cfg!(pinfold_loom) { 0 } else { 16 };

/// What looking for work came to.
#[derive(Debug)]
pub(super) enum Found {
    Word(Word),
    Closed,
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
                idle.leave_search(&self.scheduler.platform, self.victims);
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
            let outside = self.take_mail(|_| true).or_else(|| self.take_injected());
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
        self.take_mail(|_| true)
            .or_else(|| self.take_injected())
            .or_else(|| self.steal())
    }

    /// The first task in this worker's mail that is `wanted`.
    pub(super) fn take_mail(&self, wanted: impl Fn(Word) -> bool) -> Option<Word> {
        let arena = &self.scheduler.arena;
        let seat = self.scheduler.seats.as_ref().get(self.id.index())?;
        let new = seat.mailbox.take_all(arena);
        if new != 0 {
            self.append_mail(new);
        }
        let mut before: Option<SlotIndex> = None;
        let mut rest = self.mail.get();
        while let Some(index) = rest.checked_sub(1) {
            // Relaxed, here and below: the list is this worker's.
            rest = arena
                .slot(index)
                .next
                .load(order!("worker.mail.next", Relaxed));
            if wanted(Word::task(index)) {
                match before {
                    None => self.mail.set(rest),
                    Some(before) => {
                        arena
                            .slot(before)
                            .next
                            .store(rest, order!("worker.mail.unlink", Relaxed));
                    }
                }
                return Some(Word::task(index));
            }
            before = Some(index);
        }
        None
    }

    /// Puts new mail behind what is there.
    fn append_mail(&self, new: u32) {
        let arena = &self.scheduler.arena;
        let Some(mut last) = self.mail.get().checked_sub(1) else {
            return self.mail.set(new);
        };
        loop {
            // Relaxed, both: the list is this worker's.
            let next = &arena.slot(last).next;
            match next
                .load(order!("worker.mail.walk", Relaxed))
                .checked_sub(1)
            {
                Some(following) => last = following,
                None => return next.store(new, order!("worker.mail.append", Relaxed)),
            }
        }
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

    /// Looks elsewhere for a while.
    fn search(&self) -> Option<Word> {
        for _ in 0..SEARCH_LOOKS.div_ceil(self.victims.len() + 1) {
            if let Some(word) = self.find_elsewhere() {
                return Some(word);
            }
            if self.scheduler.is_closed() {
                return None;
            }
            for _ in 0..SEARCH_PAUSES {
                spin_hint();
            }
        }
        None
    }

    /// Sleeps until woken, unless there is work or the scheduler is closed.
    fn sleep(&self) -> Slept<Found> {
        let scheduler = self.scheduler;
        scheduler.arena.empty(&self.magazine);
        scheduler.idle.sleep(&scheduler.platform, self.id, || {
            if let Some(word) = self.find_elsewhere() {
                return Some(Found::Word(word));
            }
            if scheduler.is_closed() {
                return Some(Found::Closed);
            }
            if scheduler.starving() {
                scheduler.platform.slots_freed(true);
            }
            self.counters.sleeps.bump();
            None
        })
    }
}
