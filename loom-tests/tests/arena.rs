//! What [`pinfold_core::arena`] promises.
//!
//! A free slot has one taker, and who takes it sees what its last user did to it.

mod support;

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;
use pinfold_core::arena::{Arena, Magazine};
use pinfold_core::task::Slot;

/// An arena, and for each slot a cell in place of its content: the checker reports whoever touches
/// it beside another, or is not ordered after the last user.
struct Slots<const N: usize> {
    arena: Arena<[Slot; N]>,
    contents: [UnsafeCell<usize>; N],
}

// SAFETY: the checker watches over the accesses to the cells; that is what the models are about.
unsafe impl<const N: usize> Sync for Slots<N> {}
// SAFETY: all fields are `Send`.
unsafe impl<const N: usize> Send for Slots<N> {}

impl<const N: usize> Slots<N> {
    /// All `N` slots were used before and stand on the stack, slot 0 on top.
    fn used() -> Arc<Self> {
        let slots = Arc::new(Slots {
            arena: Arena::fixed(),
            contents: [(); N].map(|()| UnsafeCell::new(0)),
        });
        let taken = [(); N].map(|()| slots.arena.take_shared().unwrap());
        for index in taken.into_iter().rev() {
            slots.arena.give_shared(index);
        }
        slots
    }

    /// The last `reserve` slots are set aside; all are free and were not used.
    fn with_reserve(reserve: usize) -> Arc<Self> {
        let new = [(); N].map(|()| Slot::new());
        Arc::new(Slots {
            arena: Arena::with_reserve(new, reserve),
            contents: [(); N].map(|()| UnsafeCell::new(0)),
        })
    }

    fn use_slot(&self, index: u32) {
        self.contents[index as usize].with_mut(|content| {
            // SAFETY: the checker reports an access beside this one.
            unsafe { *content += 1 }
        });
    }

    fn take_and_use(&self) -> Option<u32> {
        let index = self.arena.take_shared()?;
        self.use_slot(index);
        Some(index)
    }

    fn uses(&self) -> usize {
        let of_one = |content: &UnsafeCell<usize>| {
            content.with(|content| {
                // SAFETY: the checker reports a write beside this one.
                unsafe { *content }
            })
        };
        self.contents.iter().map(of_one).sum()
    }
}

#[test]
fn a_slot_is_handed_over_with_its_contents() {
    support::model(|| {
        let slots = Slots::<1>::used();
        let other = {
            let slots = slots.clone();
            thread::spawn(move || {
                let taken = slots.take_and_use();
                taken.inspect(|&index| slots.arena.give_shared(index))
            })
        };
        support::start();
        let taken = slots.take_and_use();
        taken.inspect(|&index| slots.arena.give_shared(index));
        let both = [taken, other.join().unwrap()];
        assert_eq!(slots.uses(), both.iter().flatten().count());
        assert_eq!(slots.arena.take_shared(), Some(0), "the slot is lost");
    });
}

/// One taker reads the top and its link, and meanwhile the other takes both slots and puts the first
/// back: the link that was read leads to a slot in use.
#[test]
fn slot_reuse_never_hands_one_slot_to_two_tasks() {
    support::bounded(3, || {
        let slots = Slots::<2>::used();
        let other = {
            let slots = slots.clone();
            thread::spawn(move || [slots.take_and_use(), slots.take_and_use()])
        };
        support::start();
        let first = slots.take_and_use();
        let second = slots.take_and_use();
        first.inspect(|&index| slots.arena.give_shared(index));
        let again = slots.take_and_use();
        let kept = [second, again];
        let mut held: Vec<u32> = [kept, other.join().unwrap()]
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        held.sort_unstable();
        let count = held.len();
        held.dedup();
        assert_eq!(held.len(), count, "a slot was handed out twice");
    });
}

/// The same with a worker's magazine, which takes runs and gives them back.
#[test]
fn a_magazine_and_an_outsider_share_no_slot() {
    support::bounded(3, || {
        let slots = Slots::<2>::used();
        let other = {
            let slots = slots.clone();
            thread::spawn(move || slots.take_and_use())
        };
        support::start();
        let magazine = Magazine::new(2);
        let take = || {
            let index = slots.arena.take(&magazine)?;
            slots.use_slot(index);
            Some(index)
        };
        let first = take();
        first.inspect(|&index| slots.arena.give(&magazine, index));
        slots.arena.empty(&magazine);
        let kept = [take(), take()];
        let theirs = other.join().unwrap();
        assert!(theirs.is_none_or(|index| !kept.contains(&Some(index))));
        let rest = core::iter::from_fn(take).count();
        let held = kept.iter().chain([&theirs]).flatten().count();
        assert_eq!(rest + held, 2, "a slot is lost");
    });
}

/// A slot that was set aside comes back from another thread, and its next user writes it.
#[test]
fn a_reserved_slot_is_handed_over_with_its_contents() {
    support::model(|| {
        let slots = Slots::<2>::with_reserve(1);
        let other = {
            let slots = slots.clone();
            thread::spawn(move || {
                let index = slots.arena.take_reserved();
                index.inspect(|&index| {
                    slots.use_slot(index);
                    slots.arena.give_shared(index);
                })
            })
        };
        support::start();
        let mine = slots.arena.take_reserved();
        mine.inspect(|&index| {
            slots.use_slot(index);
            slots.arena.give_shared(index);
        });
        let theirs = other.join().unwrap();
        assert!(
            mine.is_some() || theirs.is_some(),
            "the slot is free at first"
        );
        assert_eq!(slots.arena.take_reserved(), Some(1), "the slot is lost");
        assert_eq!(slots.arena.take_reserved(), None);
    });
}
