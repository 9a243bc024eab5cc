//! What [`pinfold_core::deque`] promises when the owner's end changes hands.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::deque::{Deque, Slot};
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::rings::{drained, ring, stolen};

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
