//! The way in from outside: a bounded queue of slot indices for any number of producers and
//! consumers, first in, first out.
//!
//! | operation | atomic read-modify-writes, uncontended | progress |
//! |---|---|---|
//! | [`Injector::push`] | 2 | lock-free |
//! | [`Injector::pop`] | 1, or 0 when empty | lock-free |
//!
//! "Lock-free" is meant strictly: a thread stopped between any two steps stops nobody else. (In a
//! ring of the Vyukov kind a producer stopped after it took its place blocks all consumers.)
//!
//! # How it works
//!
//! An entry holds a *cycle* and an index in one word. The ticket `tail` names the entry to fill
//! next, and the cycle in which it may be filled; `head` likewise the entry to empty.
//!
//! | an entry, seen by | its cycle | means | next step |
//! |---|---|---|---|
//! | a producer with ticket `t` | that of `t` | filled, but `tail` lags | help: advance `tail` |
//! | | one before `t`'s | free | fill it by compare-and-swap, advance `tail` |
//! | | any other | `t` is old | take a new ticket |
//! | a consumer with ticket `h` | that of `h` | filled | advance `head`; the index is ours |
//! | | one before `h`'s | not yet filled | empty |
//! | | any other | `h` is old | take a new ticket |
//!
//! Advancing `tail` is everybody's job, advancing `head` *is* the taking. Cycles only grow, so a
//! compare-and-swap on an entry cannot mistake an old round for a new one, and an index read
//! together with the expected cycle is the right one however old the read is.
//!
//! # Invariants
//!
//! - **I1** An entry's cycle grows by one at each filling, and is written by `push` alone.
//! - **I2** `tail` passes a ticket only after the entry of that ticket was filled, `head` only after it
//!   was emptied; who reads a ticket sees the entries before it so.
//! - **I3** An entry is filled for ticket `t` only if `head > t - capacity`: its last index was taken.
//!
//! # Limits
//!
//! Tickets are `usize`. On 64-bit targets they do not wrap in practice. On 32-bit targets a thread
//! would have to be stopped for exactly a multiple of 2^32 operations to be fooled.
//!
//! # Source
//!
//! The index ring NCQ of R. Nikolaev, "A scalable, portable, and memory-efficient lock-free FIFO
//! queue" (DISC 2019, arXiv 1908.04511, section 3). Deviations: a check against `head`, so that a
//! full queue is an answer instead of a precondition; and acquire-release orderings in place of
//! sequential consistency. That an index is the right one, its entry proves by itself; the tickets'
//! orderings are for the answers "empty" and "stale", which would otherwise be given about
//! entries that have long been filled.

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
    tail: CachePadded<Tail>,
    head: CachePadded<AtomicUsize>,
    entries: S,
}

/// The producers' cache line.
struct Tail {
    ticket: AtomicUsize,
    /// A value that `head` once had: spares producers the consumers' cache line.
    head_seen: AtomicUsize,
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
                tail: CachePadded::new(Tail {
                    ticket: AtomicUsize::new(0),
                    head_seen: AtomicUsize::new(0),
                }),
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

    /// Appends `index`. Lock-free, two read-modify-writes when uncontended.
    ///
    /// # Errors
    ///
    /// [`Rejected`] with the index.
    pub fn push(&self, index: u32) -> Result<(), Rejected> {
        let entries = self.entries.as_ref();
        let mask = entries.len() - 1;
        if index as usize > mask {
            return Err(Rejected::OutOfRange(index));
        }
        let mut backoff = Backoff::new();
        loop {
            // Acquire: pairs with the Release in `advance_tail`; the entries before the ticket are
            // seen filled.
            // Weaker: a thread that has seen them so may find the queue empty.
            // Model: injector::what_a_thread_pushed_is_found_by_its_pop.
            let ticket = self.tail.ticket.load(order!("injector.push.tail", Acquire));
            let entry = &entries[ticket & mask].0;
            // Acquire: pairs with the Release below, of who filled it; its ticket was later than
            // ours if the cycle is, and the next look at `tail` sees that.
            // Weaker: the loop goes round with the same old ticket.
            // Model: injector::an_index_that_was_taken_finds_room_again.
            let seen = entry.load(order!("injector.push.entry", Acquire));
            let filled = cycle_of(ticket, mask);
            // Left out: a producer that was stopped before it advanced `tail` stops all.
            // Model: injector::two_producers_are_each_served_in_their_order.
            if seen & !mask == filled {
                if !broken!("injector.push.help") {
                    self.advance_tail(ticket);
                }
                continue;
            }
            if seen & !mask != filled.wrapping_sub(mask + 1) {
                continue;
            }
            // Left out: an index that was not taken is written over. Model: injector::a_full_queue_refuses_and_keeps_what_it_holds.
            if !broken!("injector.push.room") && !self.has_room(ticket, mask) {
                return Err(Rejected::Full(index));
            }
            // Release: pairs with the Acquire in `pop`; carries what the producer wrote into the
            // slot that `index` names.
            // Weaker: a consumer runs a slot that was not written. Model: injector::a_consumer_sees_what_the_producer_wrote.
            let filling = entry.compare_exchange(
                seen,
                filled | index as usize,
                order!("injector.push.fill", Release),
                order!("injector.push.fail", Relaxed),
            );
            if filling.is_ok() {
                self.advance_tail(ticket);
                return Ok(());
            }
            backoff.wait();
        }
    }

    /// Takes the oldest index. Lock-free, one read-modify-write, none if the queue is empty.
    pub fn pop(&self) -> Option<u32> {
        self.pop_if(|_| true)
    }

    /// Takes the oldest index if `wanted` says so of it; `None` also if it does not. Lock-free.
    ///
    /// `wanted` sees the index before it is owned: see [`Deque::steal_if`](crate::deque::Deque::steal_if).
    pub fn pop_if(&self, mut wanted: impl FnMut(u32) -> bool) -> Option<u32> {
        let entries = self.entries.as_ref();
        let mask = entries.len() - 1;
        let mut backoff = Backoff::new();
        loop {
            // Acquire: pairs with the Release in `take`; the entry of this ticket is seen at least as
            // full as whoever emptied the one before it saw it.
            // Weaker: a queue that is not empty says so. Model: injector::a_queue_that_is_not_empty_gives_something.
            let ticket = self.head.load(order!("injector.pop.head", Acquire));
            // Acquire: pairs with the Release in `push`; brings what the producer wrote into the slot.
            // Weaker: the slot is read before it was written. Model: injector::a_consumer_sees_what_the_producer_wrote.
            let seen = entries[ticket & mask]
                .0
                .load(order!("injector.pop.entry", Acquire));
            let filled = cycle_of(ticket, mask);
            if seen & !mask == filled {
                let index = (seen & mask) as u32;
                if !wanted(index) {
                    return None;
                }
                if self.take(ticket) {
                    return Some(index);
                }
                backoff.wait();
            } else if seen & !mask == filled.wrapping_sub(mask + 1) {
                return None;
            }
        }
    }

    /// An estimate of the number of indices. Exact when nobody else operates.
    pub fn len(&self) -> usize {
        // Relaxed: an estimate.
        let head = self.head.load(order!("injector.len.head", Relaxed));
        let tail = self.tail.ticket.load(order!("injector.len.tail", Relaxed));
        let distance = tail.wrapping_sub(head);
        if distance <= self.capacity() {
            distance
        } else {
            0
        }
    }

    /// Whether the oldest entry is empty. A load of `head` and one of the entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        let entries = self.entries.as_ref();
        let mask = entries.len() - 1;
        // Relaxed: a hint; who relies on it fences (see `idle`).
        let ticket = self.head.load(order!("injector.empty.head", Relaxed));
        let seen = entries[ticket & mask]
            .0
            .load(order!("injector.empty.entry", Relaxed));
        seen & !mask == cycle_of(ticket, mask).wrapping_sub(mask + 1)
    }

    /// The number of indices the queue can hold.
    pub fn capacity(&self) -> usize {
        self.entries.as_ref().len()
    }

    #[inline(always)]
    fn advance_tail(&self, ticket: usize) {
        // Release: pairs with the Acquire in `push`; who reads the ticket sees the entry filled (I2).
        // Weaker: a thread that has seen it so may find the queue empty.
        // Model: injector::what_a_thread_pushed_is_found_by_its_pop.
        // A failure means that somebody helped.
        let _ = self.tail.ticket.compare_exchange(
            ticket,
            ticket.wrapping_add(1),
            order!("injector.push.advance", Release),
            order!("injector.push.helped", Relaxed),
        );
    }

    #[inline(always)]
    fn take(&self, ticket: usize) -> bool {
        // Release: pairs with the Acquire in `pop`; what this consumer saw of the queue, the next one
        // sees too.
        // Weaker: a queue that is not empty says so. Model: injector::a_queue_that_is_not_empty_gives_something.
        self.head
            .compare_exchange(
                ticket,
                ticket.wrapping_add(1),
                order!("injector.pop.take", Release),
                order!("injector.pop.fail", Relaxed),
            )
            .is_ok()
    }

    /// Whether the entry of `ticket` has been emptied (I3).
    #[inline(always)]
    fn has_room(&self, ticket: usize, mask: usize) -> bool {
        // Relaxed: any earlier `head` is a lower bound.
        let seen = self
            .tail
            .head_seen
            .load(order!("injector.push.head_seen", Relaxed));
        ticket.wrapping_sub(seen) <= mask || self.has_room_now(ticket, mask)
    }

    #[cold]
    fn has_room_now(&self, ticket: usize, mask: usize) -> bool {
        // A read-modify-write that changes nothing, because a load may return an old `head`, and
        // then an index would be refused although one was taken before. Relaxed: as above.
        let head = self
            .head
            .fetch_add(0, order!("injector.push.head", Relaxed));
        self.tail
            .head_seen
            .store(head, order!("injector.push.head_note", Relaxed));
        // `head` is beyond an old ticket: then the exchange on the entry finds that out.
        ticket.wrapping_sub(head) as isize <= mask as isize
    }
}

/// The cycle of `ticket`, in the place where an entry keeps it. An entry that was never filled
/// holds 0, so the first round is cycle 1.
#[inline(always)]
fn cycle_of(ticket: usize, mask: usize) -> usize {
    ticket.wrapping_add(mask + 1) & !mask
}

impl<S: AsRef<[Entry]>> fmt::Debug for Injector<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injector")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// Doubles the pause after each lost exchange, so that the winner can finish a run of operations
/// with the line in its cache. Bounded: it delays, it never waits for anybody.
struct Backoff(u32);

impl Backoff {
    const MAX_DOUBLINGS: u32 = 6;

    fn new() -> Self {
        Backoff(0)
    }

    #[inline]
    fn wait(&mut self) {
        for _ in 0..1u32 << self.0 {
            spin_hint();
        }
        self.0 = (self.0 + 1).min(Self::MAX_DOUBLINGS);
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use super::*;

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
    fn an_unwanted_index_stays() {
        let queue = Injector::<[Entry; 2]>::fixed();
        queue.push(1).unwrap();
        assert_eq!(queue.pop_if(|index| index == 0), None);
        assert_eq!(queue.pop_if(|index| index == 1), Some(1));
    }

    #[test]
    fn tickets_wrap() {
        let queue = Injector::<[Entry; 2]>::fixed();
        let start = usize::MAX - 4;
        queue
            .tail
            .ticket
            .store(start, crate::sync::Ordering::Relaxed);
        queue
            .tail
            .head_seen
            .store(start, crate::sync::Ordering::Relaxed);
        queue.head.store(start, crate::sync::Ordering::Relaxed);
        for position in start - 1..=start {
            let before = cycle_of(position, 1).wrapping_sub(2);
            queue.entries[position & 1]
                .0
                .store(before, crate::sync::Ordering::Relaxed);
        }
        // The entry below `start` belongs to this cycle's last round; the one at `start` is next.
        queue.entries[(start + 1) & 1].0.store(
            cycle_of(start + 1, 1).wrapping_sub(2),
            crate::sync::Ordering::Relaxed,
        );
        for round in 0..12 {
            queue.push(round & 1).unwrap();
            assert_eq!(queue.pop(), Some(round & 1));
            assert_eq!(queue.pop(), None);
        }
    }
}
