//! What the workers share: slots, injector, deques, idle set.
//!
//! A [`Scheduler`] is plain memory. It may be a `static` in firmware ([`Fixed`] storage, `const`
//! construction) or live in boxes of the standard-library adapter; it knows neither threads nor
//! time. Each executing agent takes one [`Worker`] and calls [`Worker::run_until_closed`], or pulls
//! tasks one by one.
//!
//! # One worker's next task
//!
//! Own deque (newest first) → own mail → injector → the victims in their order (oldest first, in
//! batches) → shelves (what waiting workers have set aside) → sleep. Every [`INJECTOR_INTERVAL`]th task
//! comes from the mail or the injector first, so that a worker that keeps itself busy cannot starve
//! the outside.
//!
//! # From an interrupt
//!
//! An interrupt handler may call what is below, on a target whose atomics are lock-free (see
//! [`sync`](crate::sync)); nothing here masks interrupts, waits or allocates.
//!
//! | call | steps | what of the user's runs in it |
//! |---|---|---|
//! | [`Scheduler::spawn`], [`Scheduler::submit`] | lock-free: retries only if it interrupted the same step | [`Platform::unpark`] |
//! | [`Scheduler::cancel`] | lock-free | [`Platform::unpark`], or [`Waker::wake`](core::task::Waker::wake) of a registered waker; [`Platform::slots_freed`] |
//! | [`Scheduler::is_closed`], [`Scheduler::figures`] | loads | nothing |
//! | [`Scheduler::close`] | lock-free, one `unpark` per sleeper | [`Platform::unpark`], [`Platform::slots_freed`] |
//!
//! Not for interrupts: a [`Worker`] and its methods (they run tasks, for as long as these take), and
//! [`Scheduler::drop_leftovers`] (it drops closures).
//!
//! # Closing
//!
//! [`Scheduler::close`] stops admission; workers leave when they find nothing more. A submission may
//! race with the closing: the submitter publishes, fences (in the wake) and may then look at
//! [`Scheduler::is_closed`]; a worker sees the flag, fences and looks for work once more. Whoever
//! comes second sees the other. So a submitter that finds the scheduler closed *after* a successful
//! submission settles what may be left: it takes a free seat and runs it, or calls
//! [`Scheduler::drop_leftovers`].

use core::fmt;

use crate::arena::{Arena, Exhausted, MAX_RESERVE, MAX_SLOTS};
use crate::broken;
use crate::deque::{self, BadCapacity, Deque};
use crate::idle::{self, IdleSet};
use crate::injector::{self, Injector};
use crate::mailbox::Mailbox;
use crate::metrics::Counters;
use crate::order;
use crate::platform::{Platform, Unwind, WorkerId};
use crate::storage::Stable;
use crate::sync::{AtomicBool, AtomicUsize, array, const_fn};
use crate::task::{Frame, Kind, Slot, SlotIndex, fits};
use crate::worker::Worker;

/// Every how many tasks a worker looks at the injector before its own deque.
pub const INJECTOR_INTERVAL: u32 = 61;

/// What a queue holds: a slot, or a node of a graph run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(usize);

/// A [`Word`], taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The task in a slot.
    Task(SlotIndex),
    /// A node of the graph run that lives in a slot.
    Node { run: SlotIndex, node: u32 },
}

impl Word {
    /// Slot and tag of a node word.
    const NODE_SHIFT: u32 = if usize::BITS >= 64 { 32 } else { 12 };

    /// The largest number of nodes of a graph.
    pub(crate) const MAX_NODES: usize = 1 << (usize::BITS - Self::NODE_SHIFT - 1);

    #[inline(always)]
    pub(crate) fn task(index: SlotIndex) -> Word {
        Word((index as usize) << 1)
    }

    #[inline(always)]
    pub(crate) fn node(run: SlotIndex, node: u32) -> Word {
        Word((node as usize) << Self::NODE_SHIFT | (run as usize) << 1 | 1)
    }

    #[inline(always)]
    pub(crate) fn work(self) -> Work {
        if self.0 & 1 == 0 {
            return Work::Task((self.0 >> 1) as SlotIndex);
        }
        let run = self.0 >> 1 & ((1 << (Self::NODE_SHIFT - 1)) - 1);
        Work::Node {
            run: run as SlotIndex,
            node: (self.0 >> Self::NODE_SHIFT) as u32,
        }
    }

    #[inline(always)]
    pub(crate) fn raw(self) -> usize {
        self.0
    }

    #[inline(always)]
    pub(crate) fn from_raw(raw: usize) -> Word {
        Word(raw)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work().fmt(f)
    }
}

/// Where a scheduler's parts live.
pub trait Storage {
    /// The arena's slots.
    type Slots: Stable<Slot>;
    /// The injector's entries.
    type Entries: Stable<injector::Entry>;
    /// One deque's slots.
    type DequeSlots: Stable<deque::Slot>;
    /// What each worker shows the others.
    type Seats: Stable<Seat<Self::DequeSlots>>;
    /// The idle set's words.
    type Words: Stable<idle::Word>;
}

/// The memory of a scheduler: see [`Scheduler::with_storage`].
pub struct Parts<S: Storage> {
    /// The slots. The last [`Parts::reserve`] of them are for callers from outside alone.
    pub slots: S::Slots,
    /// How many slots are set aside, at most [`MAX_RESERVE`]: see
    /// [`Scheduler::spawn_reserved`].
    pub reserve: usize,
    /// The injector's entries: a power of two, at least as many as slots.
    pub entries: S::Entries,
    /// A seat per worker.
    pub seats: S::Seats,
    /// A word for every [`idle::WORKERS_PER_WORD`] workers.
    pub words: S::Words,
}

impl<S: Storage> fmt::Debug for Parts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("slots", &self.slots.as_ref().len())
            .field("reserve", &self.reserve)
            .field("entries", &self.entries.as_ref().len())
            .field("seats", &self.seats.as_ref().len())
            .field("words", &self.words.as_ref().len())
            .finish()
    }
}

/// What one worker shows the others.
#[derive(Debug)]
pub struct Seat<D> {
    pub(crate) deque: Deque<D>,
    pub(crate) mailbox: Mailbox,
    pub(crate) shelf: Mailbox,
    pub(crate) counters: Counters,
}

impl<D: AsRef<[deque::Slot]>> Seat<D> {
    /// A seat whose deque lives in `slots`.
    ///
    /// # Errors
    ///
    /// [`BadCapacity`] as from [`Deque::with_storage`].
    pub fn with_storage(slots: D) -> Result<Self, BadCapacity> {
        Ok(Seat {
            deque: Deque::with_storage(slots)?,
            mailbox: Mailbox::new(),
            shelf: Mailbox::new(),
            counters: Counters::new(),
        })
    }
}

impl<const N: usize> Seat<[deque::Slot; N]> {
    const_fn! {
        /// A seat with a deque of `N` words, a power of two.
        pub const fn fixed() -> Self {
            Seat { deque: Deque::fixed(), mailbox: Mailbox::new(),
            shelf: Mailbox::new(), counters: Counters::new() }
        }
    }
}

/// Storage in arrays: `WORKERS` (at most [`idle::WORKERS_PER_WORD`]), `SLOTS` tasks (a power of
/// two), and `DEQUE` words in each worker's deque (a power of two).
///
/// On 64-bit targets that is 136 bytes per slot, per worker 8 bytes per word of its deque and 512 more,
/// and 1152 for all; each [`Worker`] has 2 KiB on its stack besides. Of the slots, a quarter
/// (or two per worker) may be kept by workers that are awake, out of everybody else's reach.
#[derive(Debug)]
pub struct Fixed<const WORKERS: usize, const SLOTS: usize, const DEQUE: usize>;

impl<const W: usize, const N: usize, const D: usize> Storage for Fixed<W, N, D> {
    type Slots = [Slot; N];
    type Entries = [injector::Entry; N];
    type DequeSlots = [deque::Slot; D];
    type Seats = [Seat<[deque::Slot; D]>; W];
    type Words = [idle::Word; 1];
}

/// How full a scheduler is, each figure by itself (they are not a consistent snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// How many slots there are, without those set aside; so in the next figure.
    pub slots: usize,
    /// The most slots that were in use, or within some worker's reach alone, at once.
    pub slots_high_water: usize,
    /// How many tasks from outside are queued.
    pub injected: usize,
    /// How many workers sleep.
    pub asleep: usize,
}

/// Why a scheduler did not take a task; the closure comes back.
#[non_exhaustive]
pub enum SpawnError<F> {
    /// No slot is free.
    Exhausted(F, Exhausted),
    /// The closure or its result is larger than a slot (see [`fits`]).
    TooLarge(F),
    /// The scheduler was closed.
    Closed(F),
}

impl<F> SpawnError<F> {
    /// The closure.
    pub fn into_inner(self) -> F {
        match self {
            SpawnError::Exhausted(f, _) | SpawnError::TooLarge(f) | SpawnError::Closed(f) => f,
        }
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::Exhausted(_, exhausted) => exhausted.fmt(f),
            SpawnError::TooLarge(_) => f.write_str("TooLarge"),
            SpawnError::Closed(_) => f.write_str("Closed"),
        }
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::Exhausted(_, exhausted) => exhausted.fmt(f),
            SpawnError::TooLarge(_) => write!(
                f,
                "the closure or its result is over {} bytes: box what it captures",
                crate::task::PAYLOAD_BYTES
            ),
            SpawnError::Closed(_) => f.write_str("the scheduler is closed"),
        }
    }
}

impl<F> core::error::Error for SpawnError<F> {}

/// Storage that does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no seat, or more than [`WorkerId::MAX_WORKERS`] or than the idle set has room for.
    Seats {
        /// The number of seats given.
        seats: usize,
        /// The largest number that would do.
        most: usize,
    },
    /// More slots are set aside than there are, or than [`MAX_RESERVE`].
    Reserve {
        /// How many are to be set aside.
        reserve: usize,
        /// The largest number that would do.
        most: usize,
    },
    /// The injector must have at least as many entries as there are slots, a power of two.
    Entries {
        /// The number of entries given.
        entries: usize,
        /// The number of slots given.
        slots: usize,
    },
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Seats { seats, most } => {
                write!(f, "{seats} seats: give between 1 and {most}")
            }
            StorageError::Reserve { reserve, most } => {
                write!(f, "{reserve} slots set aside: set aside at most {most}")
            }
            StorageError::Entries { entries, slots } => write!(
                f,
                "{entries} injector entries for {slots} slots: give a power of two, at least {slots}"
            ),
        }
    }
}

impl core::error::Error for StorageError {}

/// The shared half of a scheduler, for the platform `P`, in the storage `S`.
///
/// See the module's page, and the crate `examples/no_std` for one in a `static`.
pub struct Scheduler<S: Storage, P> {
    pub(crate) idle: IdleSet<S::Words>,
    pub(crate) arena: Arena<S::Slots>,
    pub(crate) injector: Injector<S::Entries>,
    pub(crate) seats: S::Seats,
    pub(crate) closed: AtomicBool,
    starving: AtomicUsize,
    pub(crate) platform: P,
}

impl<const W: usize, const N: usize, const D: usize, P> Scheduler<Fixed<W, N, D>, P> {
    const_fn! {
        /// A scheduler in arrays, for a `static`.
        pub const fn fixed(platform: P) -> Self {
            const { assert!(W >= 1 && W <= idle::WORKERS_PER_WORD, "too few or too many workers") };
            Scheduler {
                idle: IdleSet::fixed(),
                arena: Arena::fixed(),
                injector: Injector::fixed(),
                seats: array![Seat::fixed(); W],
                closed: AtomicBool::new(false),
                starving: AtomicUsize::new(0),
                platform,
            }
        }
    }
}

impl<S: Storage, P: Platform + Unwind> Scheduler<S, P> {
    /// A scheduler over the given memory.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the parts do not fit together.
    ///
    /// # Safety
    ///
    /// The parts are new (made by their `new`, or zeroed where their type is
    /// [`ZeroInit`](crate::zero::ZeroInit)) and nobody else's: memory that another scheduler has used,
    /// or uses, would make this one run its tasks.
    pub unsafe fn with_storage(parts: Parts<S>, platform: P) -> Result<Self, StorageError> {
        let Parts {
            slots,
            reserve,
            entries,
            seats,
            words,
        } = parts;
        let idle = IdleSet::with_storage(words);
        let most = idle.capacity().min(WorkerId::MAX_WORKERS);
        let count = seats.as_ref().len();
        if count == 0 || count > most {
            return Err(StorageError::Seats { seats: count, most });
        }
        let slot_count = slots.as_ref().len().min(MAX_SLOTS);
        let most = slot_count.min(MAX_RESERVE);
        if reserve > most {
            return Err(StorageError::Reserve { reserve, most });
        }
        let arena = Arena::with_reserve(slots, reserve);
        let entry_count = entries.as_ref().len();
        let mismatch = StorageError::Entries {
            entries: entry_count,
            slots: slot_count,
        };
        let injector = Injector::with_storage(entries).map_err(|_| mismatch)?;
        if entry_count < slot_count {
            return Err(mismatch);
        }
        Ok(Scheduler {
            idle,
            arena,
            injector,
            seats,
            closed: AtomicBool::new(false),
            starving: AtomicUsize::new(0),
            platform,
        })
    }

    /// How many workers there are seats for.
    pub fn workers(&self) -> usize {
        self.seats.as_ref().len()
    }

    /// The platform.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// How full it is. Loads: one per word of sleepers, and those of [`Injector::len`].
    pub fn figures(&self) -> Figures {
        Figures {
            slots: self.arena.capacity(),
            slots_high_water: self.arena.high_water(),
            injected: self.injector.len(),
            asleep: self.idle.asleep(),
        }
    }

    /// The idle set. Only models may put themselves in place of a worker.
    #[cfg(pinfold_loom)]
    pub fn idle(&self) -> &IdleSet<S::Words> {
        &self.idle
    }

    /// The counters of one worker; `None` if there is no such seat.
    pub fn counters(&self, worker: WorkerId) -> Option<&Counters> {
        self.seats
            .as_ref()
            .get(worker.index())
            .map(|seat| &seat.counters)
    }

    /// Takes the seat `id`, with `victims` to steal from, nearest first. `None` if there is no
    /// such seat or it is taken. Victims without a seat are passed over.
    ///
    /// Name every other worker: whoever wakes this one relies on it to find the work, and work in the
    /// deque of a worker that it does not rob it does not find. (Two workers that are not to share work are two
    /// schedulers.)
    pub fn worker<'s>(&'s self, id: WorkerId, victims: &'s [WorkerId]) -> Option<Worker<'s, S, P>> {
        let seat = self.seats.as_ref().get(id.index())?;
        Some(Worker::new(
            self,
            id,
            seat.deque.owner()?,
            &seat.counters,
            victims,
        ))
    }

    /// Runs `task` on some worker. Lock-free.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the closure.
    pub fn spawn<F>(&self, task: F) -> Result<(), SpawnError<F>>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) + Send + 'static,
    {
        // SAFETY: `F` is `'static`.
        unsafe { self.spawn_unchecked(task) }
    }

    /// As [`Scheduler::spawn_unchecked`], but if no slot is free, one of those that are set aside
    /// ([`Parts::reserve`]) will do. They are for tasks that end by themselves: a task with a handle
    /// keeps its slot as long as somebody keeps the handle, and if that were all slots, nobody
    /// outside could get in any more. Lock-free.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the closure.
    ///
    /// # Safety
    ///
    /// As for [`Scheduler::spawn_unchecked`].
    pub unsafe fn spawn_reserved<F>(&self, task: F) -> Result<(), SpawnError<F>>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) + Send,
    {
        let vacancy = match self.vacancy::<F, ()>() {
            Err(Vacancy::None(exhausted)) => {
                let reserved = self.arena.take_reserved();
                reserved.ok_or(Vacancy::None(exhausted))
            }
            vacancy => vacancy,
        };
        // SAFETY: the caller's duty.
        unsafe { self.fill(vacancy, task) }
    }

    /// [`Scheduler::spawn`] for a task that borrows.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] with the closure.
    ///
    /// # Safety
    ///
    /// What the task borrows lives until it has ended, or was dropped unrun.
    pub unsafe fn spawn_unchecked<F>(&self, task: F) -> Result<(), SpawnError<F>>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) + Send,
    {
        // SAFETY: the caller's duty.
        unsafe { self.fill(self.vacancy::<F, ()>(), task) }
    }

    /// Puts a detached task into a slot that was taken for it, and publishes it.
    ///
    /// # Safety
    ///
    /// What the task borrows lives until it has ended, or was dropped unrun.
    unsafe fn fill<F>(
        &self,
        vacancy: Result<SlotIndex, Vacancy>,
        task: F,
    ) -> Result<(), SpawnError<F>>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) + Send,
    {
        let index = match vacancy {
            Ok(index) => index,
            Err(why) => return Err(why.with(task)),
        };
        let slot = self.arena.slot(index);
        slot.label(Kind::Plain, Frame::NONE, 0);
        let guarded = |worker: &Worker<'_, S, P>| worker.guard(task);
        // SAFETY: 1. the slot was just taken from the arena. 2. is the caller's duty. 3. `vacancy`;
        // the wrapper captures `task` alone.
        unsafe { slot.store::<Worker<'_, S, P>, _>(guarded) };
        self.inject(index);
        Ok(())
    }

    /// Stops admission. Workers leave when they find nothing more to do. Idempotent, lock-free.
    pub fn close(&self) {
        // Relaxed: `wake` fences between this and its look at the sleepers; who submits fences
        // between its publication and its look at this flag.
        self.closed.store(true, order!("scheduler.close", Relaxed));
        self.idle.wake(&self.platform, usize::MAX, &[]);
        if self.starving() {
            // Who waits for a slot learns that it waits in vain.
            self.platform.slots_freed(true);
        }
    }

    /// How many free slots each worker may keep for itself: all together a quarter (or two each).
    pub(crate) fn magazine_limit(&self) -> usize {
        self.arena.capacity() / (4 * self.workers().max(1))
    }

    /// Gives a slot back that no worker has at hand, and tells those who starve.
    pub(crate) fn give_to_everybody(&self, index: SlotIndex) {
        self.arena.give_shared(index);
        self.tell_starving();
    }

    /// Tells those who starve that slots have just come within everybody's reach.
    pub(crate) fn tell_starving(&self) {
        // Pairs with the fence in `enter_starvation`: either this sees who starves, or who starves sees
        // the slots.
        // Left out: both miss each other. Model: scheduler::who_starves_is_told_of_a_slot_that_a_handle_kept.
        if !broken!("scheduler.give.fence") {
            self.platform.publisher_fence();
        }
        if self.starving() {
            self.platform.slots_freed(true);
        }
    }

    /// Whether [`Scheduler::close`] was called.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Relaxed: see `close`.
        self.closed.load(order!("scheduler.is_closed", Relaxed))
    }

    /// Somebody outside is about to wait for a free slot. Look for one once more after this and
    /// before waiting: then either the slot is found or [`Platform::slots_freed`] is called later.
    ///
    /// Workers put their spare slots within reach before they sleep, and, while somebody starves,
    /// whenever they have a run of them.
    pub fn enter_starvation(&self) {
        // Relaxed: ordered by the fence that follows.
        self.starving
            .fetch_add(1, order!("scheduler.starve", Relaxed));
        // The sleeper's fence, not the publisher's: those who give slots back have that one.
        // Left out: it misses the slot, and is missed. Model: scheduler::who_starves_is_told_of_a_slot_that_a_handle_kept.
        if !broken!("scheduler.starve.fence") {
            self.platform.sleeper_fence();
        }
    }

    /// Ends what [`Scheduler::enter_starvation`] began.
    pub fn leave_starvation(&self) {
        // Relaxed: a late look costs a needless call.
        self.starving
            .fetch_sub(1, order!("scheduler.unstarve", Relaxed));
    }

    /// Whether somebody outside waits for a free slot.
    #[inline(always)]
    pub fn starving(&self) -> bool {
        // Relaxed: a worker that misses it looks again after its `sleeper_fence`.
        self.starving.load(order!("scheduler.starving", Relaxed)) != 0
    }

    /// A free slot for a task `F` with the result `R`.
    pub(crate) fn vacancy<F, R>(&self) -> Result<SlotIndex, Vacancy> {
        if !fits::<F>() || !fits::<R>() {
            return Err(Vacancy::TooLarge);
        }
        if self.is_closed() {
            return Err(Vacancy::Closed);
        }
        self.arena
            .take_shared()
            .ok_or_else(|| Vacancy::None(self.arena.exhausted()))
    }

    /// Publishes a filled slot and wakes a worker for it.
    pub(crate) fn inject(&self, index: SlotIndex) {
        let pushed = self.injector.push(index);
        debug_assert_eq!(pushed, Ok(()), "the injector has an entry for every slot");
        self.idle.wake(&self.platform, 1, &[]);
    }

    /// Settles what stands in the injector of a closed scheduler: the workers may have left.
    /// Returns how many tasks were dropped unrun by this.
    pub fn drop_leftovers(&self) -> usize {
        let mut dropped = 0;
        while let Some(index) = self.injector.pop() {
            dropped += usize::from(self.drop_task(index));
        }
        dropped
    }

    /// `false`: the task had run or been cancelled before.
    fn drop_task(&self, index: SlotIndex) -> bool {
        let slot = self.arena.slot(index);
        match slot.kind() {
            Kind::Claimable => self.drop_claimable(index),
            _ => {
                // SAFETY: the index came from the injector, so its plain closure is ours.
                contain::<P>(|| unsafe { slot.discard() });
                self.give_to_everybody(index);
                true
            }
        }
    }
}

/// Calls what users have written and nobody joins: a drop, a wake. A panic of theirs goes nowhere, for
/// its payload may panic again when it is dropped.
pub(crate) fn contain<P: Unwind>(f: impl FnOnce()) {
    if let Err(panic) = P::catch(f) {
        core::mem::forget(panic);
    }
}

/// Why there was no slot, before the closure is attached.
pub(crate) enum Vacancy {
    TooLarge,
    Closed,
    None(Exhausted),
}

impl Vacancy {
    pub(crate) fn with<F>(self, closure: F) -> SpawnError<F> {
        match self {
            Vacancy::TooLarge => SpawnError::TooLarge(closure),
            Vacancy::Closed => SpawnError::Closed(closure),
            Vacancy::None(exhausted) => SpawnError::Exhausted(closure, exhausted),
        }
    }
}

impl<S: Storage, P> fmt::Debug for Scheduler<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("arena", &self.arena)
            .field("injector", &self.injector)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}
