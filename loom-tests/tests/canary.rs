//! That the models can fail.
//!
//! If the models ran on real atomics, or the checker explored one schedule only, every model would
//! pass. Here effects are demanded that only a checker shows, and protocols that are known to be
//! wrong, over core's own `sync` types, must be caught.

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use loom::thread;
use pinfold_core::deque::{Deque, Slot};
use pinfold_core::platform::Platform;
use pinfold_core::sync::{
    self, AtomicUsize, Ghost,
    Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst},
    fence,
};
use support::{Parking, worker};

#[test]
fn core_is_built_on_the_checker() {
    assert!(
        core::hint::black_box(sync::MODEL),
        "these tests run on real atomics and prove nothing"
    );
}

/// The atomics of a real backend work outside a model; the checker's do not.
#[test]
#[should_panic(expected = "cannot access Loom execution state from outside a Loom model")]
fn core_s_deque_is_made_of_the_checker_s_atomics() {
    core::hint::black_box(Deque::<[Slot; 2]>::fixed());
}

/// Every pair of what two threads read of each other after each has written its own, over all
/// executions.
fn store_buffering(between: Ordering) -> BTreeSet<(usize, usize)> {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let outcomes = seen.clone();
    loom::model(move || {
        let x = Arc::new(AtomicUsize::new(0));
        let y = Arc::new(AtomicUsize::new(0));
        let other = {
            let (x, y) = (x.clone(), y.clone());
            thread::spawn(move || {
                y.store(1, Relaxed);
                fence(between);
                x.load(Relaxed)
            })
        };
        x.store(1, Relaxed);
        fence(between);
        let mine = y.load(Relaxed);
        seen.lock().unwrap().insert((mine, other.join().unwrap()));
    });
    outcomes.lock().unwrap().clone()
}

#[test]
fn two_threads_can_miss_each_other() {
    assert_eq!(
        store_buffering(Relaxed),
        BTreeSet::from([(0, 0), (0, 1), (1, 0), (1, 1)])
    );
    assert_eq!(
        store_buffering(AcqRel),
        BTreeSet::from([(0, 0), (0, 1), (1, 0), (1, 1)])
    );
}

#[test]
fn two_fences_keep_two_threads_from_missing_each_other() {
    assert_eq!(
        store_buffering(SeqCst),
        BTreeSet::from([(0, 1), (1, 0), (1, 1)])
    );
}

fn message_passing(publish: Ordering, look: Ordering) {
    loom::model(move || {
        let message = Arc::new(AtomicUsize::new(0));
        let ready = Arc::new(AtomicUsize::new(0));
        let reader = {
            let (message, ready) = (message.clone(), ready.clone());
            thread::spawn(move || {
                if ready.load(look) == 1 {
                    assert_eq!(message.load(Relaxed), 1, "the message is not there");
                }
            })
        };
        message.store(1, Relaxed);
        ready.store(1, publish);
        reader.join().unwrap();
    });
}

#[test]
fn a_message_published_with_release_arrives() {
    message_passing(Release, Acquire);
}

#[test]
#[should_panic(expected = "the message is not there")]
fn a_message_published_without_release_is_caught() {
    message_passing(Relaxed, Acquire);
}

#[test]
#[should_panic(expected = "the message is not there")]
fn a_message_read_without_acquire_is_caught() {
    message_passing(Release, Relaxed);
}

/// One word for "asleep" and one for "there is work", as in `idle`.
fn sleep_protocol(sleeper: Ordering, publisher: Ordering) {
    loom::model(move || {
        let asleep = Arc::new(AtomicUsize::new(0));
        let work = Arc::new(AtomicUsize::new(0));
        let platform = Arc::new(Parking::new(1));
        let waiting = {
            let (asleep, work, platform) = (asleep.clone(), work.clone(), platform.clone());
            thread::spawn(move || {
                asleep.store(1, Relaxed);
                fence(sleeper);
                if work.load(Relaxed) == 0 {
                    platform.park(worker(0));
                }
            })
        };
        work.store(1, Relaxed);
        fence(publisher);
        if asleep.load(Relaxed) == 1 {
            platform.unpark(worker(0));
        }
        waiting.join().unwrap();
    });
}

#[test]
fn a_sleep_protocol_with_both_fences_passes() {
    sleep_protocol(SeqCst, SeqCst);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_sleep_protocol_without_fences_is_caught() {
    sleep_protocol(Relaxed, Relaxed);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_sleep_protocol_with_one_fence_is_caught() {
    sleep_protocol(SeqCst, Relaxed);
}

/// A ring of one slot whose thief reads the slot before or after the exchange that takes it.
fn take_and_read(read_first: bool) {
    loom::model(move || {
        let slot = Arc::new(AtomicUsize::new(1));
        let head = Arc::new(AtomicUsize::new(0));
        let thief = {
            let (slot, head) = (slot.clone(), head.clone());
            thread::spawn(move || {
                let read = slot.load(Relaxed);
                let took = head.compare_exchange(0, 1, Release, Relaxed).is_ok();
                assert!(took, "nobody else takes");
                if read_first { read } else { slot.load(Relaxed) }
            })
        };
        if head.load(Acquire) == 1 {
            slot.store(2, Relaxed);
        }
        assert_eq!(thief.join().unwrap(), 1, "a word of the next round");
    });
}

#[test]
fn a_thief_that_reads_before_it_takes_passes() {
    take_and_read(true);
}

#[test]
#[should_panic(expected = "a word of the next round")]
fn a_thief_that_takes_before_it_reads_is_caught() {
    take_and_read(false);
}

/// A reader marks its read and lets go, a writer waits for that and writes: the checker executes
/// the reader's load in program order, only the ghost shows that it may drift.
fn reuse(let_go: Ordering, reclaim: Ordering) {
    loom::model(move || {
        let ghost = Arc::new(Ghost::new());
        let free = Arc::new(AtomicUsize::new(0));
        let reader = {
            let (ghost, free) = (ghost.clone(), free.clone());
            thread::spawn(move || {
                ghost.mark_read(0);
                free.store(1, let_go);
            })
        };
        if free.load(reclaim) == 1 {
            ghost.assert_read(0);
        }
        reader.join().unwrap();
    });
}

#[test]
fn memory_reused_after_release_and_acquire_passes() {
    reuse(Release, Acquire);
}

#[test]
#[should_panic(expected = "ghost")]
fn memory_let_go_without_release_is_caught() {
    reuse(Relaxed, Acquire);
}

#[test]
#[should_panic(expected = "ghost")]
fn memory_reclaimed_without_acquire_is_caught() {
    reuse(Release, Relaxed);
}
