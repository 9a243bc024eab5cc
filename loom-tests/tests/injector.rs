//! What [`pinfold_core::injector`] promises.
//!
//! Each index that was accepted is taken exactly once, in the order of its producer. A full queue
//! refuses and says so only when it is full; an empty one says so only when it is empty. A consumer
//! sees what the producer had written.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::injector::{Entry, Injector, Rejected};
use pinfold_core::sync::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

type Queue<const N: usize> = Arc<Injector<[Entry; N]>>;

fn queue<const N: usize>() -> Queue<N> {
    Arc::new(Injector::fixed())
}

/// What `attempts` attempts to pop brought, in their order.
fn popped<const N: usize>(queue: &Injector<[Entry; N]>, attempts: usize) -> Vec<u32> {
    (0..attempts).filter_map(|_| queue.pop()).collect()
}

fn assert_each_once(pushed: impl Iterator<Item = u32>, taken: &[&[u32]]) {
    let mut taken: Vec<u32> = taken.concat();
    // Who took what is open; the order of each producer is asserted on its own.
    taken.sort_unstable();
    assert_eq!(
        taken,
        pushed.collect::<Vec<_>>(),
        "each index is taken exactly once"
    );
}

/// Of the indices `theirs`, those in `taken` stand there in the order of `theirs`.
fn assert_in_order_of(theirs: [u32; 2], taken: &[u32]) {
    let [first, second] = theirs.map(|index| taken.iter().position(|&other| other == index));
    if let (Some(first), Some(second)) = (first, second) {
        assert!(first < second, "{theirs:?} were taken as {taken:?}");
    }
}

#[test]
fn a_consumer_sees_what_the_producer_wrote() {
    support::model(|| {
        let queue = queue::<2>();
        let slots = Arc::new([(); 2].map(|()| AtomicUsize::new(0)));
        let consumer = {
            let (queue, slots) = (queue.clone(), slots.clone());
            thread::spawn(move || {
                for index in popped(&queue, 2) {
                    assert_eq!(
                        slots[index as usize].load(Relaxed),
                        1,
                        "slot {index} is not written"
                    );
                }
            })
        };
        support::start();
        for index in 0..2 {
            slots[index as usize].store(1, Relaxed);
            queue.push(index).unwrap();
        }
        consumer.join().unwrap();
    });
}

/// A slot is written anew before its index is queued anew; an old view of the ring must not lead to
/// an old view of the slot.
#[test]
fn a_consumer_sees_what_the_producer_wrote_last() {
    support::model(|| {
        let queue = queue::<2>();
        let slot = Arc::new(AtomicUsize::new(1));
        queue.push(1).unwrap();
        let consumer = {
            let (queue, slot) = (queue.clone(), slot.clone());
            thread::spawn(move || queue.pop().map(|_| slot.load(Relaxed)))
        };
        support::start();
        let mine = queue.pop();
        if mine.is_some() {
            slot.store(2, Relaxed);
            queue.push(1).unwrap();
        }
        let seen = consumer.join().unwrap();
        match (mine, seen) {
            (Some(1), seen) => assert!(seen.is_none() || seen == Some(2)),
            (None, seen) => assert_eq!(seen, Some(1)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn one_producer_is_served_in_its_order() {
    support::model(|| {
        let queue = queue::<4>();
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || popped(&queue, 3))
        };
        support::start();
        for index in [3, 0, 2] {
            queue.push(index).unwrap();
        }
        let mut taken = consumer.join().unwrap();
        taken.extend(popped(&queue, 4));
        assert_eq!(taken, [3, 0, 2]);
    });
}

#[test]
fn two_producers_are_each_served_in_their_order() {
    support::bounded(4, || {
        let queue = queue::<4>();
        let producer = {
            let queue = queue.clone();
            thread::spawn(move || [3, 1].map(|index| queue.push(index).unwrap()))
        };
        support::start();
        for index in [2, 0] {
            queue.push(index).unwrap();
        }
        producer.join().unwrap();
        let taken = popped(&queue, 5);
        assert_in_order_of([3, 1], &taken);
        assert_in_order_of([2, 0], &taken);
        assert_each_once(0..4, &[&taken]);
    });
}

#[test]
fn a_consumer_beside_two_producers_misses_nothing_and_keeps_their_order() {
    support::bounded(3, || {
        let queue = queue::<4>();
        let producer = {
            let queue = queue.clone();
            thread::spawn(move || [3, 1].map(|index| queue.push(index).unwrap()))
        };
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || popped(&queue, 2))
        };
        support::start();
        queue.push(2).unwrap();
        producer.join().unwrap();
        let taken = [consumer.join().unwrap(), popped(&queue, 4)].concat();
        assert_in_order_of([3, 1], &taken);
        assert_each_once(1..4, &[&taken]);
    });
}

#[test]
fn two_consumers_share_no_index() {
    support::model(|| {
        let queue = queue::<4>();
        for index in [3, 0] {
            queue.push(index).unwrap();
        }
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || popped(&queue, 2))
        };
        support::start();
        let mine = popped(&queue, 2);
        let theirs = consumer.join().unwrap();
        assert_in_order_of([3, 0], &mine);
        assert_in_order_of([3, 0], &theirs);
        assert_each_once([0, 3].into_iter(), &[&mine, &theirs]);
    });
}

#[test]
fn two_consumers_beside_a_producer_share_no_index() {
    support::model(|| {
        let queue = queue::<2>();
        queue.push(0).unwrap();
        let consumers = [(); 2].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || popped(&queue, 1))
        });
        support::start();
        queue.push(1).unwrap();
        let [first, second] = consumers.map(|consumer| consumer.join().unwrap());
        let left = popped(&queue, 3);
        assert_each_once(0..2, &[&first, &second, &left]);
    });
}

#[test]
fn the_order_holds_when_the_ring_wraps() {
    support::model(|| {
        let queue = queue::<2>();
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || popped(&queue, 3))
        };
        support::start();
        let pushed: Vec<u32> = [0, 1, 1, 0]
            .into_iter()
            .filter(|&index| queue.push(index).is_ok())
            .collect();
        let mut taken = consumer.join().unwrap();
        taken.extend(popped(&queue, 3));
        assert_eq!(taken, pushed);
    });
}

#[test]
fn of_two_producers_at_one_free_entry_one_is_refused() {
    support::model(|| {
        let queue = queue::<2>();
        queue.push(0).unwrap();
        let producer = {
            let queue = queue.clone();
            thread::spawn(move || queue.push(1))
        };
        support::start();
        let mine = queue.push(1);
        let theirs = producer.join().unwrap();
        assert!(matches!(
            (mine, theirs),
            (Ok(()), Err(Rejected::Full(1))) | (Err(Rejected::Full(1)), Ok(()))
        ));
        assert_eq!(popped(&queue, 3), [0, 1]);
    });
}

/// Three indices are queued, pushed or refused while one is taken: never are more than two inside.
#[test]
fn a_full_queue_refuses_and_keeps_what_it_holds() {
    support::bounded(3, || {
        let queue = queue::<2>();
        queue.push(0).unwrap();
        queue.push(1).unwrap();
        let producer = {
            let queue = queue.clone();
            thread::spawn(move || queue.push(0).is_ok())
        };
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || queue.pop())
        };
        support::start();
        let mine = queue.push(0).is_ok();
        let theirs = producer.join().unwrap();
        assert_eq!(consumer.join().unwrap(), Some(0));
        assert!(!(mine && theirs), "a queue of two holds three");
        let left = popped(&queue, 3);
        assert_eq!(left, if mine || theirs { vec![1, 0] } else { vec![1] });
        queue.push(1).unwrap();
        queue.push(1).unwrap();
        assert_eq!(queue.push(1), Err(Rejected::Full(1)));
    });
}

#[test]
fn a_push_after_a_pop_that_was_observed_is_accepted() {
    support::model(|| {
        let queue = queue::<2>();
        let popped_one = Arc::new(AtomicBool::new(false));
        queue.push(0).unwrap();
        queue.push(1).unwrap();
        let consumer = {
            let (queue, popped_one) = (queue.clone(), popped_one.clone());
            thread::spawn(move || {
                assert_eq!(queue.pop(), Some(0));
                popped_one.store(true, Release);
            })
        };
        support::start();
        if popped_one.load(Acquire) {
            assert_eq!(queue.push(0), Ok(()));
        }
        consumer.join().unwrap();
    });
}

/// Capacity at least the number of indices, and each index queued at most once: then a push is
/// never refused, whatever the views of the ends.
#[test]
fn an_index_that_was_taken_finds_room_again() {
    support::bounded(2, || {
        let queue = queue::<2>();
        queue.push(0).unwrap();
        queue.push(1).unwrap();
        let take_turns = |queue: &Injector<[Entry; 2]>, turns| {
            for _ in 0..turns {
                if let Some(index) = queue.pop() {
                    assert_eq!(queue.push(index), Ok(()));
                }
            }
        };
        let other = {
            let queue = queue.clone();
            thread::spawn(move || take_turns(&queue, 1))
        };
        support::start();
        take_turns(&queue, 2);
        other.join().unwrap();
        assert_each_once(0..2, &[&popped(&queue, 3)]);
    });
}

/// Two threads push and then pop: at each pop the queue holds something, so that no pop may say
/// "empty", however old the view of the ends or the entries.
#[test]
fn a_queue_that_is_not_empty_gives_something() {
    support::model(|| {
        let queue = queue::<2>();
        let turn = |queue: &Injector<[Entry; 2]>, index| {
            queue.push(index).unwrap();
            queue.pop()
        };
        let other = {
            let queue = queue.clone();
            thread::spawn(move || turn(&queue, 1))
        };
        support::start();
        let mine = turn(&queue, 0);
        let theirs = other.join().unwrap();
        assert!(
            mine.is_some() && theirs.is_some(),
            "popped {mine:?} and {theirs:?}"
        );
        assert_ne!(mine, theirs);
    });
}

/// A queue is not empty for who has pushed and popped nothing, whatever stands before its index.
#[test]
fn what_a_thread_pushed_is_found_by_its_pop() {
    support::model(|| {
        let queue = queue::<2>();
        let producer = {
            let queue = queue.clone();
            thread::spawn(move || queue.push(1).unwrap())
        };
        support::start();
        queue.push(0).unwrap();
        assert!(
            queue.pop().is_some(),
            "nobody has popped what this thread pushed"
        );
        producer.join().unwrap();
    });
}

/// What `wanted` saw behind the index belongs to the index that was taken.
#[test]
fn an_index_that_was_taken_was_there_when_it_was_asked_for() {
    support::model(|| {
        let queue = queue::<2>();
        let round = Arc::new(AtomicUsize::new(1));
        queue.push(1).unwrap();
        let consumer = {
            let (queue, round) = (queue.clone(), round.clone());
            thread::spawn(move || {
                let mut asked = 0;
                queue
                    .pop_if(|index| {
                        assert_eq!(index, 1);
                        asked = round.load(Relaxed);
                        true
                    })
                    .map(|_| asked)
            })
        };
        support::start();
        let mine = queue.pop();
        if mine.is_some() {
            round.store(2, Relaxed);
            queue.push(1).unwrap();
        }
        match (mine, consumer.join().unwrap()) {
            (None, asked) => assert_eq!(asked, Some(1)),
            (Some(1), Some(asked)) => assert_eq!(asked, 2, "asked of an index that had left"),
            (Some(1), None) => assert_eq!(queue.pop(), Some(1)),
            other => panic!("{other:?}"),
        }
        assert_eq!(queue.pop(), None);
    });
}

#[test]
fn two_producers_and_two_consumers_lose_and_double_nothing() {
    support::bounded(2, || {
        let queue = queue::<2>();
        let producers = [0, 1].map(|index| {
            let queue = queue.clone();
            thread::spawn(move || queue.push(index).unwrap())
        });
        let consumer = {
            let queue = queue.clone();
            thread::spawn(move || popped(&queue, 1))
        };
        support::start();
        let mine = popped(&queue, 1);
        for producer in producers {
            producer.join().unwrap();
        }
        let theirs = consumer.join().unwrap();
        let left = popped(&queue, 3);
        assert_each_once(0..2, &[&mine, &theirs, &left]);
    });
}
