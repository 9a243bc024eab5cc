//! The way in from outside: a bounded queue of slot indices for any number of producers and
//! consumers, first in, first out.
//!
//! | operation | atomic read-modify-writes, uncontended | progress |
//! |---|---|---|
//! | [`Injector::push`] | 1 | lock-free |
//! | [`Injector::pop`], [`Injector::pop_if`] | 1, or 0 when empty | lock-free |
//!
//! "Lock-free" is meant strictly: a thread stopped between any two steps stops nobody else. (In a
//! ring of the Vyukov kind a producer stopped after it took its place blocks all consumers.)
//!
//! # How it works
//!
//! The queue is an unbounded sequence of *tickets*, filled and emptied strictly in order. Ticket `t`
//! uses the entry `t mod capacity` in its *turn* `t div capacity`. An entry holds, in one word, an
//! index and a *state* that only grows: `2 * turn` is "free for this turn", `2 * turn + 1` is "filled
//! in this turn", and emptying it makes it free for the next turn. Everything happens by one
//! compare-and-swap on the entry: who fills it has pushed, who empties it has popped.
//!
//! `tail` and `head` are only *hints*: tickets below which everything is filled, or emptied. Each
//! operation starts at its hint, walks to the first entry that it can use, and afterwards stores the
//! hint for the next one, with a plain store. A hint that lags, because somebody was stopped before
//! the store or stored an old value late, costs operations a walk of at most one round, until the first
//! of them has moved it (a push or a pop, whatever its answer); an entry's state tells which ticket used it
//! last:
//!
//! | an entry, seen by | its state | means | next step |
//! |---|---|---|---|
//! | a producer at ticket `t` | free for `t` | all before are filled | fill it |
//! | | filled one turn before | that index is still queued | full |
//! | | beyond `t` | `t` is behind | go on after the last ticket filled here |
//! | a consumer at ticket `t` | filled for `t` | all before are emptied | empty it |
//! | | free for `t` | nothing is queued | empty |
//! | | beyond `t` | `t` is behind | go on after the last ticket emptied here |
//!
//! # Invariants
//!
//! - **I1** An entry's state grows by one at each filling and each emptying, so a compare-and-swap
//!   cannot mistake one turn for another.
//! - **I2** A ticket is filled only by who has seen the ticket before it filled, and emptied only by
//!   who has seen the ticket before it emptied (by itself, or through the hint). So both go in order.
//! - **I3** A hint is never beyond the first ticket that is not filled (emptied); who reads it sees the
//!   entries before it so.
//!
//! # Limits
//!
//! Tickets are `usize`, less one bit. On 64-bit targets they do not wrap in practice. On 32-bit targets
//! a thread that is stopped between two steps while others do about 2^31 operations, exact to one
//! round, could be fooled.
//!
//! # Source
//!
//! Claiming the entry instead of the ticket, with indices that are moved lazily: P. Tsigas and Y.
//! Zhang, "A simple, fast and scalable non-blocking concurrent FIFO queue for shared memory
//! multiprocessor systems" (SPAA 2001, section 3). Indices with their cycle in one word: the ring NCQ
//! of R. Nikolaev, "A scalable, portable, and memory-efficient lock-free FIFO queue" (DISC 2019, arXiv
//! 1908.04511, section 3). NCQ moves `tail` and takes by compare-and-swap on `head`, three
//! read-modify-writes a pair; here they are two, and a full queue is an answer instead of a
//! precondition.

#![forbid(unsafe_code)]

use core::fmt;

use crate::broken;
use crate::deque::{BadCapacity, is_ring};
use crate::order;
use crate::sync::{AtomicUsize, CachePadded, array, const_fn, spin_hint};

/// Storage for one index.
#[derive(Debug)]
pub struct Entry(AtomicUsize);

impl Entry {
    const_fn! {
        /// An entry that was never filled.
        pub const fn new() -> Self {
            Entry(AtomicUsize::new(0))
        }
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

/// Why an index was not accepted; it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// The queue holds as many indices as it has entries.
    Full(u32),
    /// The index is not below the number of entries.
    OutOfRange(u32),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::Full(_) => f.write_str(
                "the injector is full: give it at least as many entries as there are slots",
            ),
            Rejected::OutOfRange(index) => {
                write!(
                    f,
                    "index {index} is not below the injector's capacity: give it at least as many entries as there are slots"
                )
            }
        }
    }
}

impl core::error::Error for Rejected {}

/// A bounded lock-free first-in first-out queue of indices below its capacity.
///
/// With a capacity of at least the number of slots in the arena, and each slot queued at most once,
/// [`Injector::push`] cannot fail.
///
/// ```
/// use pinfold_core::injector::{Entry, Injector, Rejected};
///
/// static QUEUE: Injector<[Entry; 4]> = Injector::fixed();
/// for index in [2, 0, 3, 1] {
///     QUEUE.push(index).unwrap();
/// }
/// assert_eq!(QUEUE.push(0), Err(Rejected::Full(0)));
/// assert_eq!([QUEUE.pop(), QUEUE.pop()], [Some(2), Some(0)]);
/// ```
pub struct Injector<S> {
    /// No ticket below is free.
    tail: CachePadded<AtomicUsize>,
    /// Every ticket below has been emptied.
    head: CachePadded<AtomicUsize>,
    entries: S,
}

impl<const N: usize> Injector<[Entry; N]> {
    const_fn! {
        /// An empty queue over an array; `N` is a power of two (checked when compiled).
        pub const fn fixed() -> Self {
            const { assert!(is_ring(N), "a ring needs a power of two of entries") };
            Self::over(array![Entry::new(); N])
        }
    }
}

impl<S> Injector<S> {
    const_fn! {
        const fn over(entries: S) -> Self {
            Injector {
                tail: CachePadded::new(AtomicUsize::new(0)),
                head: CachePadded::new(AtomicUsize::new(0)),
                entries,
            }
        }
    }
}

impl<S: AsRef<[Entry]>> Injector<S> {
    /// An empty queue over `entries`.
    ///
    /// # Errors
    ///
    /// [`BadCapacity`] unless the number of entries is a power of two, at most
    /// [`MAX_CAPACITY`](crate::deque::MAX_CAPACITY).
    pub fn with_storage(entries: S) -> Result<Self, BadCapacity> {
        let count = entries.as_ref().len();
        if is_ring(count) {
            Ok(Self::over(entries))
        } else {
            Err(BadCapacity { slots: count })
        }
    }

    /// Appends `index`. Lock-free, one read-modify-write when uncontended.
    ///
    /// # Errors
    ///
    /// [`Rejected`] with the index.
    pub fn push(&self, index: u32) -> Result<(), Rejected> {
        let ring = self.ring();
        if index as usize >= ring.capacity() {
            return Err(Rejected::OutOfRange(index));
        }
        let mut backoff = Backoff::new();
        loop {
            // Acquire: pairs with the Release in `note`; the entries below the hint are seen filled.
            // Weaker: a thread that filled the one after them may find the queue empty.
            // Model: injector::what_a_thread_pushed_is_found_by_its_pop.
            let tail = self.tail.load(order!("injector.push.tail", Acquire));
            let place = match ring.first_free(tail) {
                Ok(place) => place,
                Err(ticket) => {
                    note(&self.tail, tail, ticket);
                    return Err(Rejected::Full(index));
                }
            };
            // Release: pairs with the Acquire in `first_filled`; carries what the producer wrote into
            // the slot that `index` names, and that the entries before this one are filled.
            // Weaker: a consumer runs a slot that was not written.
            // Model: injector::a_consumer_sees_what_the_producer_wrote.
            let filling = place.entry.compare_exchange(
                place.word,
                ring.filled(place.ticket) | index as usize,
                order!("injector.push.fill", Release),
                order!("injector.push.fail", Relaxed),
            );
            if filling.is_ok() {
                note(&self.tail, tail, place.ticket.wrapping_add(1));
                return Ok(());
            }
            backoff.wait();
        }
    }

    /// Takes the oldest index. Lock-free, one read-modify-write when uncontended, none if the queue is
    /// empty.
    pub fn pop(&self) -> Option<u32> {
        self.pop_if(|_| true)
    }

    /// Takes the oldest index if `wanted` says so of it; `None` also if it does not. Lock-free.
    ///
    /// `wanted` sees the index before it is owned: see [`Deque::steal_if`](crate::deque::Deque::steal_if).
    pub fn pop_if(&self, mut wanted: impl FnMut(u32) -> bool) -> Option<u32> {
        let ring = self.ring();
        let mut backoff = Backoff::new();
        loop {
            // Acquire: pairs with the Release in `note`; the entries below the hint are seen emptied.
            // Weaker: an entry is seen in a turn before the hint's, the walk goes astray, and later a
            // queue that has room says that it is full.
            // Model: injector::an_index_that_was_taken_finds_room_again.
            let head = self.head.load(order!("injector.pop.head", Acquire));
            let place = match ring.first_filled(head) {
                Ok(place) => place,
                Err(ticket) => {
                    note(&self.head, head, ticket);
                    return None;
                }
            };
            let index = (place.word & ring.mask()) as u32;
            if !wanted(index) {
                note(&self.head, head, place.ticket);
                return None;
            }
            // Release: pairs with the Acquire in `first_free`, and in `first_filled`; who sees this
            // entry emptied sees those before it so.
            // Weaker: a queue that is not empty says so, or one that has room that it is full.
            // Model: injector::a_queue_that_is_not_empty_gives_something.
            let emptying = place.entry.compare_exchange(
                place.word,
                ring.free(place.ticket.wrapping_add(ring.capacity())),
                order!("injector.pop.take", Release),
                order!("injector.pop.fail", Relaxed),
            );
            if emptying.is_ok() {
                note(&self.head, head, place.ticket.wrapping_add(1));
                return Some(index);
            }
            backoff.wait();
        }
    }

    /// An estimate of the number of indices. Exact when nobody else operates. Two loads of the hints
    /// and two of entries, more where a hint lags.
    pub fn len(&self) -> usize {
        let ring = self.ring();
        // Relaxed: an estimate.
        let head = self.head.load(order!("injector.len.head", Relaxed));
        let tail = self.tail.load(order!("injector.len.tail", Relaxed));
        let Ok(oldest) = ring.first_filled(head) else {
            return 0;
        };
        let Ok(free) = ring.first_free(tail) else {
            return ring.capacity();
        };
        // Tickets have one bit less than the words that carry them.
        let distance = free.ticket.wrapping_sub(oldest.ticket) & (usize::MAX >> 1);
        distance.min(ring.capacity())
    }

    /// Whether nothing is queued. A load of the hint and one of an entry, more where the hint lags.
    #[inline]
    pub fn is_empty(&self) -> bool {
        // Relaxed: who relies on the answer fences (see `idle`).
        let head = self.head.load(order!("injector.empty.head", Relaxed));
        self.ring().first_filled(head).is_err()
    }

    /// The number of indices the queue can hold.
    pub fn capacity(&self) -> usize {
        self.ring().capacity()
    }

    #[inline(always)]
    fn ring(&self) -> Ring<'_> {
        Ring(self.entries.as_ref())
    }
}

/// Moves a hint, read as `seen`, to `ticket`. Not if somebody else has moved it meanwhile, most likely
/// further; should that be overlooked, the hint lags until the next operation.
#[inline(always)]
fn note(hint: &AtomicUsize, seen: usize, ticket: usize) {
    if ticket == seen {
        return;
    }
    // Relaxed: only compared.
    if hint.load(order!("injector.note.seen", Relaxed)) == seen {
        // Release: pairs with the Acquire loads of the hints; who reads this one sees what we saw of
        // the entries below.
        // Weaker: a thread that filled the one after them may find the queue empty.
        // Model: injector::what_a_thread_pushed_is_found_by_its_pop.
        hint.store(ticket, order!("injector.note.store", Release));
    }
}

/// The entries, and what their words mean (see the module's page). The states stand above the index,
/// shifted to where the capacity, a power of two, has its bit.
#[derive(Clone, Copy)]
struct Ring<'a>(&'a [Entry]);

/// The entry of a ticket, and the word that was seen there.
#[derive(Clone, Copy)]
struct Place<'a> {
    ticket: usize,
    entry: &'a AtomicUsize,
    word: usize,
}

impl<'a> Ring<'a> {
    #[inline(always)]
    fn capacity(self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn mask(self) -> usize {
        self.capacity().wrapping_sub(1)
    }

    /// The entry of `ticket`; `None` only in a ring without entries, which there is not.
    #[inline(always)]
    fn entry(self, ticket: usize) -> Option<&'a AtomicUsize> {
        self.0.get(ticket & self.mask()).map(|Entry(entry)| entry)
    }

    /// The state "free for `ticket`".
    #[inline(always)]
    fn free(self, ticket: usize) -> usize {
        (ticket & !self.mask()) << 1
    }

    /// The state "filled for `ticket`".
    #[inline(always)]
    fn filled(self, ticket: usize) -> usize {
        self.free(ticket) | self.capacity()
    }

    /// The ticket behind the last one for which the entry of `ticket` was filled, if it is in `state`.
    #[inline(always)]
    fn after_filled(self, ticket: usize, state: usize) -> usize {
        let turn = (state.wrapping_sub(self.capacity()) >> 1) & !self.mask();
        (turn | (ticket & self.mask())).wrapping_add(1)
    }

    /// The first free ticket from `ticket` on; the ticket that would be the next if the ring is full.
    /// Lock-free: goes on only if others have filled entries, and over at most one round of those
    /// filled before.
    #[inline(always)]
    fn first_free(self, mut ticket: usize) -> Result<Place<'a>, usize> {
        loop {
            // Acquire: pairs with the Release in `push` of who filled it, and in `pop_if` of who emptied
            // it: the entries before it are seen filled, or emptied.
            // Weaker: a queue that has room says that it is full.
            // Model: injector::an_index_that_was_taken_finds_room_again.
            let entry = self.entry(ticket).ok_or(ticket)?;
            let word = entry.load(order!("injector.push.entry", Acquire));
            let state = word & !self.mask();
            if state == self.free(ticket) {
                return Ok(Place {
                    ticket,
                    entry,
                    word,
                });
            }
            // Left out: an index that was not taken is written over.
            // Model: injector::a_full_queue_refuses_and_keeps_what_it_holds.
            let is_full = state == self.free(ticket).wrapping_sub(self.capacity());
            if is_full && broken!("injector.push.room") {
                return Ok(Place {
                    ticket,
                    entry,
                    word,
                });
            }
            if is_full {
                return Err(ticket);
            }
            ticket = self.after_filled(ticket, state);
        }
    }

    /// The first filled ticket from `ticket` on; the ticket that will be the next if nothing is
    /// queued. Lock-free, as `first_free`.
    #[inline(always)]
    fn first_filled(self, mut ticket: usize) -> Result<Place<'a>, usize> {
        loop {
            // Acquire: pairs with the Release in `push`; brings what the producer wrote into the slot.
            // Weaker: the slot is read before it was written.
            // Model: injector::a_consumer_sees_what_the_producer_wrote.
            let entry = self.entry(ticket).ok_or(ticket)?;
            let word = entry.load(order!("injector.pop.entry", Acquire));
            let state = word & !self.mask();
            if state == self.filled(ticket) {
                return Ok(Place {
                    ticket,
                    entry,
                    word,
                });
            }
            if state == self.free(ticket) {
                return Err(ticket);
            }
            // It was emptied for the ticket one state before.
            ticket = self.after_filled(ticket, state.wrapping_sub(self.capacity()));
        }
    }
}

impl<S: AsRef<[Entry]>> fmt::Debug for Injector<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injector")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// A pause after each lost exchange, so that the winner can finish a run of operations with the lines
/// in its cache. Doubled each time, up to a bound: it delays, it never waits for anybody.
struct Backoff {
    pauses: u32,
}

impl Backoff {
    /// With two threads: 16 cost half as much throughput again, 64 a third more in the tail.
    const FIRST: u32 = 32;
    const MOST: u32 = 128;

    fn new() -> Self {
        Backoff {
            pauses: Self::FIRST,
        }
    }

    #[inline]
    fn wait(&mut self) {
        (0..self.pauses).for_each(|_| spin_hint());
        self.pauses = (self.pauses * 2).min(Self::MOST);
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use super::*;
    use crate::sync::Ordering::Relaxed;

    #[test]
    fn it_is_first_in_first_out_over_many_rounds() {
        let queue = Injector::<[Entry; 4]>::fixed();
        for round in 0..50 {
            let order = [round % 4, (round + 3) % 4, (round + 1) % 4];
            for index in order {
                queue.push(index).unwrap();
            }
            assert_eq!(queue.len(), 3);
            assert_eq!(
                [queue.pop(), queue.pop(), queue.pop(), queue.pop()],
                [Some(order[0]), Some(order[1]), Some(order[2]), None]
            );
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn a_full_queue_gives_the_index_back() {
        let queue = Injector::<[Entry; 2]>::fixed();
        queue.push(1).unwrap();
        queue.push(0).unwrap();
        assert_eq!(queue.push(1), Err(Rejected::Full(1)));
        assert_eq!(queue.pop(), Some(1));
        queue.push(1).unwrap();
        assert_eq!([queue.pop(), queue.pop()], [Some(0), Some(1)]);
    }

    #[test]
    fn an_index_beyond_the_capacity_is_rejected() {
        let queue = Injector::<[Entry; 2]>::fixed();
        assert_eq!(queue.push(2), Err(Rejected::OutOfRange(2)));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_hint_that_lags_is_moved_by_whoever_finds_nothing() {
        let queue = Injector::<[Entry; 4]>::fixed();
        for index in 0..4 {
            queue.push(index).unwrap();
        }
        queue.tail.store(1, Relaxed);
        assert_eq!(queue.push(0), Err(Rejected::Full(0)));
        assert_eq!(queue.tail.load(Relaxed), 4);
        assert_eq!(queue.pop(), Some(0));
        queue.head.store(0, Relaxed);
        assert_eq!(queue.pop_if(|_| false), None);
        assert_eq!(queue.head.load(Relaxed), 1);
        while queue.pop().is_some() {}
        queue.head.store(2, Relaxed);
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.head.load(Relaxed), 4);
    }

    #[test]
    fn an_unwanted_index_stays() {
        let queue = Injector::<[Entry; 2]>::fixed();
        queue.push(1).unwrap();
        assert_eq!(queue.pop_if(|index| index == 0), None);
        assert_eq!(queue.pop_if(|index| index == 1), Some(1));
    }

    /// A queue whose next ticket is `next`, and whose entries were all filled and emptied before.
    fn worn<const N: usize>(next: usize) -> Injector<[Entry; N]> {
        let queue = Injector::fixed();
        queue.tail.store(next, Relaxed);
        queue.head.store(next, Relaxed);
        for ticket in (0..N).map(|offset| next.wrapping_add(offset)) {
            let free = queue.ring().free(ticket);
            queue.ring().entry(ticket).unwrap().store(free, Relaxed);
        }
        queue
    }

    #[test]
    fn tickets_wrap() {
        for start in [usize::MAX - 4, (usize::MAX >> 1) - 4] {
            let queue = worn::<2>(start);
            for round in 0..12 {
                queue.push(round & 1).unwrap();
                queue.push(1 - (round & 1)).unwrap();
                assert_eq!(queue.push(0), Err(Rejected::Full(0)));
                assert_eq!(queue.len(), 2);
                assert_eq!(queue.pop(), Some(round & 1));
                assert_eq!(queue.pop(), Some(1 - (round & 1)));
                assert_eq!(queue.pop(), None);
            }
        }
    }

    #[test]
    fn a_hint_that_lags_costs_a_walk_and_nothing_else() {
        for (operations, lag) in (0..40).flat_map(|operations| [(operations, 0), (operations, 3)]) {
            let queue = Injector::<[Entry; 8]>::fixed();
            for index in 0..operations {
                queue.push(index % 8).unwrap();
                assert_eq!(queue.pop(), Some(index % 8));
            }
            let old = (operations as usize).saturating_sub(lag) * usize::from(lag > 0);
            queue.tail.store(old, Relaxed);
            queue.head.store(old, Relaxed);
            assert!(queue.is_empty());
            assert_eq!((queue.len(), queue.pop()), (0, None));
            for index in 0..8 {
                queue.push(index).unwrap();
                queue.tail.store(old, Relaxed);
                assert_eq!(queue.len() as u32, index + 1);
            }
            assert_eq!(queue.push(3), Err(Rejected::Full(3)));
            for index in 0..8 {
                queue.head.store(old, Relaxed);
                assert_eq!(queue.pop(), Some(index));
            }
            assert_eq!(queue.pop(), None);
        }
    }
}
