//! Who sleeps, and how they are woken: a set of bits and a parker per worker.
//!
//! | operation | cost | progress |
//! |---|---|---|
//! | [`IdleSet::wake`], nobody asleep | one fence, one load per 64 workers | wait-free |
//! | [`IdleSet::wake`] | one read-modify-write and one `unpark` per worker woken | lock-free |
//! | [`IdleSet::sleep`] | one read-modify-write, one fence, then parked | – |
//!
//! There is no timer and no polling: a worker that sleeps costs nothing until somebody wakes it.
//!
//! # Protocol
//!
//! | sleeper | publisher |
//! |---|---|
//! | S1 set own bit (*announce*) | P1 publish the work |
//! | S2 `sleeper_fence` | P2 `publisher_fence` |
//! | S3 look for work once more | P3 load the bits |
//! | S4 none: park while the bit is set | P4 clear a bit (*claim*): whoever clears it wakes its worker |
//! | S5 found some: clear own bit (*retract*) | P5 `unpark` |
//!
//! **No wake-up is lost.** The two fences are ordered. If S2 comes first, P3 sees the bit of S1, and
//! the publisher claims it or somebody else has. If P2 comes first, S3 sees the work of P1. So work
//! that was published while its only possible taker went to sleep is either seen at S3 or followed
//! by a claim.
//!
//! **No wake-up is swallowed.** A claim that hits a worker between S3 and S5 is one wake for a
//! worker that needs none. The worker notices at S5 that its bit is gone, and passes the wake on.
//!
//! **No permit is left over.** A bit is both the announcement and the permit; it cannot count
//! beyond one, and a wake that finds no bit leaves nothing behind.
//!
//! # Waiters
//!
//! A worker that waits for something in particular ([`IdleSet::wait`]) can only help with part of the
//! work. Such waiters have bits of their own, on the same cache line, and a publisher turns to them
//! only when nobody sleeps freely. What ends their wait comes by `unpark` alone.
//!
//! # Hunger
//!
//! Beside the bits stands a count of the workers that have nothing to do, asleep or searching. It is
//! a hint, for those who may share work if somebody wants it (`join`); no decision about
//! sleeping rests on it.
//!
//! # Source
//!
//! The announce-fence-recheck order is that of event counts (D. Reed and R. Kanodia, "Synchronization
//! with eventcounts and sequencers", CACM 1979); keeping the set of sleepers as bits instead of a
//! count or a list is as in small real-time kernels.

#![forbid(unsafe_code)]

use core::fmt;

use crate::order;
use crate::platform::{Platform, WorkerId};
use crate::sync::{AtomicUsize, CachePadded, array, const_fn};

/// The workers of one [`Word`].
pub const WORKERS_PER_WORD: usize = usize::BITS as usize;

/// Storage for the bits of [`WORKERS_PER_WORD`] workers.
#[derive(Debug)]
pub struct Word(CachePadded<Bits>);

#[derive(Debug)]
struct Bits {
    /// Who takes any work.
    free: AtomicUsize,
    /// Who takes descendants of what it waits for.
    waiting: AtomicUsize,
}

/// Which work a sleeper takes.
#[derive(Clone, Copy)]
enum Role {
    Free,
    Waiting,
}

impl Bits {
    #[inline(always)]
    fn of(&self, role: Role) -> &AtomicUsize {
        match role {
            Role::Free => &self.free,
            Role::Waiting => &self.waiting,
        }
    }
}

impl Word {
    const_fn! {
        /// Nobody sleeps.
        pub const fn new() -> Self {
            Word(CachePadded::new(Bits { free: AtomicUsize::new(0), waiting: AtomicUsize::new(0) }))
        }
    }
}

impl Default for Word {
    fn default() -> Self {
        Self::new()
    }
}

/// The set of sleeping workers.
pub struct IdleSet<S> {
    hungry: CachePadded<AtomicUsize>,
    words: S,
}

impl<const N: usize> IdleSet<[Word; N]> {
    const_fn! {
        /// An empty set for `N` × [`WORKERS_PER_WORD`] workers.
        pub const fn fixed() -> Self {
            Self::over(array![Word::new(); N])
        }
    }
}

impl<S> IdleSet<S> {
    const_fn! {
        const fn over(words: S) -> Self {
            IdleSet { hungry: CachePadded::new(AtomicUsize::new(0)), words }
        }
    }
}

impl<S: AsRef<[Word]>> IdleSet<S> {
    /// An empty set over `words`; it has room for [`WORKERS_PER_WORD`] workers per word.
    pub fn with_storage(words: S) -> Self {
        Self::over(words)
    }

    /// How many workers it has room for.
    pub fn capacity(&self) -> usize {
        self.words.as_ref().len() * WORKERS_PER_WORD
    }

    /// Sleeps until woken, unless `look` finds something after the announcement; returns what it
    /// found. `None` means that the worker was woken and should look for work.
    ///
    /// `look` must see all that a publisher makes public before it calls [`IdleSet::wake`].
    pub fn sleep<T>(
        &self,
        platform: &impl Platform,
        worker: WorkerId,
        look: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        self.announce(worker, Role::Free);
        platform.sleeper_fence();
        if let Some(found) = look() {
            if !self.retract(worker, Role::Free) {
                self.wake(platform, 1, &[]);
            }
            return Some(found);
        }
        while self.is_announced(worker, Role::Free) {
            platform.park(worker);
        }
        None
    }

    /// Sleeps until woken or until `look` finds something; `look` is asked after the announcement
    /// and whenever `park` returns. What ends the wait must `unpark` the worker.
    pub fn wait<T>(
        &self,
        platform: &impl Platform,
        worker: WorkerId,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        self.announce(worker, Role::Waiting);
        platform.sleeper_fence();
        let found = loop {
            let found = look();
            if found.is_some() || !self.is_announced(worker, Role::Waiting) {
                break found;
            }
            platform.park(worker);
        };
        self.retract(worker, Role::Waiting);
        found
    }

    /// Wakes up to `count` sleeping workers, those in `near` first, in that order, and returns how
    /// many. Call it after the work was published. Lock-free.
    #[inline]
    pub fn wake(&self, platform: &impl Platform, count: usize, near: &[WorkerId]) -> usize {
        platform.publisher_fence();
        if self.nobody_sleeps() { 0 } else { self.wake_some(platform, count, near) }
    }

    /// Wakes `worker` if it sleeps. Call it after the work was published. Lock-free.
    pub fn wake_one(&self, platform: &impl Platform, worker: WorkerId) {
        platform.publisher_fence();
        if self.claim(worker, Role::Free) || self.claim(worker, Role::Waiting) {
            platform.unpark(worker);
        }
    }

    /// Whether somebody has nothing to do: a hint, one relaxed load.
    #[inline(always)]
    pub fn is_anyone_hungry(&self) -> bool {
        // Relaxed: a hint (see the module's page).
        self.hungry.load(order!("idle.hungry.look", Relaxed)) != 0
    }

    /// Counts a worker that has found nothing to do.
    pub fn enter_hunger(&self) {
        // Relaxed: a hint.
        self.hungry.fetch_add(1, order!("idle.hungry.enter", Relaxed));
    }

    /// Ends what [`IdleSet::enter_hunger`] began.
    pub fn leave_hunger(&self) {
        // Relaxed: a hint.
        self.hungry.fetch_sub(1, order!("idle.hungry.leave", Relaxed));
    }

    fn is_announced(&self, worker: WorkerId, role: Role) -> bool {
        let (word, bit) = self.place(worker, role);
        // Relaxed: being woken carries no data. The woken worker's next look may still miss the
        // work, but then its next announcement reads the claimer's clearing of the bit, so its
        // `sleeper_fence` follows the claimer's `publisher_fence` and S3 sees the work.
        word.load(order!("idle.park.check", Relaxed)) & bit != 0
    }

    /// How many workers sleep, waiters apart: an estimate.
    pub fn asleep(&self) -> usize {
        // Relaxed: an estimate.
        let bits =
            |word: &Word| word.0.free.load(order!("idle.asleep", Relaxed)).count_ones() as usize;
        self.words.as_ref().iter().map(bits).sum()
    }

    fn announce(&self, worker: WorkerId, role: Role) {
        let (word, bit) = self.place(worker, role);
        // Relaxed: ordered by the `sleeper_fence` that follows.
        word.fetch_or(bit, order!("idle.sleep.announce", Relaxed));
    }

    /// Whether the bit was still there: `false` means that a wake was consumed.
    fn retract(&self, worker: WorkerId, role: Role) -> bool {
        let (word, bit) = self.place(worker, role);
        // Relaxed: who cleared the bit is decided by this word's own order.
        word.fetch_and(!bit, order!("idle.sleep.retract", Relaxed)) & bit != 0
    }

    #[inline(always)]
    fn nobody_sleeps(&self) -> bool {
        // Relaxed: ordered by the `publisher_fence` before them.
        let empty = |word: &Word| {
            word.0.free.load(order!("idle.wake.look", Relaxed)) == 0
                && word.0.waiting.load(order!("idle.wake.look_waiting", Relaxed)) == 0
        };
        self.words.as_ref().iter().all(empty)
    }

    #[cold]
    fn wake_some(&self, platform: &impl Platform, count: usize, near: &[WorkerId]) -> usize {
        let woken = self.wake_role(platform, count, near, Role::Free);
        woken + self.wake_role(platform, count - woken, near, Role::Waiting)
    }

    fn wake_role(
        &self,
        platform: &impl Platform,
        count: usize,
        near: &[WorkerId],
        role: Role,
    ) -> usize {
        let mut woken = 0;
        let anyone = (0..self.words.as_ref().len()).flat_map(|index| self.bits_of(index, role));
        for worker in near.iter().copied().chain(anyone) {
            if woken == count {
                break;
            }
            if self.claim(worker, role) {
                platform.unpark(worker);
                woken += 1;
            }
        }
        woken
    }

    /// The workers of one word that slept when it was loaded.
    fn bits_of(&self, index: usize, role: Role) -> impl Iterator<Item = WorkerId> {
        // Relaxed: `claim` decides.
        let mut bits = self.words.as_ref()[index].0.of(role).load(order!("idle.wake.scan", Relaxed));
        core::iter::from_fn(move || {
            let bit = bits.trailing_zeros() as usize;
            if bit == WORKERS_PER_WORD {
                return None;
            }
            bits &= bits - 1;
            WorkerId::new(index * WORKERS_PER_WORD + bit)
        })
    }

    /// Takes the duty to wake `worker`; `false` if it is awake or somebody else has the duty.
    fn claim(&self, worker: WorkerId, role: Role) -> bool {
        let (word, bit) = self.place(worker, role);
        // Relaxed: a hint; the next line decides.
        if word.load(order!("idle.wake.test", Relaxed)) & bit == 0 {
            return false;
        }
        // Relaxed: who cleared the bit is decided by this word's own order; see `is_announced`
        // for what the woken worker sees.
        word.fetch_and(!bit, order!("idle.wake.claim", Relaxed)) & bit != 0
    }

    #[inline(always)]
    fn place(&self, worker: WorkerId, role: Role) -> (&AtomicUsize, usize) {
        let index = worker.index();
        let bits = &self.words.as_ref()[index / WORKERS_PER_WORD].0;
        (bits.of(role), 1 << (index % WORKERS_PER_WORD))
    }
}

impl<S: AsRef<[Word]>> fmt::Debug for IdleSet<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleSet").field("asleep", &self.asleep()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Log(Mutex<Vec<usize>>);

    impl Platform for Log {
        fn park(&self, _: WorkerId) {
            panic!("nobody should park here");
        }
        fn unpark(&self, worker: WorkerId) {
            self.0.lock().unwrap().push(worker.index());
        }
        fn now_ns(&self) -> u64 {
            0
        }
    }

    fn worker(index: usize) -> WorkerId {
        WorkerId::new(index).unwrap()
    }

    #[test]
    fn the_near_are_woken_first_and_each_once() {
        let set = IdleSet::<[Word; 2]>::fixed();
        let platform = Log(Mutex::default());
        for index in [1, 5, 70, 127] {
            set.announce(worker(index), Role::Free);
        }
        assert_eq!(set.asleep(), 4);
        assert_eq!(set.wake(&platform, 2, &[worker(3), worker(70)]), 2);
        assert_eq!(set.wake(&platform, 9, &[worker(70)]), 2);
        assert_eq!(set.wake(&platform, 9, &[]), 0);
        assert_eq!(*platform.0.lock().unwrap(), [70, 1, 5, 127]);
    }

    #[test]
    fn a_wake_that_is_not_needed_is_passed_on() {
        let set = IdleSet::<[Word; 1]>::fixed();
        let platform = Log(Mutex::default());
        set.announce(worker(1), Role::Free);
        let found = set.sleep(&platform, worker(0), || {
            assert_eq!(set.wake(&platform, 1, &[worker(0)]), 1);
            Some("work")
        });
        assert_eq!(found, Some("work"));
        assert_eq!(*platform.0.lock().unwrap(), [0, 1]);
        assert_eq!(set.asleep(), 0);
    }

    #[test]
    fn a_wake_that_finds_nobody_leaves_no_permit() {
        let set = IdleSet::<[Word; 1]>::fixed();
        let platform = Log(Mutex::default());
        assert_eq!(set.wake(&platform, 3, &[worker(0)]), 0);
        set.announce(worker(0), Role::Free);
        assert!(set.is_announced(worker(0), Role::Free));
        assert!(set.retract(worker(0), Role::Free));
    }
}
