//! Deques as the models use them, and what is asserted of what was taken from them.

use std::sync::Arc;

use pinfold_core::deque::{Deque, Owner, Slot, Steal};

/// A deque shared by the threads of a model.
pub type Ring<const N: usize> = Arc<Deque<[Slot; N]>>;

/// An empty one.
pub fn ring<const N: usize>() -> Ring<N> {
    Arc::new(Deque::fixed())
}

/// What `attempts` attempts to steal brought, in their order.
pub fn stolen<const N: usize>(deque: &Deque<[Slot; N]>, attempts: usize) -> Vec<usize> {
    let steal = |_| match deque.steal() {
        Steal::Taken(word) => Some(word),
        _ => None,
    };
    (0..attempts).filter_map(steal).collect()
}

/// All that the owner still finds, newest first.
pub fn drained<const N: usize>(owner: &Owner<'_, [Slot; N]>) -> Vec<usize> {
    core::iter::from_fn(|| owner.pop()).collect()
}

/// All that was pushed was taken, and once.
pub fn assert_each_once(pushed: impl Iterator<Item = usize>, taken: &[&[usize]]) {
    let mut taken: Vec<usize> = taken.concat();
    // Who took what is open; the order of each taker is asserted on its own.
    taken.sort_unstable();
    assert_eq!(
        taken,
        pushed.collect::<Vec<_>>(),
        "each word is taken exactly once"
    );
}

/// The order of one thief.
pub fn assert_oldest_first(taken: &[usize]) {
    assert!(
        taken.is_sorted(),
        "a thief takes the oldest first: {taken:?}"
    );
}

/// The order of the owner.
pub fn assert_newest_first(taken: &[usize]) {
    assert!(
        taken.is_sorted_by(|a, b| a > b),
        "the owner takes the newest first: {taken:?}"
    );
}
