//! The fixed set of slots, and which of them are free.
//!
//! | operation | cost | progress |
//! |---|---|---|
//! | [`Arena::take`] and [`Arena::give`] with a worker's [`Magazine`] | no read-modify-write; one per half a magazine | lock-free |
//! | [`Arena::take_shared`], [`Arena::give_shared`] | one read-modify-write | lock-free |
//! | [`Arena::take_reserved`] and its return | one read-modify-write | lock-free |
//!
//! Free slots form a stack, linked through the slots themselves, whose top is one word with a tag.
//! Each worker keeps up to [`MAGAZINE`] free slots of its own and exchanges them with the stack in
//! runs of half as many: it walks the links and takes the run with one
//! compare-and-swap, which fails if the stack was touched meanwhile. Slots that were never used
//! are not on the stack but above the mark [`Arena::high_water`], so that a large arena costs no
//! memory and no time until it is used. A few slots may be set aside for those who could not go on
//! without; which of them are taken is a bit each.
//!
//! # Invariants
//!
//! - **I1** A free slot is in one place: on the stack, in one magazine, above the mark, or set aside.
//! - **I2** Each change of the stack changes its tag; an unchanged top means unchanged links below.
//!
//! # Limits
//!
//! A worker's magazine is out of the others' reach until the worker sleeps. A scheduler's magazines keep
//! at most a quarter of its slots together, or two each.
//! The tag has 32 bits: an exchange is fooled if it sleeps through an exact multiple of 2^32 changes.
//!
//! # Source
//!
//! J. Bonwick and J. Adams, "Magazines and Vmem" (USENIX ATC 2001, section 3), with a tagged
//! Treiber stack for the depot.

#![forbid(unsafe_code)]

use core::cell::Cell;
use core::fmt;

use crate::broken;
use crate::order;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, CachePadded, array, const_fn};
use crate::task::{Slot, SlotIndex};

/// The most free slots a worker keeps for itself.
pub const MAGAZINE: u32 = if cfg!(pinfold_loom) { 2 } else { 64 };

/// The most slots that can be set aside.
pub const MAX_RESERVE: usize = 32;

/// The largest number of slots. On 32-bit targets a queue word has to hold a slot *and* a graph node.
pub const MAX_SLOTS: usize = if usize::BITS >= 64 { 1 << 30 } else { 1 << 11 };

/// No slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// How many slots the arena has, without those set aside.
    pub slots: usize,
    /// The most slots that were in use or in magazines at once.
    pub high_water: usize,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no free slot among {} (high-water mark {}): wait for tasks to end, or configure more slots",
            self.slots, self.high_water
        )
    }
}

impl core::error::Error for Exhausted {}

/// `tag << 32 | top slot + 1`
#[derive(Clone, Copy)]
struct Top(u64);

impl Top {
    fn first(self) -> u32 {
        self.0 as u32
    }

    fn replaced(self, first: u32) -> Top {
        // Left out: a top that came back is taken for one that stayed.
        // Model: arena::slot_reuse_never_hands_one_slot_to_two_tasks.
        if broken!("arena.top.tag") {
            return Top(u64::from(first));
        }
        Top(((self.0 >> 32).wrapping_add(1)) << 32 | u64::from(first))
    }
}

/// A worker's own free slots.
#[derive(Debug)]
pub struct Magazine {
    /// First slot of a list, plus one.
    first: Cell<u32>,
    count: Cell<u32>,
    /// The most it keeps.
    limit: u32,
}

impl Magazine {
    /// An empty magazine that keeps up to `limit` slots, between 2 and [`MAGAZINE`].
    pub const fn new(limit: usize) -> Self {
        let limit = if limit < MAGAZINE as usize {
            limit as u32
        } else {
            MAGAZINE
        };
        Magazine {
            first: Cell::new(0),
            count: Cell::new(0),
            limit: if limit < 2 { 2 } else { limit },
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// How many slots it exchanges with the stack at once.
    #[inline]
    fn refill(&self) -> u32 {
        self.limit / 2
    }

    /// Whether there are enough slots in it to be worth sharing.
    #[inline]
    pub(crate) fn is_worth_sharing(&self) -> bool {
        self.count.get() >= self.refill()
    }
}

/// The slots of one scheduler.
pub struct Arena<S> {
    top: CachePadded<AtomicU64>,
    used: CachePadded<AtomicU32>,
    slots: S,
    /// How many slots there are for everybody; those set aside follow.
    main: u32,
    /// How many slots are set aside.
    reserve: u32,
    /// Which of those are taken, a bit each.
    reserve_taken: AtomicUsize,
    /// What a name that no slot has leads to, so that looking one up cannot fail. Never handed out.
    spare: Slot,
}

impl<const N: usize> Arena<[Slot; N]> {
    const_fn! {
        /// All `N` slots free; at most [`MAX_SLOTS`] (checked when compiled).
        pub const fn fixed() -> Self {
            const { assert!(N <= MAX_SLOTS, "too many slots") };
            Self::over(array![Slot::new(); N], N, 0)
        }
    }
}

impl<S> Arena<S> {
    const_fn! {
        const fn over(slots: S, main: usize, reserve: usize) -> Self {
            Arena {
                top: CachePadded::new(AtomicU64::new(0)),
                used: CachePadded::new(AtomicU32::new(0)),
                slots,
                main: main as u32,
                reserve: reserve as u32,
                reserve_taken: AtomicUsize::new(0),
                spare: Slot::new(),
            }
        }
    }
}

impl<S: AsRef<[Slot]>> Arena<S> {
    /// All of `slots` free; slots beyond [`MAX_SLOTS`] are never used.
    pub fn with_storage(slots: S) -> Self {
        Self::with_reserve(slots, 0)
    }

    /// As [`Arena::with_storage`], with the last `reserve` slots, at most [`MAX_RESERVE`], set aside for
    /// [`Arena::take_reserved`].
    pub fn with_reserve(slots: S, reserve: usize) -> Self {
        let count = slots.as_ref().len().min(MAX_SLOTS);
        let reserve = reserve.min(MAX_RESERVE).min(count);
        Self::over(slots, count - reserve, reserve)
    }

    /// How many slots there are, without those set aside.
    pub fn capacity(&self) -> usize {
        self.main as usize
    }

    /// How many slots there are, with those set aside.
    pub(crate) fn slots(&self) -> usize {
        (self.main + self.reserve) as usize
    }

    /// The most slots that were in use, or kept in magazines, at once.
    pub fn high_water(&self) -> usize {
        // Relaxed: a figure.
        self.used.load(order!("arena.used.look", Relaxed)) as usize
    }

    /// The error for a caller that found no slot.
    pub fn exhausted(&self) -> Exhausted {
        Exhausted {
            slots: self.capacity(),
            high_water: self.high_water(),
        }
    }

    /// The slot named `index`; if there is none, a spare one that is never handed out.
    #[inline(always)]
    pub fn slot(&self, index: SlotIndex) -> &Slot {
        let slots = self.slots.as_ref();
        debug_assert!((index as usize) < slots.len(), "there is no slot {index}");
        slots.get(index as usize).unwrap_or(&self.spare)
    }

    /// Takes a free slot, from the worker's own if it has any.
    #[inline]
    pub fn take(&self, magazine: &Magazine) -> Option<SlotIndex> {
        if magazine.first.get() == 0 && !self.refill(magazine) {
            return None;
        }
        let index = magazine.first.get() - 1;
        // Relaxed: the link was written by this worker, or acquired with the stack's top.
        magazine.first.set(
            self.slot(index)
                .next
                .load(order!("arena.take.link", Relaxed)),
        );
        magazine.count.set(magazine.count.get() - 1);
        Some(index)
    }

    /// Gives a slot back to the worker's own. An index that no slot has is ignored.
    #[inline]
    pub fn give(&self, magazine: &Magazine, index: SlotIndex) {
        if index >= self.main {
            return self.give_reserved(index);
        }
        // Relaxed: read by this worker, or published with the stack's top.
        self.slot(index)
            .next
            .store(magazine.first.get(), order!("arena.give.link", Relaxed));
        magazine.first.set(index + 1);
        magazine.count.set(magazine.count.get() + 1);
        if magazine.count.get() > magazine.limit {
            self.unload(magazine, magazine.refill());
        }
    }

    /// Gives all of a worker's own slots back to everybody.
    pub fn empty(&self, magazine: &Magazine) {
        self.unload(magazine, magazine.count.get());
    }

    /// Takes a free slot without a magazine.
    pub fn take_shared(&self) -> Option<SlotIndex> {
        match self.pop_run(1) {
            Some((first, _)) => Some(first - 1),
            None => self.take_unused(1).map(|(first, _)| first),
        }
    }

    /// Gives a slot back without a magazine. An index that no slot has is ignored.
    pub fn give_shared(&self, index: SlotIndex) {
        if index >= self.main {
            return self.give_reserved(index);
        }
        self.push_run(index + 1, index);
    }

    /// Takes one of the slots that are set aside. Lock-free, one read-modify-write.
    pub fn take_reserved(&self) -> Option<SlotIndex> {
        // Relaxed: the exchange confirms it.
        let mut taken = self
            .reserve_taken
            .load(order!("arena.reserve.look", Relaxed));
        loop {
            let place = taken.trailing_ones();
            if place >= self.reserve {
                return None;
            }
            // Acquire: pairs with the Release in `give_reserved`; the slot's last use is over. (The look
            // is too early for that: the slot may have been taken and given back since.)
            // Weaker: a slot is written while its last user still reads it.
            // Model: arena::a_reserved_slot_is_handed_over_with_its_contents.
            match self.reserve_taken.compare_exchange(
                taken,
                taken | 1 << place,
                order!("arena.reserve.take", Acquire),
                order!("arena.reserve.fail", Relaxed),
            ) {
                Ok(_) => return Some(self.main + place),
                Err(seen) => taken = seen,
            }
        }
    }

    /// Whether `index` is a slot that is set aside.
    #[inline(always)]
    pub(crate) fn is_reserved(&self, index: SlotIndex) -> bool {
        index >= self.main
    }

    #[cold]
    fn give_reserved(&self, index: SlotIndex) {
        let place = index - self.main;
        if place < self.reserve {
            // Release: pairs with the Acquire in `take_reserved`.
            // Weaker: a slot is written while its last user still reads it.
            // Model: arena::a_reserved_slot_is_handed_over_with_its_contents.
            self.reserve_taken
                .fetch_and(!(1 << place), order!("arena.reserve.give", Release));
        }
    }

    #[cold]
    fn refill(&self, magazine: &Magazine) -> bool {
        if let Some((first, count)) = self.pop_run(magazine.refill()) {
            magazine.first.set(first);
            magazine.count.set(count);
            return true;
        }
        let Some((first, count)) = self.take_unused(magazine.refill()) else {
            return false;
        };
        for index in (first..first + count).rev() {
            // Relaxed: this worker's own.
            self.slot(index)
                .next
                .store(magazine.first.get(), order!("arena.refill.link", Relaxed));
            magazine.first.set(index + 1);
        }
        magazine.count.set(count);
        true
    }

    #[cold]
    fn unload(&self, magazine: &Magazine, count: u32) {
        let first = magazine.first.get();
        if count == 0 || first == 0 {
            return;
        }
        let mut last = first - 1;
        for _ in 1..count {
            // Relaxed: this worker's own links.
            last = self
                .slot(last)
                .next
                .load(order!("arena.unload.walk", Relaxed))
                - 1;
        }
        magazine.first.set(
            self.slot(last)
                .next
                .load(order!("arena.unload.rest", Relaxed)),
        );
        magazine.count.set(magazine.count.get() - count);
        self.push_run(first, last);
    }

    /// Puts the list from `first` (plus one) to `last` onto the stack.
    fn push_run(&self, first: u32, last: SlotIndex) {
        // Relaxed: the exchange confirms it.
        let mut top = Top(self.top.load(order!("arena.push.top", Relaxed)));
        loop {
            // Relaxed: published by the exchange.
            self.slot(last)
                .next
                .store(top.first(), order!("arena.push.link", Relaxed));
            // Release: pairs with the Acquire in `pop_run`; carries the links, and the last use
            // of the slots.
            // Weaker: a slot is written while its last user still reads it. Model: arena::a_slot_is_handed_over_with_its_contents.
            match self.top.compare_exchange(
                top.0,
                top.replaced(first).0,
                order!("arena.push.exchange", Release),
                order!("arena.push.fail", Relaxed),
            ) {
                Ok(_) => return,
                Err(seen) => top = Top(seen),
            }
        }
    }

    /// Takes up to `most` slots off the stack: the first (plus one) of a list, and their number.
    /// The list's last link is meaningless beyond the count; it is cut here.
    fn pop_run(&self, most: u32) -> Option<(u32, u32)> {
        loop {
            // Acquire: pairs with the Release in `push_run`. All changes of the top are
            // read-modify-writes, so the latest carries the pushes before it.
            // Weaker: links are read before they were written. Model: arena::a_slot_is_handed_over_with_its_contents.
            let top = Top(self.top.load(order!("arena.pop.top", Acquire)));
            let first = top.first();
            let mut last = first.checked_sub(1)?;
            let mut count = 1;
            let mut rest = self.link(last);
            while count < most && rest != 0 {
                last = rest - 1;
                rest = self.link(last);
                count += 1;
            }
            // Relaxed: the slots were acquired with the top; handing on the rest continues the
            // release sequence of their push.
            let taken = self.top.compare_exchange(
                top.0,
                top.replaced(rest).0,
                order!("arena.pop.exchange", Relaxed),
                order!("arena.pop.fail", Relaxed),
            );
            if taken.is_ok() {
                self.slot(last)
                    .next
                    .store(0, order!("arena.pop.cut", Relaxed));
                return Some((first, count));
            }
        }
    }

    /// A link of a slot that may be somebody else's by now; always 0 or a slot plus one.
    fn link(&self, index: SlotIndex) -> u32 {
        // Relaxed: the exchange in `pop_run` rejects what was read from a slot that is gone.
        self.slot(index)
            .next
            .load(order!("arena.pop.link", Relaxed))
    }

    /// Takes up to `most` slots that were never used: the first, and their number.
    fn take_unused(&self, most: u32) -> Option<(SlotIndex, u32)> {
        let capacity = self.capacity() as u32;
        // Relaxed: a count; nobody has used what lies above it.
        let mut used = self.used.load(order!("arena.unused.look", Relaxed));
        loop {
            let count = most.min(capacity - used);
            if count == 0 {
                return None;
            }
            // Relaxed: as above.
            match self.used.compare_exchange(
                used,
                used + count,
                order!("arena.unused.take", Relaxed),
                order!("arena.unused.fail", Relaxed),
            ) {
                Ok(_) => return Some((used, count)),
                Err(seen) => used = seen,
            }
        }
    }
}

impl<S: AsRef<[Slot]>> fmt::Debug for Arena<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("capacity", &self.capacity())
            .field("high_water", &self.high_water())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_handed_out_once_and_then_none() {
        let arena = Arena::<[Slot; 100]>::fixed();
        let magazine = Magazine::new(64);
        let mut seen: Vec<_> = core::iter::from_fn(|| arena.take(&magazine)).collect();
        assert_eq!(
            arena.exhausted(),
            Exhausted {
                slots: 100,
                high_water: 100
            }
        );
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        for index in seen {
            arena.give(&magazine, index);
        }
        assert!(magazine.count.get() <= MAGAZINE);
        let again: Vec<_> = core::iter::from_fn(|| arena.take(&magazine)).collect();
        assert_eq!(again.len(), 100);
    }

    #[test]
    fn slots_set_aside_are_for_those_who_ask_for_them() {
        let arena = Arena::with_reserve([const { Slot::new() }; 8], 3);
        let magazine = Magazine::new(4);
        let common: Vec<_> = core::iter::from_fn(|| arena.take(&magazine)).collect();
        assert_eq!((common.len(), arena.capacity()), (5, 5));
        assert_eq!(arena.take_shared(), None);
        let reserved: Vec<_> = core::iter::from_fn(|| arena.take_reserved()).collect();
        assert_eq!(reserved, [5, 6, 7]);
        arena.give(&magazine, 6);
        assert_eq!(arena.take(&magazine), None);
        assert_eq!(arena.take_reserved(), Some(6));
        arena.give_shared(7);
        assert_eq!(arena.take_shared(), None);
        assert_eq!(arena.take_reserved(), Some(7));
    }

    #[test]
    fn what_is_no_slot_cannot_be_given() {
        let arena = Arena::<[Slot; 2]>::fixed();
        let magazine = Magazine::new(64);
        arena.give(&magazine, 2);
        arena.give_shared(u32::MAX - 1);
        let all: Vec<_> = core::iter::from_fn(|| arena.take(&magazine)).collect();
        assert_eq!(all, [0, 1]);
    }

    #[test]
    fn an_emptied_magazine_serves_others() {
        let arena = Arena::<[Slot; 4]>::fixed();
        let (mine, yours) = (Magazine::new(64), Magazine::new(64));
        let first = arena.take(&mine).unwrap();
        assert_eq!(arena.take(&yours), None);
        assert_eq!(arena.take_shared(), None);
        arena.empty(&mine);
        let mut rest: Vec<_> = core::iter::from_fn(|| arena.take(&yours)).collect();
        arena.give_shared(first);
        rest.extend(arena.take_shared());
        rest.sort_unstable();
        assert_eq!(rest, [0, 1, 2, 3]);
    }
}
