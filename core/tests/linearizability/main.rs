//! The deque and the injector look as if one call followed the other.
//!
//! Random short histories of real threads are checked against the sequential structure. The models say
//! what may happen under every schedule of a few calls; this says what does happen on this machine, with
//! its real loads and stores, over many more calls.
//!
//! What is checked is no more than what the modules promise: an attempt to steal may come to
//! `Contended`, if somebody else took or popped meanwhile; a batch is some of the oldest words, at most
//! half of them rounded up; `Empty` and `None` say that there was a moment without a word, and `Full` one without
//! room. A store that has not left the processor yet is not seen by others: the ticks of the clock on which
//! calls are timed have it out before the call ends.

mod checker;
mod planted;
mod runner;

use std::collections::VecDeque;

use checker::{History, Spec};
use pinfold_core::deque::{self, Deque, MAX_BATCH, Steal};
use pinfold_core::injector::{Entry, Injector};
use runner::{Dice, Recorder, Subject, chosen, run};

/// The calls of one thread in one history.
const CALLS: u64 = 4;

/// In how many histories calls overlap.
const CONCURRENT: u64 = if cfg!(miri) { 100 } else { 20_000 };

/// The most words of the deque, and indices of the injector.
const ROOM: usize = 4;

/// Words in a row, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Row(VecDeque<usize>);

/// The words that one batch took; a fixed array, because histories are copied.
type Batch = [Option<usize>; ROOM];

/// A call of the deque, with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfDeque {
    Push(usize),
    Full(usize),
    Pop(Option<usize>),
    Steal(Steal),
    Batch(Batch),
    /// A batch that came to nothing.
    NoBatch(Steal),
}

impl Spec for Row {
    type Call = OfDeque;

    fn after(&self, call: &OfDeque) -> Option<Row> {
        let mut row = self.clone();
        let is_so = match *call {
            OfDeque::Push(word) => {
                row.0.push_back(word);
                row.0.len() <= ROOM
            }
            OfDeque::Full(_) => row.0.len() == ROOM,
            OfDeque::Pop(word) => row.0.pop_back() == word,
            OfDeque::Steal(Steal::Taken(word)) => row.0.pop_front() == Some(word),
            OfDeque::Steal(Steal::Empty) | OfDeque::NoBatch(Steal::Empty) => row.0.is_empty(),
            OfDeque::Steal(steal) | OfDeque::NoBatch(steal) => steal == Steal::Contended,
            OfDeque::Batch(words) => {
                let count = words.iter().flatten().count();
                let most = row.0.len().div_ceil(2).min(MAX_BATCH);
                let taken = words
                    .iter()
                    .flatten()
                    .all(|&word| row.0.pop_front() == Some(word));
                taken && count <= most
            }
        };
        is_so.then_some(row)
    }
}

impl OfDeque {
    /// Whether it may be why another comes to `Contended`.
    fn takes(self) -> bool {
        use OfDeque::{Batch, Pop, Steal};
        matches!(self, Pop(_) | Batch(_) | Steal(deque::Steal::Taken(_)))
    }

    fn is_contended(self) -> bool {
        [
            OfDeque::Steal(Steal::Contended),
            OfDeque::NoBatch(Steal::Contended),
        ]
        .contains(&self)
    }
}

type Words = Deque<[deque::Slot; ROOM]>;

impl Subject for Words {
    type Spec = Row;

    fn new(dice: &mut Dice) -> (Self, Row) {
        let (deque, mut row) = (Words::fixed(), Row::default());
        let owner = deque.owner().unwrap();
        // Counters that are not at zero.
        for word in 0..dice.below(7) as usize {
            owner.push(word).unwrap();
            if dice.below(2) == 0 {
                assert_eq!(owner.pop(), Some(word));
            } else {
                assert_eq!(deque.steal(), Steal::Taken(word));
            }
        }
        for word in 0..dice.below(ROOM as u64 + 1) as usize {
            owner.push(word).unwrap();
            row.0.push_back(word);
        }
        drop(owner);
        (deque, row)
    }

    fn act(&self, thread: usize, record: &mut Recorder<'_, OfDeque>, begin: impl FnOnce()) {
        if thread == 0 {
            let owner = self.owner().unwrap();
            begin();
            for call in 0..CALLS as usize {
                if record.dice().below(2) == 0 {
                    let word = 10 + call;
                    record.call(|| match owner.push(word) {
                        Ok(()) => OfDeque::Push(word),
                        Err(deque::Full(word)) => OfDeque::Full(word),
                    });
                } else {
                    record.call(|| OfDeque::Pop(owner.pop()));
                }
            }
            return;
        }
        let own = Words::fixed();
        let own = own.owner().unwrap();
        begin();
        for _ in 0..CALLS {
            if record.dice().below(2) == 0 {
                record.call(|| OfDeque::Steal(self.steal()));
                continue;
            }
            record.call(|| match self.steal_batch(&own) {
                Steal::Taken(first) => {
                    let mut batch = [None; ROOM];
                    batch[0] = Some(first);
                    for (place, word) in batch[1..].iter_mut().zip(oldest_first(&own)) {
                        *place = Some(word);
                    }
                    OfDeque::Batch(batch)
                }
                other => OfDeque::NoBatch(other),
            });
        }
    }

    fn kind(call: &OfDeque) -> &'static str {
        match call {
            OfDeque::Push(_) => "pushed",
            OfDeque::Full(_) => "full",
            OfDeque::Pop(Some(_)) => "popped",
            OfDeque::Pop(None) => "none",
            OfDeque::Steal(Steal::Taken(_)) => "stolen",
            OfDeque::Batch([_, None, ..]) => "batch of one",
            OfDeque::Batch(_) => "batch",
            OfDeque::Steal(Steal::Empty) | OfDeque::NoBatch(Steal::Empty) => "empty",
            OfDeque::Steal(_) | OfDeque::NoBatch(_) => "contended",
        }
    }

    /// `Contended` has a reason: somebody took or popped at the same time.
    fn check(history: &History<Row>) -> Result<(), String> {
        let is_explained = |contended: &checker::Timed<OfDeque>| {
            history.calls.iter().any(|other| {
                other.thread != contended.thread
                    && other.call.takes()
                    && other.begun < contended.ended
                    && contended.begun < other.ended
            })
        };
        let mut contended = history
            .calls
            .iter()
            .filter(|timed| timed.call.is_contended());
        match contended.find(|timed| !is_explained(timed)) {
            None => Ok(()),
            Some(timed) => Err(format!("{timed:?} was contended by nobody")),
        }
    }
}

/// What the thief was given beside the first, in its order.
fn oldest_first(own: &deque::Owner<'_, [deque::Slot; ROOM]>) -> impl Iterator<Item = usize> {
    let mut words: Vec<usize> = std::iter::from_fn(|| own.pop()).collect();
    words.reverse();
    words.into_iter()
}

/// A call of a queue, with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfQueue {
    Push(usize),
    Full(usize),
    Pop(Option<usize>),
}

/// A row of which the oldest is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Queue {
    row: VecDeque<usize>,
    room: usize,
}

impl Spec for Queue {
    type Call = OfQueue;

    fn after(&self, call: &OfQueue) -> Option<Queue> {
        let mut queue = self.clone();
        let is_so = match *call {
            OfQueue::Push(index) => {
                queue.row.push_back(index);
                queue.row.len() <= queue.room
            }
            OfQueue::Full(_) => queue.row.len() == queue.room,
            OfQueue::Pop(index) => queue.row.pop_front() == index,
        };
        is_so.then_some(queue)
    }
}

/// A queue of indices below its room.
trait Indices: Sync {
    const ROOM: usize;

    fn new() -> Self;
    fn push(&self, index: usize) -> bool;
    fn pop(&self) -> Option<usize>;
}

impl<const N: usize> Indices for Injector<[Entry; N]> {
    const ROOM: usize = N;

    fn new() -> Self {
        Injector::fixed()
    }

    fn push(&self, index: usize) -> bool {
        self.push(index as u32).is_ok()
    }

    fn pop(&self) -> Option<usize> {
        self.pop().map(|index| index as usize)
    }
}

/// A queue under test: some threads push and pop, the others pop only.
struct Used<Q>(Q);

impl<Q: Indices> Subject for Used<Q> {
    type Spec = Queue;

    fn new(dice: &mut Dice) -> (Self, Queue) {
        let queue = Q::new();
        for index in 0..dice.below(2 * Q::ROOM as u64) as usize {
            assert!(queue.push(index % Q::ROOM));
            assert_eq!(queue.pop(), Some(index % Q::ROOM));
        }
        let row: VecDeque<usize> = (0..dice.below(4) as usize).collect();
        for &index in &row {
            assert!(queue.push(index));
        }
        let room = Q::ROOM;
        (Used(queue), Queue { row, room })
    }

    fn kind(call: &OfQueue) -> &'static str {
        match call {
            OfQueue::Push(_) => "pushed",
            OfQueue::Full(_) => "full",
            OfQueue::Pop(Some(_)) => "popped",
            OfQueue::Pop(None) => "none",
        }
    }

    fn act(&self, thread: usize, record: &mut Recorder<'_, OfQueue>, begin: impl FnOnce()) {
        begin();
        for call in 0..CALLS as usize {
            // With room enough, each index once.
            let index = (3 + thread * CALLS as usize + call) % Q::ROOM;
            if record.dice().below(2) == 0 {
                record.call(|| match self.0.push(index) {
                    true => OfQueue::Push(index),
                    false => OfQueue::Full(index),
                });
            } else {
                record.call(|| OfQueue::Pop(self.0.pop()));
            }
        }
    }
}

/// Runs with two threads, which have a processor each on most machines, and with three. `answers` are
/// those that must have been given.
fn assert_linearizable<T: Subject>(answers: &[&str]) {
    for threads in [2, 3] {
        let ran = run::<T>(threads, CONCURRENT).unwrap_or_else(|why| panic!("{why}"));
        println!("{threads} threads: {ran:?}");
        if chosen().is_some() {
            continue;
        }
        assert!(ran.concurrent >= CONCURRENT, "too few overlapped: {ran:?}");
        for kind in answers {
            assert!(ran.answers.contains_key(kind), "never {kind}: {ran:?}");
        }
    }
}

#[test]
fn the_deque_is_linearizable() {
    assert_linearizable::<Words>(&[
        "pushed",
        "full",
        "popped",
        "none",
        "stolen",
        "batch",
        "batch of one",
        "empty",
    ]);
}

#[test]
fn the_injector_is_linearizable() {
    assert_linearizable::<Used<Injector<[Entry; 16]>>>(&["pushed", "popped", "none"]);
}

/// Indices come back, the queue is full now and then.
#[test]
fn a_small_injector_is_linearizable() {
    assert_linearizable::<Used<Injector<[Entry; 4]>>>(&["pushed", "full", "popped", "none"]);
}
