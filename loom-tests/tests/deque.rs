//! What [`pinfold_core::deque`] promises.
//!
//! Every word that was pushed is taken exactly once, by the owner or by one thief. Thieves take the
//! oldest first, the owner takes the newest first. Who takes a word sees what its pusher had written
//! before. A slot is written again only after it was read, and the owner's end can change hands.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::deque::{Deque, Owner, Slot, Steal};
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};

type Ring<const N: usize> = Arc<Deque<[Slot; N]>>;

fn ring<const N: usize>() -> Ring<N> {
    Arc::new(Deque::fixed())
}

/// What `attempts` attempts to steal brought, in their order.
fn stolen<const N: usize>(deque: &Deque<[Slot; N]>, attempts: usize) -> Vec<usize> {
    let steal = |_| match deque.steal() {
        Steal::Taken(word) => Some(word),
        _ => None,
    };
    (0..attempts).filter_map(steal).collect()
}

/// All that the owner still finds, newest first.
fn drained<const N: usize>(owner: &Owner<'_, [Slot; N]>) -> Vec<usize> {
    core::iter::from_fn(|| owner.pop()).collect()
}

fn assert_each_once(pushed: impl Iterator<Item = usize>, taken: &[&[usize]]) {
    let mut taken: Vec<usize> = taken.concat();
    // Who took what is open; the order of each taker is asserted on its own.
    taken.sort_unstable();
    assert_eq!(
        taken,
        pushed.collect::<Vec<_>>(),
        "each word is taken exactly once"
    );
}

fn assert_oldest_first(taken: &[usize]) {
    assert!(
        taken.is_sorted(),
        "a thief takes the oldest first: {taken:?}"
    );
}

fn assert_newest_first(taken: &[usize]) {
    assert!(
        taken.is_sorted_by(|a, b| a > b),
        "the owner takes the newest first: {taken:?}"
    );
}

#[test]
fn each_word_goes_to_the_owner_or_to_the_thief() {
    support::model(|| {
        let deque = ring::<4>();
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 2))
        };
        support::start();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        owner.push(2).unwrap();
        let mut popped: Vec<usize> = owner.pop().into_iter().collect();
        let stolen = thief.join().unwrap();
        popped.extend(drained(&owner));
        assert_oldest_first(&stolen);
        assert_newest_first(&popped);
        assert_each_once(1..=2, &[&popped, &stolen]);
    });
}

#[test]
fn each_word_goes_to_the_owner_or_to_one_of_two_thieves() {
    support::model(|| {
        let deque = ring::<2>();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        owner.push(2).unwrap();
        let thieves = [(); 2].map(|()| {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 1))
        });
        support::start();
        let mut popped: Vec<usize> = owner.pop().into_iter().collect();
        popped.extend(owner.pop());
        let [first, second] = thieves.map(|thief| thief.join().unwrap());
        popped.extend(drained(&owner));
        assert_newest_first(&popped);
        assert_each_once(1..=2, &[&popped, &first, &second]);
    });
}

#[test]
fn the_last_word_goes_to_the_owner_or_to_the_thief() {
    support::model(|| {
        let deque = ring::<2>();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 2))
        };
        support::start();
        let mut popped: Vec<usize> = owner.pop().into_iter().collect();
        // A pop that came too late must leave a deque that still works.
        owner.push(2).unwrap();
        let stolen = thief.join().unwrap();
        popped.extend(drained(&owner));
        assert_oldest_first(&stolen);
        assert_each_once(1..=2, &[&popped, &stolen]);
    });
}

#[test]
fn the_last_word_goes_to_the_owner_or_to_one_of_two_thieves() {
    support::model(|| {
        let deque = ring::<2>();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        let thieves = [(); 2].map(|()| {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 1))
        });
        support::start();
        let mut popped: Vec<usize> = owner.pop().into_iter().collect();
        popped.extend(owner.pop());
        owner.push(2).unwrap();
        let [first, second] = thieves.map(|thief| thief.join().unwrap());
        popped.extend(drained(&owner));
        assert_each_once(1..=2, &[&popped, &first, &second]);
    });
}

/// The owner counts a word that a thief took; the deque is then shorter than empty for a moment.
/// A thief that sees any mixture of the counters around that moment takes nothing that is not there.
#[test]
fn a_pop_that_came_too_late_offers_nothing_twice() {
    support::model(|| {
        let deque = ring::<2>();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 3))
        };
        support::start();
        let mut popped: Vec<usize> = owner.pop().into_iter().collect();
        popped.extend(owner.pop());
        owner.push(2).unwrap();
        popped.extend(owner.pop());
        let stolen = thief.join().unwrap();
        popped.extend(drained(&owner));
        assert_oldest_first(&stolen);
        assert_each_once(1..=2, &[&popped, &stolen]);
    });
}

#[test]
fn each_word_is_taken_once_when_a_ring_of_two_wraps() {
    support::model(|| {
        let deque = ring::<2>();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        owner.push(2).unwrap();
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 2))
        };
        support::start();
        let mut popped = Vec::new();
        for word in 3..=4 {
            if owner.push(word).is_err() {
                popped.extend(owner.pop());
                owner.push(word).unwrap();
            }
        }
        let stolen = thief.join().unwrap();
        popped.extend(drained(&owner));
        assert_oldest_first(&stolen);
        assert_each_once(1..=4, &[&popped, &stolen]);
    });
}

/// Words are popped and others pushed at the same positions while a thief holds an old view.
#[test]
fn each_word_is_taken_once_when_positions_are_written_again() {
    support::model(|| {
        let deque = ring::<2>();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 2))
        };
        support::start();
        let mut popped = Vec::new();
        for word in 2..=3 {
            popped.extend(owner.pop());
            owner.push(word).unwrap();
        }
        let stolen = thief.join().unwrap();
        popped.extend(drained(&owner));
        assert_oldest_first(&stolen);
        assert_each_once(1..=3, &[&popped, &stolen]);
    });
}

#[test]
fn a_thief_sees_what_was_pushed() {
    support::model(|| {
        let deque = ring::<2>();
        let written = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let thief = {
            let (deque, written) = (deque.clone(), written.clone());
            thread::spawn(move || {
                for word in stolen(&deque, 2) {
                    assert_eq!(
                        written[word].load(Relaxed),
                        1,
                        "word {word} without its data"
                    );
                }
            })
        };
        support::start();
        let owner = deque.owner().unwrap();
        for word in 0..2 {
            written[word].store(1, Relaxed);
            owner.push(word).unwrap();
        }
        thief.join().unwrap();
    });
}

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

/// Proved by the ghost in the slot: the owner asserts that the read of a position has happened
/// before it writes the position one round later.
#[test]
fn a_slot_is_reused_only_after_it_was_read() {
    support::model(|| {
        let deque = ring::<2>();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        owner.push(2).unwrap();
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 2).len())
        };
        support::start();
        let mut pushed = 0;
        for word in 3..=4 {
            pushed += usize::from(owner.push(word).is_ok());
        }
        let taken = thief.join().unwrap();
        assert!(pushed <= taken, "a ring of two never holds three words");
        // A steal that the owner knows of is room that the owner has.
        for word in 0..taken - pushed {
            owner.push(10 + word).unwrap();
        }
        assert!(owner.push(20).is_err());
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

/// The same word is pushed twice, with different data behind it. What `wanted` saw behind the word
/// belongs to the push that was taken.
#[test]
fn a_word_that_was_taken_was_there_when_it_was_asked_for() {
    support::model(|| {
        const WORD: usize = 5;
        let deque = ring::<2>();
        let round = Arc::new(AtomicUsize::new(1));
        let owner = deque.owner().unwrap();
        owner.push(WORD).unwrap();
        let thief = {
            let (deque, round) = (deque.clone(), round.clone());
            thread::spawn(move || {
                let mut asked = 0;
                let steal = deque.steal_if(|word| {
                    assert_eq!(word, WORD);
                    asked = round.load(Relaxed);
                    true
                });
                (steal == Steal::Taken(WORD)).then_some(asked)
            })
        };
        support::start();
        let popped = owner.pop();
        if popped.is_some() {
            round.store(2, Relaxed);
            owner.push(WORD).unwrap();
        }
        let asked = thief.join().unwrap();
        match (popped, asked) {
            (None, asked) => assert_eq!(asked, Some(1)),
            (Some(WORD), Some(asked)) => assert_eq!(asked, 2, "asked of a word that had left"),
            (Some(WORD), None) => assert_eq!(owner.pop(), Some(WORD)),
            (Some(other), _) => panic!("{other} was never pushed"),
        }
        assert!(deque.is_empty());
    });
}

#[test]
fn a_declined_word_stays() {
    support::model(|| {
        let deque = ring::<2>();
        let owner = deque.owner().unwrap();
        owner.push(1).unwrap();
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || {
                matches!(deque.steal_if(|_| false), Steal::Declined | Steal::Empty)
            })
        };
        support::start();
        assert_eq!(owner.pop(), Some(1));
        assert!(thief.join().unwrap());
    });
}

#[test]
fn an_owner_continues_where_the_last_one_stopped() {
    support::model(|| {
        let deque = ring::<4>();
        let next = {
            let deque = deque.clone();
            thread::spawn(move || {
                let owner = deque.owner()?;
                let popped = owner.pop();
                owner.push(3).unwrap();
                Some(popped)
            })
        };
        support::start();
        let first = deque.owner().map(|owner| {
            owner.push(1).unwrap();
            owner.push(2).unwrap();
            owner.pop()
        });
        let next = next.join().unwrap();
        // Stolen, because the checker does not know that a claim that failed, being a
        // read-modify-write, stands before the release it lost to.
        let left = stolen(&deque, 4);
        match (first, next) {
            (Some(Some(2)), None) => assert_eq!(left, [1]),
            (None, Some(None)) => assert_eq!(left, [3]),
            (Some(Some(2)), Some(Some(1))) => assert_eq!(left, [3]),
            (Some(Some(2)), Some(None)) => assert_eq!(left, [3, 1]),
            other => panic!("{other:?}, left {left:?}"),
        }
    });
}

/// The second owner of a full deque writes where a thief has read under the first.
#[test]
fn a_new_owner_waits_for_the_readers_of_the_old_one() {
    support::model(|| {
        let deque = ring::<2>();
        {
            let owner = deque.owner().unwrap();
            owner.push(1).unwrap();
            owner.push(2).unwrap();
        }
        let thief = {
            let deque = deque.clone();
            thread::spawn(move || stolen(&deque, 1))
        };
        support::start();
        let owner = deque.owner().unwrap();
        let pushed = owner.push(3).is_ok();
        let stolen = thief.join().unwrap();
        assert_eq!(stolen, [1]);
        let popped = drained(&owner);
        assert_eq!(popped, if pushed { vec![3, 2] } else { vec![2] });
    });
}

#[test]
fn two_claims_make_one_owner() {
    support::model(|| {
        let deque = ring::<2>();
        let inside = Arc::new(AtomicUsize::new(0));
        let enter = |deque: &Deque<[Slot; 2]>, inside: &AtomicUsize| {
            let owner = deque.owner()?;
            assert_eq!(inside.fetch_add(1, Relaxed), 0, "two owners at a time");
            inside.fetch_sub(1, Relaxed);
            drop(owner);
            Some(())
        };
        let other = {
            let (deque, inside) = (deque.clone(), inside.clone());
            thread::spawn(move || enter(&deque, &inside))
        };
        support::start();
        let mine = enter(&deque, &inside);
        let theirs = other.join().unwrap();
        assert!(mine.is_some() || theirs.is_some(), "somebody is the owner");
    });
}
