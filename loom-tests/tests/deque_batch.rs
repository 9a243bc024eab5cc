//! What [`pinfold_core::deque`] promises of batches.
//!
//! A batch is the oldest words in their order, each for one thief. Who takes a word from the thief sees
//! what its pusher had written. A batch that fails leaves nothing, and one that succeeds overwrites
//! nothing that somebody still reads.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::deque::{Deque, Slot, Steal};
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::rings::{
    assert_each_once, assert_newest_first, assert_oldest_first, drained, ring, stolen,
};

#[test]
fn a_thief_sees_what_was_pushed_by_the_batch() {
    support::model(|| {
        let deque = ring::<4>();
        let written = Arc::new([(); 3].map(|()| AtomicUsize::new(0)));
        let thief = {
            let (deque, written) = (deque.clone(), written.clone());
            thread::spawn(move || {
                let own = ring::<2>();
                let end = own.owner().unwrap();
                if let Steal::Taken(first) = deque.steal_batch(&end) {
                    for word in [first].into_iter().chain(stolen(&own, 1)) {
                        assert_eq!(
                            written[word].load(Relaxed),
                            1,
                            "word {word} without its data"
                        );
                    }
                }
            })
        };
        support::start();
        let owner = deque.owner().unwrap();
        for word in written.iter() {
            word.store(1, Relaxed);
        }
        assert_eq!(owner.push_all(&mut (0..3)), 3);
        thief.join().unwrap();
    });
}

/// What the first owner wrote reaches a thief that robs the thief.
#[test]
fn a_stolen_batch_carries_what_was_pushed() {
    support::model(|| {
        let victim = ring::<4>();
        let middle = ring::<2>();
        let written = Arc::new([(); 3].map(|()| AtomicUsize::new(0)));
        let second = {
            let (middle, written) = (middle.clone(), written.clone());
            thread::spawn(move || {
                for word in stolen(&middle, 1) {
                    assert_eq!(
                        written[word].load(Relaxed),
                        1,
                        "word {word} without its data"
                    );
                }
            })
        };
        let first = {
            let (victim, middle) = (victim.clone(), middle.clone());
            thread::spawn(move || {
                let _ = victim.steal_batch(&middle.owner().unwrap());
            })
        };
        support::start();
        for word in written.iter() {
            word.store(1, Relaxed);
        }
        assert_eq!(victim.owner().unwrap().push_all(&mut (0..3)), 3);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// As above for the slots of a thief, which a batch writes before it owns the words.
#[test]
fn a_batch_overwrites_nothing_that_was_not_read() {
    support::model(|| {
        let victim = ring::<4>();
        let own = ring::<2>();
        assert_eq!(victim.owner().unwrap().push_all(&mut (11..=14)), 4);
        let end = own.owner().unwrap();
        end.push(1).unwrap();
        end.push(2).unwrap();
        let thief = {
            let own = own.clone();
            thread::spawn(move || stolen(&own, 1))
        };
        support::start();
        let Steal::Taken(first) = victim.steal_batch(&end) else {
            panic!("nobody else steals")
        };
        assert_eq!(first, 11);
        let stolen = thief.join().unwrap();
        let popped = drained(&end);
        assert_newest_first(&popped);
        assert!(popped.len() + stolen.len() <= 3);
        assert_each_once(
            (1..=2).chain(12..10 + popped.len() + stolen.len()),
            &[&popped, &stolen],
        );
        let left = drained(&victim.owner().unwrap());
        assert_eq!(popped.len() + stolen.len() - 2 + 1 + left.len(), 4);
    });
}

#[test]
fn a_batch_against_pops_moves_each_word_once_and_in_order() {
    support::model(|| {
        let deque = ring::<4>();
        let owner = deque.owner().unwrap();
        assert_eq!(owner.push_all(&mut (1..=4)), 4);
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || {
                let own = ring::<4>();
                let end = own.owner().unwrap();
                let first = match deque.steal_batch(&end) {
                    Steal::Taken(first) => vec![first],
                    _ => vec![],
                };
                [first, stolen(&own, 4)].concat()
            })
        };
        support::start();
        let mut popped: Vec<usize> = (0..2).filter_map(|_| owner.pop()).collect();
        let batch = thief.join().unwrap();
        popped.extend(drained(&owner));
        assert_eq!(
            batch,
            (1..=batch.len()).collect::<Vec<_>>(),
            "the oldest, in their order"
        );
        assert_newest_first(&popped);
        assert_each_once(1..=4, &[&popped, &batch]);
    });
}

#[test]
fn two_batches_share_no_word() {
    support::model(|| {
        let deque = ring::<4>();
        let owner = deque.owner().unwrap();
        assert_eq!(owner.push_all(&mut (1..=4)), 4);
        let batch = |deque: &Deque<[Slot; 4]>| {
            let own = ring::<2>();
            let end = own.owner().unwrap();
            match deque.steal_batch(&end) {
                Steal::Taken(first) => [vec![first], stolen(&own, 1)].concat(),
                _ => vec![],
            }
        };
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || batch(&deque))
        };
        support::start();
        let mine = batch(&deque);
        let theirs = thief.join().unwrap();
        assert_oldest_first(&mine);
        assert_oldest_first(&theirs);
        assert_each_once(1..=4, &[&mine, &theirs, &drained(&owner)]);
    });
}

/// A batch that fails has copied words into unpublished slots of the thief's deque; nobody may
/// take them from there.
#[test]
fn a_batch_that_failed_leaves_no_copies() {
    support::model(|| {
        let victim = ring::<4>();
        let middle = ring::<2>();
        let owner = victim.owner().unwrap();
        assert_eq!(owner.push_all(&mut (1..=3)), 3);
        let first = {
            let (victim, middle) = (victim.clone(), middle.clone());
            thread::spawn(move || {
                let end = middle.owner().unwrap();
                end.push(10).unwrap();
                let popped = end.pop();
                let taken = match victim.steal_batch(&end) {
                    Steal::Taken(word) => Some(word),
                    _ => None,
                };
                popped.into_iter().chain(taken).collect::<Vec<_>>()
            })
        };
        let second = {
            let middle = middle.clone();
            thread::spawn(move || stolen(&middle, 1))
        };
        support::start();
        let mut popped: Vec<usize> = owner.pop().into_iter().collect();
        let batch = first.join().unwrap();
        let robbed = second.join().unwrap();
        popped.extend(drained(&owner));
        let kept = drained(&middle.owner().unwrap());
        assert_newest_first(&popped);
        assert_each_once((1..=3).chain([10]), &[&popped, &batch, &robbed, &kept]);
    });
}
