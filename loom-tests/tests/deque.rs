//! What [`pinfold_core::deque`] promises of one word at a time.
//!
//! Every word that was pushed is taken exactly once, by the owner or by one thief. Thieves take the
//! oldest first, the owner takes the newest first. Who takes a word sees what its pusher had written
//! before. A slot is written again only after it was read.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::deque::Steal;
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::rings::{
    assert_each_once, assert_newest_first, assert_oldest_first, drained, ring, stolen,
};

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
