//! That the check can fail: queues with a fault each, and histories that are written down here.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use crate::checker::{History, Timed};
use crate::runner::{chosen, run};
use crate::{CONCURRENT, Indices, OfDeque, OfQueue, Queue, Row, Steal, Used};

/// A ring whose consumers look and take in two steps: two may take the same index.
struct DoublePop {
    indices: Mutex<Vec<usize>>,
    taken: AtomicUsize,
}

impl Indices for DoublePop {
    const ROOM: usize = 16;

    fn new() -> Self {
        DoublePop {
            indices: Mutex::new(Vec::new()),
            taken: AtomicUsize::new(0),
        }
    }

    fn push(&self, index: usize) -> bool {
        self.indices.lock().unwrap().push(index);
        true
    }

    fn pop(&self) -> Option<usize> {
        let taken = self.taken.load(SeqCst);
        let index = self.indices.lock().unwrap().get(taken).copied()?;
        if taken % 4 == 3 {
            thread::yield_now();
        }
        self.taken.store(taken + 1, SeqCst);
        Some(index)
    }
}

/// What a queue behind a lock does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The newest comes first if there are three.
    Overtakes,
    /// Whoever finds the lock taken says that there is nothing.
    BusyIsEmpty,
    /// Refuses the last index for which there is room.
    FullTooEarly,
}

struct Locked<const FAULT: u8>(Mutex<VecDeque<usize>>);

impl<const FAULT: u8> Locked<FAULT> {
    const FAULT: Fault = [
        Fault::None,
        Fault::Overtakes,
        Fault::BusyIsEmpty,
        Fault::FullTooEarly,
    ][FAULT as usize];
}

impl<const FAULT: u8> Indices for Locked<FAULT> {
    const ROOM: usize = 4;

    fn new() -> Self {
        Locked(Mutex::default())
    }

    fn push(&self, index: usize) -> bool {
        let mut row = self.0.lock().unwrap();
        let room = Self::ROOM - usize::from(Self::FAULT == Fault::FullTooEarly);
        let has_room = row.len() < room;
        if has_room {
            row.push_back(index);
        }
        has_room
    }

    fn pop(&self) -> Option<usize> {
        if Self::FAULT == Fault::BusyIsEmpty {
            let mut row = self.0.try_lock().ok()?;
            // Others come upon it.
            thread::yield_now();
            return row.pop_front();
        }
        let mut row = self.0.lock().unwrap();
        if Self::FAULT == Fault::Overtakes && row.len() == 3 {
            return row.pop_back();
        }
        row.pop_front()
    }
}

const UNEXPLAINED: &str =
    "no order of the calls explains the answers; PINFOLD_LINEARIZABILITY_SEED=";

fn assert_caught<Q: Indices>() {
    if chosen().is_some() {
        println!("skipped: one history was chosen");
        return;
    }
    let why = run::<Used<Q>>(3, CONCURRENT).expect_err("the fault was not noticed");
    assert!(why.starts_with(UNEXPLAINED), "{why}");
    // With the history.
    assert!(
        why.contains("\n  thread 1 ") && why.contains("Pop("),
        "{why}"
    );
}

#[test]
fn a_queue_in_order_passes() {
    let ran = run::<Used<Locked<0>>>(3, CONCURRENT).unwrap_or_else(|why| panic!("{why}"));
    assert!(
        chosen().is_some() || ran.concurrent >= CONCURRENT,
        "{ran:?}"
    );
}

#[test]
fn an_index_taken_twice_is_caught() {
    assert_caught::<DoublePop>();
}

#[test]
fn an_index_that_overtakes_another_is_caught() {
    assert_caught::<Locked<1>>();
}

#[test]
fn a_queue_that_is_busy_and_says_empty_is_caught() {
    assert_caught::<Locked<2>>();
}

#[test]
fn a_queue_that_is_full_too_early_is_caught() {
    assert_caught::<Locked<3>>();
}

/// Calls as `(begun, ended, call)`, each by a thread of its own.
fn history<S: crate::Spec>(initial: S, calls: &[(u64, u64, S::Call)]) -> History<S> {
    let timed = calls
        .iter()
        .enumerate()
        .map(|(thread, &(begun, ended, call))| Timed {
            thread,
            begun,
            ended,
            call,
        });
    History {
        initial,
        calls: timed.collect(),
    }
}

fn queue(row: &[usize]) -> Queue {
    Queue {
        row: row.iter().copied().collect(),
        room: 4,
    }
}

#[test]
fn calls_that_overlap_may_take_effect_in_either_order() {
    let calls = |pop_ended| {
        [
            (0, 5, OfQueue::Push(7)),
            (1, pop_ended, OfQueue::Pop(None)),
            (7, 8, OfQueue::Pop(Some(7))),
        ]
    };
    assert!(history(queue(&[]), &calls(2)).is_linearizable());
    // The same, but the push has ended before.
    let mut late = calls(9);
    late[1].0 = 6;
    late[2] = (10, 11, OfQueue::Pop(Some(7)));
    assert!(!history(queue(&[]), &late).is_linearizable());
}

#[test]
fn what_nobody_pushed_and_what_was_lost_is_noticed() {
    let unknown = [(0, 1, OfQueue::Pop(Some(9)))];
    assert!(!history(queue(&[1]), &unknown).is_linearizable());
    let lost = [(0, 1, OfQueue::Pop(None))];
    assert!(!history(queue(&[1]), &lost).is_linearizable());
    let refused = [(0, 1, OfQueue::Full(1))];
    assert!(!history(queue(&[1]), &refused).is_linearizable());
}

#[test]
fn a_deque_s_ends_are_told_apart() {
    let row = || Row([1, 2, 3].into());
    let is_fine = |call| history(row(), &[(0, 1, call)]).is_linearizable();
    assert!(is_fine(OfDeque::Pop(Some(3))) && !is_fine(OfDeque::Pop(Some(1))));
    assert!(is_fine(OfDeque::Steal(Steal::Taken(1))));
    assert!(!is_fine(OfDeque::Steal(Steal::Taken(3))));
    assert!(!is_fine(OfDeque::Steal(Steal::Empty)));
    assert!(is_fine(OfDeque::Batch([Some(1), Some(2), None, None])));
    assert!(!is_fine(OfDeque::Batch([Some(2), Some(1), None, None])));
    // More than half.
    assert!(!is_fine(OfDeque::Batch([Some(1), Some(2), Some(3), None])));
}
