//! A worker's deque: its owner pushes and pops at one end, thieves take from the other.
//!
//! | operation | atomic read-modify-writes | progress |
//! |---|---|---|
//! | [`Owner::push`], [`Owner::push_all`] | 0 | wait-free |
//! | [`Owner::pop`] | 1, or 0 when empty | wait-free |
//! | [`Deque::steal`], [`Deque::steal_batch`], [`Deque::steal_if`] | 1 per call, however many words | lock-free |
//!
//! The owner is LIFO, thieves are FIFO, capacity is fixed, and a word is any `usize`.
//!
//! # How it works
//!
//! Three counters describe the deque: `pushes` and `pops` (the owner's) and `head` (the thieves').
//! The words stand at the positions `head .. pushes - pops`, modulo the capacity. `pops` and `head`
//! share one atomic word, `Ends`; `pushes` has its own.
//!
//! A thief copies up to `k` words from `head` without owning them and then advances `head` by `k`
//! with one compare-and-swap on `Ends`. Because every pop changes `pops`, the exchange fails when
//! any pop or any other steal came between, and then the copies are thrown away. A thief that is
//! stopped holds nothing, so nobody waits for it.
//!
//! The owner pops with one unconditional addition to `pops`. When a thief took the last word first,
//! the addition was one too many; the owner then counts one push that never was, which restores
//! `pushes - pops`. Meanwhile the deque looks one word *shorter* than empty, which thieves take as
//! empty.
//!
//! # Invariants
//!
//! - **I1** `pushes`, `pops` are written by the owner alone; `head` by successful thieves alone.
//! - **I2** A word below `pushes - pops` was written before the `pushes` that covers it was published.
//!   A stale `pushes` only hides words: if a thief reads `pushes = q` and its exchange then finds
//!   `pops = p`, every position below `q - p` was last written before push `q`. (A later rewrite of
//!   position `i` needs a pop down to `i`, hence `pops > q - i > p`.)
//! - **I3** The owner writes position `j` only after it has seen `head > j - capacity`, in a load
//!   that synchronises with the thief that moved `head`.
//!
//! # Limits
//!
//! The counters have 32 bits. A thief is fooled if, between its first load and its exchange, the
//! owner pops an exact multiple of 2^32 times while nobody else steals: it would have to be
//! suspended for the half minute or more that 2^32 pops take, and wake on the exact count.
//!
//! # Source
//!
//! The copy-then-claim batch is that of Go's scheduler (`runqgrab`, a FIFO queue); the LIFO owner
//! with its pop counter in the thieves' word is Pinfold's. Compare Chase and Lev, "Dynamic circular
//! work-stealing deque" (SPAA 2005), where a pop pays a sequentially consistent fence and a batch
//! cannot be taken at once.

#![forbid(unsafe_code)]

use core::cell::Cell;
use core::fmt;

use crate::broken;
use crate::order;
use crate::sync::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, CachePadded, Ghost, array, const_fn,
};

/// The most words one [`Deque::steal_batch`] takes.
pub const MAX_BATCH: usize = 32;

/// The largest capacity: positions are compared as signed 32-bit distances.
pub const MAX_CAPACITY: usize = 1 << 30;

/// Storage for one word.
#[derive(Debug)]
pub struct Slot {
    word: AtomicUsize,
    ghost: Ghost,
}

impl Slot {
    const_fn! {
        /// An empty slot.
        pub const fn new() -> Self {
            Slot { word: AtomicUsize::new(0), ghost: Ghost::new() }
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// `pops` (high half) and `head` (low half), the word on which the owner and the thieves meet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ends(u64);

impl Ends {
    const ONE_POP: u64 = 1 << 32;

    #[inline(always)]
    fn pops(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline(always)]
    fn head(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    fn with_pops(self, other: Ends) -> Ends {
        Ends(other.0 & !0xFFFF_FFFF | u64::from(self.head()))
    }

    #[inline(always)]
    fn advanced(self, words: u32) -> Ends {
        Ends((self.0 & !0xFFFF_FFFF) | u64::from(self.head().wrapping_add(words)))
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends")
            .field("pops", &self.pops())
            .field("head", &self.head())
            .finish()
    }
}

/// The deque is full; the word comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub usize);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deque is full: run the task, or give the deque more slots")
    }
}

impl core::error::Error for Full {}

/// What an attempt to steal came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a stolen word is owned by the caller and is lost when dropped"]
pub enum Steal {
    /// A word was taken.
    Taken(usize),
    /// There was nothing to take.
    Empty,
    /// Somebody else took or popped meanwhile: another attempt may succeed.
    Contended,
    /// The oldest word is not one the caller wants ([`Deque::steal_if`] only).
    Declined,
}

/// Storage that cannot serve as a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCapacity {
    /// The number of slots given.
    pub slots: usize,
}

impl fmt::Display for BadCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} slots: a ring needs a power of two, at most {MAX_CAPACITY}",
            self.slots
        )
    }
}

impl core::error::Error for BadCapacity {}

pub(crate) const fn is_ring(slots: usize) -> bool {
    slots.is_power_of_two() && slots <= MAX_CAPACITY
}

/// A fixed-capacity work-stealing deque of words over the storage `S`.
///
/// The deque itself is what thieves see; [`Deque::owner`] hands out the one owner.
///
/// ```
/// use pinfold_core::deque::{Deque, Steal};
///
/// static DEQUE: Deque<[pinfold_core::deque::Slot; 8]> = Deque::fixed();
/// let owner = DEQUE.owner().expect("nobody else has claimed it");
/// owner.push(1).unwrap();
/// owner.push(2).unwrap();
/// owner.push(3).unwrap();
/// assert_eq!(DEQUE.steal(), Steal::Taken(1)); // thieves take the oldest
/// assert_eq!(owner.pop(), Some(3)); // the owner takes the newest
/// assert_eq!(owner.pop(), Some(2));
/// assert_eq!(owner.pop(), None);
/// ```
pub struct Deque<S> {
    ends: CachePadded<AtomicU64>,
    pushes: CachePadded<AtomicU32>,
    owned: AtomicBool,
    slots: S,
}

impl<const N: usize> Deque<[Slot; N]> {
    const_fn! {
        /// An empty deque over an array; `N` is a power of two, at most [`MAX_CAPACITY`] (checked
        /// when compiled).
        pub const fn fixed() -> Self {
            const { assert!(is_ring(N), "a ring needs a power of two of slots") };
            Self::over(array![Slot::new(); N])
        }
    }
}

impl<S> Deque<S> {
    const_fn! {
        const fn over(slots: S) -> Self {
            Deque {
                ends: CachePadded::new(AtomicU64::new(0)),
                pushes: CachePadded::new(AtomicU32::new(0)),
                owned: AtomicBool::new(false),
                slots,
            }
        }
    }
}

impl<S: AsRef<[Slot]>> Deque<S> {
    /// An empty deque over `slots`.
    ///
    /// # Errors
    ///
    /// [`BadCapacity`] unless the number of slots is a power of two, at most [`MAX_CAPACITY`].
    pub fn with_storage(slots: S) -> Result<Self, BadCapacity> {
        let count = slots.as_ref().len();
        if is_ring(count) {
            Ok(Self::over(slots))
        } else {
            Err(BadCapacity { slots: count })
        }
    }

    /// Claims the owner's end; `None` while another [`Owner`] lives. Wait-free.
    pub fn owner(&self) -> Option<Owner<'_, S>> {
        // Acquire: pairs with the Release in `Owner::drop`; the next owner continues from the
        // counters that the last one left.
        // Weaker: a new owner starts from stale counters. Model: deque_owner::an_owner_continues_where_the_last_one_stopped.
        let claimed = self.owned.compare_exchange(
            false,
            true,
            order!("deque.owner.claim", Acquire),
            order!("deque.owner.taken", Relaxed),
        );
        if claimed.is_err() {
            return None;
        }
        // Relaxed: `pops` and `pushes` were last written by owners, and the claim acquired them.
        let ends = Ends(self.ends.load(order!("deque.owner.ends", Relaxed)));
        let owner = Owner {
            deque: self,
            pops: Cell::new(ends.pops()),
            head_seen: Cell::new(0),
        };
        // As if full: the first push looks at `head` with the ordering that I3 needs.
        // Left out: it writes what a thief still reads. Model: deque_owner::a_new_owner_waits_for_the_readers_of_the_old_one.
        let head = owner.bottom().wrapping_sub(self.capacity() as u32);
        owner.head_seen.set(if broken!("deque.owner.as_if_full") {
            ends.head()
        } else {
            head
        });
        Some(owner)
    }

    /// Takes the oldest word. Lock-free, one read-modify-write.
    ///
    /// Returns [`Steal::Contended`] instead of retrying; the caller decides whether to go elsewhere.
    #[inline]
    pub fn steal(&self) -> Steal {
        self.steal_if(|_| true)
    }

    /// Takes the oldest word if `wanted` says so of it. Lock-free, one read-modify-write.
    ///
    /// `wanted` sees the word before it is owned: it may be called for a word that somebody else
    /// takes at that moment, and must then only look at memory that stays valid. If the result is
    /// [`Steal::Taken`], the word had not left the deque when `wanted` was asked.
    #[inline]
    pub fn steal_if(&self, wanted: impl FnOnce(usize) -> bool) -> Steal {
        let (ends, available) = self.look();
        if available == 0 {
            return Steal::Empty;
        }
        let Some(word) = self.read(ends.head()) else {
            return Steal::Empty;
        };
        if !wanted(word) {
            return Steal::Declined;
        }
        if self.take(ends, 1) {
            Steal::Taken(word)
        } else {
            Steal::Contended
        }
    }

    /// Takes the older half of the words, rounded up, at most [`MAX_BATCH`], and at most what
    /// `thief` has room for. Returns the oldest; the others are in `thief` in their order.
    /// Lock-free, one read-modify-write however many words.
    #[inline]
    pub fn steal_batch<T: AsRef<[Slot]>>(&self, thief: &Owner<'_, T>) -> Steal {
        let (ends, available) = self.look();
        if available == 0 {
            return Steal::Empty;
        }
        let wanted = available.div_ceil(2).min(MAX_BATCH as u32);
        let words = wanted.min(thief.room(wanted - 1) + 1);
        let Some(first) = self.read(ends.head()) else {
            return Steal::Empty;
        };
        for i in 1..words {
            // Unpublished positions of the thief: overwritten if the exchange below fails.
            if let Some(word) = self.read(ends.head().wrapping_add(i)) {
                thief.write(i - 1, word);
            }
        }
        if !self.take(ends, words) {
            return Steal::Contended;
        }
        thief.publish(words - 1);
        Steal::Taken(first)
    }

    /// An estimate of the number of words. Exact when nobody else operates.
    pub fn len(&self) -> usize {
        self.look().1 as usize
    }

    /// Whether [`Deque::len`] is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of words the deque can hold.
    pub fn capacity(&self) -> usize {
        self.slots.as_ref().len()
    }

    #[inline(always)]
    fn look(&self) -> (Ends, u32) {
        // Relaxed: `take` confirms it. Any value may be seen together with any `pushes` (I2).
        let ends = Ends(self.ends.load(order!("deque.steal.ends", Relaxed)));
        // Acquire: pairs with the Release in `Owner::publish`; brings the words up to `pushes`,
        // and what their pushers had written before.
        // Weaker: a thief reads a slot before the word was written. Model: deque::a_thief_sees_what_was_pushed.
        let pushes = self.pushes.load(order!("deque.steal.pushes", Acquire));
        let available = pushes.wrapping_sub(ends.pops()).wrapping_sub(ends.head());
        // A negative length is a pop of the last word that a thief has won (see the module's page).
        (ends, if (available as i32) < 0 { 0 } else { available })
    }

    /// The slot at `position`. `None`: there are no slots, which [`is_ring`] rules out, though not where
    /// the compiler sees it; such a deque is both empty and full.
    #[inline(always)]
    fn slot(&self, position: u32) -> Option<&Slot> {
        let slots = self.slots.as_ref();
        slots.get(position as usize & slots.len().wrapping_sub(1))
    }

    #[inline(always)]
    fn read(&self, position: u32) -> Option<usize> {
        let slot = self.slot(position)?;
        // Relaxed: `look` acquired the write; a newer word is possible, and then `take` fails.
        let word = slot.word.load(order!("deque.steal.word", Relaxed));
        slot.ghost.mark_read(position);
        Some(word)
    }

    #[inline(always)]
    fn take(&self, ends: Ends, words: u32) -> bool {
        // Left out: pops that came between are not compared. Model: deque::each_word_goes_to_the_owner_or_to_the_thief.
        let ends = if broken!("deque.steal.compare_pops") {
            ends.with_pops(self.look().0)
        } else {
            ends
        };
        let taken = ends.advanced(words);
        // Release: pairs with the Acquire in `Owner::room`; the reads above happen before the
        // owner writes these positions again (I3).
        // Weaker: the reads may drift below the exchange and see the next words. By a ghost. Model:
        // deque::a_slot_is_reused_only_after_it_was_read.
        self.ends
            .compare_exchange(
                ends.0,
                taken.0,
                order!("deque.steal.take", Release),
                order!("deque.steal.fail", Relaxed),
            )
            .is_ok()
    }
}

impl<S> fmt::Debug for Deque<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a hint for the reader of a log.
        let ends = Ends(self.ends.load(order!("deque.debug.ends", Relaxed)));
        let pushes = self.pushes.load(order!("deque.debug.pushes", Relaxed));
        f.debug_struct("Deque")
            .field("pushes", &pushes)
            .field("ends", &ends)
            .finish_non_exhaustive()
    }
}

/// The owner's end of a [`Deque`]: the only one that pushes and pops. May move between threads,
/// cannot be shared.
pub struct Owner<'a, S> {
    deque: &'a Deque<S>,
    /// The owner's copy of what `Ends` says; `pushes` needs none, nobody else writes it.
    pops: Cell<u32>,
    /// A `head` that was acquired: a lower bound of the true one.
    head_seen: Cell<u32>,
}

impl<'a, S: AsRef<[Slot]>> Owner<'a, S> {
    /// Puts `word` at the owner's end, visible to thieves at once. Wait-free, no read-modify-write.
    ///
    /// # Errors
    ///
    /// [`Full`] with the word.
    #[inline]
    pub fn push(&self, word: usize) -> Result<(), Full> {
        // Left out: a word that is not taken is written over. Model: deque::a_slot_is_reused_only_after_it_was_read.
        let is_full = self.room(1) == 0 && !broken!("deque.push.room");
        if is_full || !self.write(0, word) {
            return Err(Full(word));
        }
        self.publish(1);
        Ok(())
    }

    /// Puts as many of `words` as fit at the owner's end with one publication; the last of them is
    /// the next to be popped. Returns how many were put. Wait-free, no read-modify-write.
    ///
    /// The words that did not fit are left in the iterator.
    #[inline]
    pub fn push_all(&self, words: &mut impl Iterator<Item = usize>) -> usize {
        let most = words.size_hint().1.unwrap_or(usize::MAX);
        let room = self.room(u32::try_from(most).unwrap_or(u32::MAX));
        let mut count = 0;
        while count < room {
            let Some(word) = words.next() else { break };
            if !self.write(count, word) {
                break;
            }
            count += 1;
        }
        if count > 0 {
            self.publish(count);
        }
        count as usize
    }

    /// Takes the newest word. Wait-free, one read-modify-write, none if the deque is empty.
    #[inline]
    pub fn pop(&self) -> Option<usize> {
        let bottom = self.bottom();
        // Relaxed: `pops` is the owner's; a stale `head` is found out by the addition below.
        let ends = Ends(self.deque.ends.load(order!("deque.pop.ends", Relaxed)));
        if ends.head() == bottom {
            return None;
        }
        let newest = bottom.wrapping_sub(1);
        // Relaxed: the owner's own write.
        let word = self
            .deque
            .slot(newest)?
            .word
            .load(order!("deque.pop.word", Relaxed));
        // Relaxed: the addition and the thieves' exchanges are ordered on this one word, which is
        // all the exclusion needs; no memory is handed over (I2, I3 rest on other sites).
        let seen = Ends(
            self.deque
                .ends
                .fetch_add(Ends::ONE_POP, order!("deque.pop.claim", Relaxed)),
        );
        self.pops.set(self.pops.get().wrapping_add(1));
        // Left out: a word that a thief took is taken again. Model: deque::the_last_word_goes_to_the_owner_or_to_the_thief.
        if seen.head() == bottom && !broken!("deque.pop.too_late") {
            // Left out: the next push is hidden. Model: deque::the_last_word_goes_to_the_owner_or_to_the_thief.
            if !broken!("deque.pop.undo") {
                self.restore();
            }
            return None;
        }
        Some(word)
    }

    /// Whether [`Owner::push`] would refuse a word. Wait-free.
    pub fn is_full(&self) -> bool {
        self.room(1) == 0
    }

    /// The word that [`Owner::pop`] would try to take, left where it is. A thief may take it
    /// meanwhile. Wait-free, no read-modify-write.
    pub fn peek(&self) -> Option<usize> {
        let bottom = self.bottom();
        // Relaxed: as in `pop`; the answer is a hint.
        let ends = Ends(self.deque.ends.load(order!("deque.peek.ends", Relaxed)));
        if ends.head() == bottom {
            return None;
        }
        let newest = bottom.wrapping_sub(1);
        // Relaxed: the owner's own write.
        Some(
            self.deque
                .slot(newest)?
                .word
                .load(order!("deque.peek.word", Relaxed)),
        )
    }

    #[inline(always)]
    fn pushes(&self) -> u32 {
        // Relaxed: the owner's own write.
        self.deque
            .pushes
            .load(order!("deque.owner.pushes", Relaxed))
    }

    /// The position of the next push.
    #[inline(always)]
    fn bottom(&self) -> u32 {
        self.pushes().wrapping_sub(self.pops.get())
    }

    /// The deque, as thieves see it.
    pub fn deque(&self) -> &'a Deque<S> {
        self.deque
    }

    /// A pop counted a word that a thief had taken: count a push that never was.
    #[cold]
    fn restore(&self) {
        let pushes = self.pushes().wrapping_add(1);
        // Relaxed: no word is published. A thief that sees this `pushes` with the former `pops`
        // fails its exchange, because `pops` has changed.
        self.deque
            .pushes
            .store(pushes, order!("deque.pop.restore", Relaxed));
    }

    /// How many words may be written from `bottom` on; looks at `head` again if what is known is
    /// less than `wanted`.
    #[inline(always)]
    fn room(&self, wanted: u32) -> u32 {
        let capacity = self.deque.capacity() as u32;
        let room = capacity - self.bottom().wrapping_sub(self.head_seen.get());
        if room >= wanted {
            room
        } else {
            self.refreshed_room(capacity)
        }
    }

    #[cold]
    fn refreshed_room(&self, capacity: u32) -> u32 {
        // Acquire: pairs with the Release in `Deque::take`; the thieves' reads below `head` happen
        // before the owner's writes that follow (I3).
        // Weaker: a thief could read the word of the next round. By a ghost. Model:
        // deque::a_slot_is_reused_only_after_it_was_read.
        let ends = Ends(self.deque.ends.load(order!("deque.push.reclaim", Acquire)));
        self.head_seen.set(ends.head());
        capacity - self.bottom().wrapping_sub(ends.head())
    }

    /// Writes the word that stands `offset` above `bottom` once it is published. `false`: there are no
    /// slots.
    #[inline(always)]
    fn write(&self, offset: u32, word: usize) -> bool {
        let position = self.bottom().wrapping_add(offset);
        let Some(slot) = self.deque.slot(position) else {
            return false;
        };
        let capacity = self.deque.capacity() as u32;
        if position >= capacity {
            slot.ghost.assert_read(position - capacity);
        }
        // Relaxed: published by `publish`.
        slot.word.store(word, order!("deque.push.word", Relaxed));
        true
    }

    #[inline(always)]
    fn publish(&self, words: u32) {
        let pushes = self.pushes().wrapping_add(words);
        // Release: pairs with the Acquire in `Deque::look`; carries the words and what was
        // written before them.
        // Weaker: a thief reads a slot before the word was written. Model: deque::a_thief_sees_what_was_pushed.
        self.deque
            .pushes
            .store(pushes, order!("deque.push.publish", Release));
    }
}

impl<S> Drop for Owner<'_, S> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Deque::owner`.
        // Weaker: the next owner starts from stale counters. Model: deque_owner::an_owner_continues_where_the_last_one_stopped.
        self.deque
            .owned
            .store(false, order!("deque.owner.release", Release));
    }
}

impl<S> fmt::Debug for Owner<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner")
            .field("pops", &self.pops.get())
            .field("deque", self.deque)
            .finish()
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests;
