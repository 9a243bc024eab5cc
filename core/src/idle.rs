//! Who sleeps, and how they are woken: a set of bits and a parker per worker.
//!
//! | operation | cost | progress |
//! |---|---|---|
//! | [`IdleSet::wake`], nobody hungry | one fence, one load | wait-free |
//! | [`IdleSet::wake`] | two read-modify-writes and one `unpark` per worker woken | lock-free |
//! | [`IdleSet::is_anyone_hungry`] | one relaxed load | wait-free |
//! | [`IdleSet::sleep`] | two read-modify-writes, one fence, then parked | – |
//!
//! There is no timer and no polling: a worker that sleeps costs nothing until somebody wakes it.
//!
//! # Words
//!
//! A worker is *hungry* while it has nothing to do; a hungry worker is *searching* while it looks at
//! other workers' deques, and else asleep. One word counts both.
//!
//! # Protocol
//!
//! | sleeper, counted as searching | publisher |
//! |---|---|
//! | S1 set own bit (*announce*), stop counting as searching | P1 publish the work |
//! | S2 `sleeper_fence` | P2 `publisher_fence` |
//! | S3 look for work once more | P3 load the counts: as many searchers as tasks? done |
//! | S4 none: park while the bit is set | P4 clear a bit (*claim*), count its worker as searching |
//! | S5 found some: clear own bit (*retract*) | P5 `unpark` |
//!
//! **No wake-up is lost.** The two fences are ordered. If P2 comes first, S3 sees the work of P1. If S2
//! comes first, P3 sees the effects of S1: the sleeper is hungry and not searching, so the publisher
//! claims a bit, unless enough others search.
//!
//! **Searchers count.** A publisher leaves it to those who search already, or are on their way from
//! being claimed. That is safe: a searcher that finds nothing comes to S1, and then the above holds; one
//! that finds something and was the **last** wakes another before it begins to work
//! ([`IdleSet::leave_search`]). So one wake leads to the next as long as there is work, and a burst
//! of small tasks does not wake a worker for each.
//!
//! **No wake-up is swallowed.** A claim that hits a worker between S3 and S5 is a wake for one that
//! needs none. The worker notices at S5 that its bit is gone: it was counted as searching, and leaves
//! the search as above. One whose bit was still there wakes another as well: before S1 it was a
//! searcher on whom publishers may have relied.
//!
//! **No permit is left over.** A bit is both the announcement and the permit; it cannot count
//! beyond one, and a wake that finds no bit leaves nothing behind.
//!
//! # Waiters
//!
//! A worker that waits for something in particular ([`IdleSet::wait`]) can only help with part of the
//! work. Such waiters have bits of their own, on the same cache line. When too few sleep freely, a
//! publisher wakes all waiters: which of them can help, only they can tell, and passing a wake on from
//! one that cannot to the next might go round for ever. What ends their wait comes by `unpark` alone.
//!
//! # Limits
//!
//! A wake that was taken on is not handed over. Who is stopped for good between claiming a sleeper's bit
//! and unparking it leaves that sleeper asleep, and who is stopped while it counts as searching is relied
//! upon by publishers: a task may then wait for the stopped thread, although a worker sleeps that could
//! run it, until more tasks are published at once than there are searchers, or a worker comes by. No
//! operation waits, though.
//!
//! # Example
//!
//! ```
//! use pinfold_core::idle::{IdleSet, Slept, Word};
//! # use pinfold_core::platform::{Platform, WorkerId};
//! # struct Bare; impl Platform for Bare { fn park(&self, _: WorkerId) {} fn unpark(&self, _: WorkerId) {} }
//! let (set, me) = (IdleSet::<[Word; 1]>::fixed(), WorkerId::new(0).expect("the first"));
//! set.enter_search();
//! assert_eq!(set.sleep(&Bare, me, || Some(42)), Slept::Found(42)); // by the last look
//! set.enter_search();
//! let look = || { assert_eq!(set.wake(&Bare, 1, &[]), 1); None::<u32> }; // a wake just after it
//! assert_eq!(set.sleep(&Bare, me, look), Slept::Woken);
//! set.leave_search(&Bare, &[], || false);
//! assert!(!set.is_anyone_hungry());
//! ```
//!
//! # Source
//!
//! The announce-fence-recheck order is that of event counts (D. Reed and R. Kanodia, "Synchronization
//! with eventcounts and sequencers", CACM 1979); keeping the set of sleepers as bits instead of a
//! count or a list is as in small real-time kernels.

#![forbid(unsafe_code)]

use core::fmt;

use crate::broken;
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

/// How many workers have nothing to do, and how many of them are searching:
/// `hungry << 16 | searching`.
#[derive(Clone, Copy)]
struct Hunger(usize);

impl Hunger {
    const SEARCHING: usize = 1;
    const HUNGRY: usize = 1 << 16;

    #[inline(always)]
    fn searching(self) -> usize {
        // Signed: a claim clears the bit first and counts afterwards, so for a moment the count may be
        // one too low per claim. Never too high, which would be unsafe.
        (self.0 as u16 as i16).max(0) as usize
    }
}

const _: () = assert!(WorkerId::MAX_WORKERS < Hunger::HUNGRY / 2 && usize::BITS >= 32);

/// What sleeping came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a woken worker counts as searching until it leaves the search"]
pub enum Slept<T> {
    /// The last look found something. The worker is not hungry any more.
    Found(T),
    /// Somebody woke the worker. It counts as searching.
    Woken,
}

/// The set of sleeping workers.
pub struct IdleSet<S> {
    hunger: CachePadded<AtomicUsize>,
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
            IdleSet { hunger: CachePadded::new(AtomicUsize::new(0)), words }
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

    /// The worker has found nothing in its own queue and looks elsewhere.
    pub fn enter_search(&self) {
        // Relaxed: only more searchers than before; a publisher that misses it wakes one too many.
        self.hunger.fetch_add(
            Hunger::HUNGRY + Hunger::SEARCHING,
            order!("idle.search.enter", Relaxed),
        );
    }

    /// The search has found something. If this was the last searcher and `is_more` says that there is
    /// more to find, another one is woken, for publishers may have left their work to this one.
    ///
    /// `is_more` must see all that a publisher makes public before it calls [`IdleSet::wake`].
    pub fn leave_search(
        &self,
        platform: &impl Platform,
        near: &[WorkerId],
        is_more: impl FnOnce() -> bool,
    ) {
        // Release: pairs with the `sleeper_fence` of a searcher that stops after this: its last look
        // sees what this one has put into its own deque.
        // Weaker: the rest of a batch is missed. Model: idle::what_a_searcher_found_too_much_is_found_by_the_other.
        let before = self.hunger.fetch_sub(
            Hunger::HUNGRY + Hunger::SEARCHING,
            order!("idle.search.leave", Release),
        );
        // Left out: nobody asks for what publishers left to this one.
        // Model: idle::an_item_left_to_a_searcher_is_found_by_a_waiter.
        if Hunger(before).searching() > 1 || broken!("idle.search.pass_on") {
            return;
        }
        // Pairs with the `publisher_fence` in `wake`: a publisher that still counted this searcher
        // has published before, and `is_more` sees it. Model: idle::a_publisher_that_relies_on_a_searcher_loses_nothing.
        if !broken!("idle.search.fence") {
            platform.sleeper_fence();
        }
        if is_more() {
            self.wake(platform, 1, near);
        }
    }

    /// Sleeps until woken, unless `look` finds something after the announcement. The worker counts
    /// as searching when it calls this.
    ///
    /// `look` must see all that a publisher makes public before it calls [`IdleSet::wake`].
    pub fn sleep<T>(
        &self,
        platform: &impl Platform,
        worker: WorkerId,
        look: impl FnOnce() -> Option<T>,
    ) -> Slept<T> {
        if self.place(worker, Role::Free).is_none() {
            return self.stay_awake(platform, look);
        }
        self.announce(worker, Role::Free);
        // Relaxed: ordered by the fence that follows.
        self.hunger
            .fetch_sub(Hunger::SEARCHING, order!("idle.sleep.unsearch", Relaxed));
        platform.sleeper_fence();
        // Left out: it parks without the last look. Model: idle::no_wakeup_is_lost.
        let found = if broken!("idle.sleep.look") {
            None
        } else {
            look()
        };
        if let Some(found) = found {
            if self.retract(worker, Role::Free) {
                // Not counted as searching any more, and yet publishers may have left work to this
                // one before it stopped, and `look` may have left more than it took.
                // Left out: nobody takes that work. Model: idle::a_wake_that_is_not_needed_is_passed_on.
                self.leave_hunger();
                if !broken!("idle.sleep.pass_on") {
                    self.wake(platform, 1, &[]);
                }
            } else {
                self.leave_search(platform, &[], || true);
            }
            return Slept::Found(found);
        }
        while self.is_announced(worker, Role::Free) {
            platform.park(worker);
        }
        Slept::Woken
    }

    /// A worker for which the set has no room cannot be woken: it goes on searching instead.
    #[cold]
    fn stay_awake<T>(
        &self,
        platform: &impl Platform,
        look: impl FnOnce() -> Option<T>,
    ) -> Slept<T> {
        let Some(found) = look() else {
            return Slept::Woken;
        };
        self.leave_search(platform, &[], || true);
        Slept::Found(found)
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
        // Left out: work and waiter miss each other. Model: idle::a_waiter_is_woken_for_work_when_nobody_sleeps_freely.
        if !broken!("idle.wait.fence") {
            platform.sleeper_fence();
        }
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

    /// Wakes sleeping workers for `count` tasks, less those workers that search already, and
    /// returns how many. Those in `near` come first, in that order. Call it after the work was
    /// published. Lock-free.
    #[inline]
    pub fn wake(&self, platform: &impl Platform, count: usize, near: &[WorkerId]) -> usize {
        platform.publisher_fence();
        // Relaxed: ordered by the fence before it.
        let hunger = self.hunger.load(order!("idle.wake.look", Relaxed));
        if hunger == 0 {
            0
        } else {
            self.wake_some(platform, count, Hunger(hunger), near)
        }
    }

    /// Wakes `worker` if it sleeps. Call it after the work was published. Lock-free.
    pub fn wake_one(&self, platform: &impl Platform, worker: WorkerId) {
        // Left out: mail and sleeper miss each other. Model: mailbox::mail_arrives_whole.
        if !broken!("idle.wake_one.fence") {
            platform.publisher_fence();
        }
        if self.claim(worker, Role::Free) || self.claim(worker, Role::Waiting) {
            platform.unpark(worker);
        }
    }

    /// Whether somebody has nothing to do. One relaxed load.
    #[inline(always)]
    pub fn is_anyone_hungry(&self) -> bool {
        // Relaxed: a hint to those who may share work; no decision about sleeping rests on it.
        self.hunger.load(order!("idle.hungry.look", Relaxed)) != 0
    }

    /// Counts a waiter that has found nothing to help with. Before [`IdleSet::wait`].
    pub fn enter_hunger(&self) {
        // Relaxed: ordered by the `sleeper_fence` in `wait`.
        self.hunger
            .fetch_add(Hunger::HUNGRY, order!("idle.hungry.enter", Relaxed));
    }

    /// Ends what [`IdleSet::enter_hunger`] began.
    pub fn leave_hunger(&self) {
        // Relaxed: a publisher that misses it finds no bit.
        self.hunger
            .fetch_sub(Hunger::HUNGRY, order!("idle.hungry.leave", Relaxed));
    }

    fn is_announced(&self, worker: WorkerId, role: Role) -> bool {
        let Some((word, bit)) = self.place(worker, role) else {
            return false;
        };
        // Relaxed: being woken carries no data. The woken worker's next look may still miss the
        // work, but then its next announcement reads the claimer's clearing of the bit, so its
        // `sleeper_fence` follows the claimer's `publisher_fence` and S3 sees the work.
        word.load(order!("idle.park.check", Relaxed)) & bit != 0
    }

    /// How many workers sleep, waiters apart: an estimate.
    pub fn asleep(&self) -> usize {
        // Relaxed: an estimate.
        let bits = |word: &Word| {
            word.0
                .free
                .load(order!("idle.asleep", Relaxed))
                .count_ones() as usize
        };
        self.words.as_ref().iter().map(bits).sum()
    }

    fn announce(&self, worker: WorkerId, role: Role) {
        if let Some((word, bit)) = self.place(worker, role) {
            // Relaxed: ordered by the `sleeper_fence` that follows.
            word.fetch_or(bit, order!("idle.sleep.announce", Relaxed));
        }
    }

    /// Whether the bit was still there: `false` means that a wake was consumed.
    fn retract(&self, worker: WorkerId, role: Role) -> bool {
        let Some((word, bit)) = self.place(worker, role) else {
            return false;
        };
        // Relaxed: who cleared the bit is decided by this word's own order.
        word.fetch_and(!bit, order!("idle.sleep.retract", Relaxed)) & bit != 0
    }

    #[cold]
    fn wake_some(
        &self,
        platform: &impl Platform,
        count: usize,
        hunger: Hunger,
        near: &[WorkerId],
    ) -> usize {
        let count = count.saturating_sub(hunger.searching());
        let woken = self.wake_role(platform, count, near, Role::Free);
        if woken == count {
            return woken;
        }
        // Whether a waiter can help is known to itself alone, and one that cannot has nobody to pass
        // the wake on to: so all of them look.
        // Left out: one alone looks. Model: idle::a_waiter_that_cannot_help_does_not_keep_the_wake.
        let waiters = if broken!("idle.wake.all_waiters") {
            1
        } else {
            usize::MAX
        };
        woken + self.wake_role(platform, waiters, near, Role::Waiting)
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
        let load = |word: &Word| word.0.of(role).load(order!("idle.wake.scan", Relaxed));
        let mut bits = self.words.as_ref().get(index).map_or(0, load);
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
        let Some((word, bit)) = self.place(worker, role) else {
            return false;
        };
        // Relaxed: a hint; the next line decides.
        if word.load(order!("idle.wake.test", Relaxed)) & bit == 0 {
            return false;
        }
        // Relaxed: who cleared the bit is decided by this word's own order; see `is_announced`
        // for what the woken worker sees.
        let claimed = word.fetch_and(!bit, order!("idle.wake.claim", Relaxed)) & bit != 0;
        if claimed && matches!(role, Role::Free) {
            // Relaxed: until others see it they wake one more than needed.
            self.hunger
                .fetch_add(Hunger::SEARCHING, order!("idle.wake.search", Relaxed));
        }
        claimed
    }

    /// The worker's bit. `None`: the set has no room for it.
    #[inline(always)]
    fn place(&self, worker: WorkerId, role: Role) -> Option<(&AtomicUsize, usize)> {
        let index = worker.index();
        let word = self.words.as_ref().get(index / WORKERS_PER_WORD)?;
        Some((word.0.of(role), 1 << (index % WORKERS_PER_WORD)))
    }
}

impl<S: AsRef<[Word]>> fmt::Debug for IdleSet<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleSet")
            .field("asleep", &self.asleep())
            .finish_non_exhaustive()
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
        fn now_ns(&self) -> Option<u64> {
            None
        }
    }

    fn worker(index: usize) -> WorkerId {
        WorkerId::new(index).unwrap()
    }

    /// Puts `worker` to sleep, without a thread to park.
    fn put_to_sleep(set: &IdleSet<[Word; 2]>, worker: WorkerId) {
        set.enter_hunger();
        set.announce(worker, Role::Free);
    }

    fn searching(set: &IdleSet<[Word; 2]>) -> usize {
        Hunger(set.hunger.load(crate::sync::Ordering::Relaxed)).searching()
    }

    #[test]
    fn the_near_are_woken_first_and_each_once() {
        let set = IdleSet::<[Word; 2]>::fixed();
        let platform = Log(Mutex::default());
        for index in [1, 5, 70, 127] {
            put_to_sleep(&set, worker(index));
        }
        assert_eq!(set.asleep(), 4);
        assert_eq!(set.wake(&platform, 2, &[worker(3), worker(70)]), 2);
        assert_eq!(searching(&set), 2);
        // Those two are on their way, so two tasks need nobody else, and nine need the rest.
        assert_eq!(set.wake(&platform, 2, &[worker(127)]), 0);
        assert_eq!(set.wake(&platform, 9, &[worker(127)]), 2);
        assert_eq!(set.wake(&platform, 9, &[]), 0);
        assert_eq!(*platform.0.lock().unwrap(), [70, 1, 127, 5]);
    }

    #[test]
    fn a_wake_that_is_not_needed_is_passed_on() {
        let set = IdleSet::<[Word; 2]>::fixed();
        let platform = Log(Mutex::default());
        put_to_sleep(&set, worker(1));
        set.enter_search();
        let slept = set.sleep(&platform, worker(0), || {
            assert_eq!(set.wake(&platform, 1, &[worker(0)]), 1);
            Some("work")
        });
        assert_eq!(slept, Slept::Found("work"));
        assert_eq!(*platform.0.lock().unwrap(), [0, 1]);
        assert_eq!((set.asleep(), searching(&set)), (0, 1));
    }

    #[test]
    fn the_last_searcher_to_find_work_wakes_another() {
        let set = IdleSet::<[Word; 2]>::fixed();
        let platform = Log(Mutex::default());
        put_to_sleep(&set, worker(2));
        set.enter_search();
        set.enter_search();
        set.leave_search(&platform, &[], || true);
        assert_eq!(*platform.0.lock().unwrap(), []);
        set.leave_search(&platform, &[], || true);
        assert_eq!(*platform.0.lock().unwrap(), [2]);
    }

    #[test]
    fn a_worker_without_a_bit_does_not_sleep() {
        let set = IdleSet::<[Word; 2]>::fixed();
        let platform = Log(Mutex::default());
        let beyond = worker(set.capacity());
        set.enter_search();
        assert_eq!(set.sleep(&platform, beyond, || None::<()>), Slept::Woken);
        assert_eq!(searching(&set), 1);
        assert_eq!(set.wait(&platform, beyond, || None::<()>), None);
        assert_eq!(set.sleep(&platform, beyond, || Some(7)), Slept::Found(7));
        assert_eq!(searching(&set), 0);
        set.wake_one(&platform, beyond);
        assert_eq!(*platform.0.lock().unwrap(), []);
    }

    #[test]
    fn a_wake_that_finds_nobody_leaves_no_permit() {
        let set = IdleSet::<[Word; 2]>::fixed();
        let platform = Log(Mutex::default());
        assert_eq!(set.wake(&platform, 3, &[worker(0)]), 0);
        put_to_sleep(&set, worker(0));
        assert!(set.is_announced(worker(0), Role::Free));
        assert!(set.retract(worker(0), Role::Free));
    }
}
