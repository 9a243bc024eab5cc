//! One executing agent: finds tasks, runs them, sleeps, and waits without wasting itself.
//!
//! A [`Worker`] is the owner's side of everything: its deque's owner end, its magazine of free
//! slots, its pending joins. It belongs to one thread (or core) and cannot be shared.
//!
//! # Waiting inside a worker
//!
//! A worker that waits for a join, a scope or a run helps with **descendants of what it waits for and
//! nothing else**. Running anything at hand instead deadlocks users who hold a lock across the
//! wait, and lets stacks grow without bound. What it does, in this order:
//!
//! 1. its own deque, newest first: a descendant is run; a detached task is moved to the injector,
//!    where any free worker takes it; another structured task (pushed into an *outer* scope from
//!    inside this one) is set aside and put back when the wait is over;
//! 2. the oldest task of each victim, if it is a descendant (looked at before it is taken);
//! 3. it counts as hungry for a while, so that running descendants may share their joins;
//! 4. it parks; the end of what it waits for wakes it.
//!
//! **No deadlock.** Suppose all workers wait. A worker's queued descendants of its own wait are in its
//! own deque (step 1 finds all of those), or were taken in a batch by a worker that was at the
//! bottom of its stack. Consider the worker that took its bottom task last, at time *t*. Nothing that
//! its task's tree created later than *t* was ever taken in a batch, so whatever is still queued of
//! that tree stands in the deque of the worker that pushed it, which waits inside that tree's task
//! and finds it by step 1. If nothing of the tree is queued, its deepest waiter waits for nothing.

use core::cell::Cell;
use core::fmt;
use core::ptr;

use crate::arena::Magazine;
use crate::deque::{Owner, Steal};
use crate::idle::Slept;
use crate::join::Pending;
use crate::latch::CountLatch;
use crate::metrics::Counters;
use crate::order;
use crate::platform::{Platform, Unwind, WorkerId};
use crate::scheduler::{INJECTOR_INTERVAL, Scheduler, Storage, Word, Work};
use crate::sync::spin_hint;
use crate::task::{Context, Frame, Kind, SlotIndex};

/// How many looks at other workers' deques a worker spends before it goes to sleep.
const SEARCH_LOOKS: usize = if cfg!(pinfold_loom) { 1 } else { 512 };

/// How many pauses stand between two rounds of looks.
const SEARCH_PAUSES: usize = if cfg!(pinfold_loom) { 0 } else { 16 };

/// One executing agent of a [`Scheduler`].
pub struct Worker<'s, S: Storage, P> {
    scheduler: &'s Scheduler<S, P>,
    owner: Owner<'s, S::DequeSlots>,
    pub(crate) pending: Pending,
    frames: Frames,
    ticks: Cell<u32>,
    magazine: Magazine,
    counters: &'s Counters,
    victims: &'s [WorkerId],
    /// Ended sinks of a graph run that its latch has not been told of, and the latch.
    sinks: Cell<usize>,
    sinks_latch: Cell<*const CountLatch>,
    /// Taken from the mailbox and not run yet: the first slot of a list, plus one.
    mail: Cell<u32>,
    id: WorkerId,
}

/// In which frame a worker is, and which frames are around it.
struct Frames {
    current: Cell<Frame>,
    /// The innermost [`Boundary`].
    innermost: Cell<*const ()>,
}

/// Where a frame begins on a worker's stack: joins below `first_join` were called further out. It
/// spares each join the note of its frame.
struct Boundary<'w> {
    frames: &'w Frames,
    outer: *const (),
    outer_frame: Frame,
    first_join: usize,
}

impl Drop for Boundary<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.frames.current.set(self.outer_frame);
        self.frames.innermost.set(self.outer);
    }
}

/// What looking for work came to.
#[derive(Debug)]
enum Found {
    Word(Word),
    Closed,
}

impl<'s, S: Storage, P: Platform + Unwind> Worker<'s, S, P> {
    pub(crate) fn new(
        scheduler: &'s Scheduler<S, P>,
        id: WorkerId,
        owner: Owner<'s, S::DequeSlots>,
        counters: &'s Counters,
        victims: &'s [WorkerId],
    ) -> Self {
        Worker {
            scheduler,
            owner,
            pending: Pending::new(),
            frames: Frames { current: Cell::new(Frame::NONE), innermost: Cell::new(ptr::null()) },
            ticks: Cell::new(0),
            magazine: Magazine::default(),
            counters,
            victims,
            sinks: Cell::new(0),
            sinks_latch: Cell::new(ptr::null()),
            mail: Cell::new(0),
            id,
        }
    }

    /// This worker's number.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// The scheduler it works for.
    pub fn scheduler(&self) -> &'s Scheduler<S, P> {
        self.scheduler
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.counters
    }

    /// Runs tasks, and sleeps when there are none, until the scheduler is closed and nothing is left.
    pub fn run_until_closed(&self) {
        while let Found::Word(word) = self.next() {
            self.run(word);
        }
    }

    /// Runs one task if there is any. `false`: there was none. Never sleeps.
    pub fn run_one(&self) -> bool {
        let word = self.find();
        if let Some(word) = word {
            self.run(word);
        }
        word.is_some()
    }

    /// Runs `task` later, on this worker or a thief. Lock-free; no allocation, no read-modify-write
    /// on the way in.
    ///
    /// # Errors
    ///
    /// `TooLarge` with the closure. If no slot is free, the task is run at once instead.
    pub fn spawn<F>(&self, task: F) -> Result<(), crate::scheduler::SpawnError<F>>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) + Send + 'static,
    {
        if !crate::task::fits::<F>() {
            return Err(crate::scheduler::SpawnError::TooLarge(task));
        }
        let Some(index) = self.take_slot() else {
            self.within(Frame::NONE, || self.guard(task));
            return Ok(());
        };
        let slot = self.scheduler.arena.slot(index);
        slot.label(Kind::Plain, Frame::NONE, 0);
        // SAFETY: 1. the slot was just taken. 2. `F` is `'static`. 3. checked above.
        unsafe { slot.store::<Worker<'_, S, P>, _>(|worker: &Worker<'_, S, P>| worker.guard(task)) };
        self.publish_detached(index);
        Ok(())
    }

    /// Calls `task` here and now; its panic goes to [`Unwind::unhandled`].
    pub fn guard<F: FnOnce(&Self)>(&self, task: F) {
        if let Err(panic) = P::catch(|| task(self)) {
            self.scheduler.platform.unhandled(panic);
        }
    }

    // Slots and frames.

    #[inline(always)]
    pub(crate) fn take_slot(&self) -> Option<SlotIndex> {
        self.scheduler.arena.take(&self.magazine)
    }

    #[inline(always)]
    pub(crate) fn give_slot(&self, index: SlotIndex) {
        self.scheduler.arena.give(&self.magazine, index);
        if self.scheduler.starving() {
            self.feed();
        }
    }

    /// Puts this worker's spare slots within reach of those who starve, if it has a run of them. The
    /// rest follows at the latest when it sleeps.
    #[cold]
    fn feed(&self) {
        if self.magazine.is_worth_sharing() {
            self.scheduler.arena.empty(&self.magazine);
            self.scheduler.platform.slots_freed(false);
        }
    }

    #[inline(always)]
    pub(crate) fn frame(&self) -> Frame {
        self.frames.current.get()
    }

    /// One more than the depth of `frame`.
    #[inline]
    pub(crate) fn depth_below(&self, frame: Frame) -> u32 {
        frame.slot().map_or(0, |index| self.scheduler.arena.slot(index).frame().1 + 1)
    }

    /// Calls `f` with `frame` as the enclosing frame.
    #[inline(always)]
    pub(crate) fn within<R>(&self, frame: Frame, f: impl FnOnce() -> R) -> R {
        let boundary = Boundary {
            frames: &self.frames,
            outer: self.frames.innermost.get(),
            outer_frame: self.frames.current.replace(frame),
            first_join: self.pending.depth(),
        };
        self.frames.innermost.set((&raw const boundary).cast());
        f()
    }

    /// The frame in which the pending join at `depth` was called.
    pub(crate) fn frame_of_join(&self, depth: usize) -> Frame {
        let mut frame = self.frames.current.get();
        let mut boundary = self.frames.innermost.get();
        // SAFETY: a boundary is in the list while `within`, on whose stack it is, has not returned.
        while let Some(inner) = unsafe { boundary.cast::<Boundary<'_>>().as_ref() } {
            if depth >= inner.first_join {
                break;
            }
            (frame, boundary) = (inner.outer_frame, inner.outer);
        }
        frame
    }

    // Publishing.

    /// Puts a structured task into this worker's deque and wakes somebody; if the deque is full,
    /// runs it at once. (The injector is no place for it: who waits for it does not look there.)
    #[inline]
    pub(crate) fn publish(&self, index: SlotIndex) {
        let word = Word::task(index);
        match self.owner.push(word.raw()) {
            Ok(()) => self.wake(1),
            Err(_) => self.run(word),
        }
    }

    /// Puts a detached task into this worker's deque, or, if that is full, into the injector, and
    /// wakes somebody.
    fn publish_detached(&self, index: SlotIndex) {
        if self.owner.push(Word::task(index).raw()).is_err() {
            self.inject(index);
        }
        self.wake(1);
    }

    #[cold]
    fn inject(&self, index: SlotIndex) {
        let pushed = self.scheduler.injector.push(index);
        debug_assert_eq!(pushed, Ok(()), "the injector has an entry for every slot");
    }

    /// Whether a task put into this worker's deque would find room.
    pub(crate) fn has_room(&self) -> bool {
        !self.owner.is_full()
    }

    /// Gives a filled slot to the worker `target` and no other; to this one if there is no such seat.
    pub(crate) fn post(&self, target: WorkerId, index: SlotIndex) {
        let seats = self.scheduler.seats.as_ref();
        let target = if target.index() < seats.len() { target } else { self.id };
        if let Some(seat) = seats.get(target.index()) {
            seat.mailbox.post(&self.scheduler.arena, index);
            self.scheduler.idle.wake_one(&self.scheduler.platform, target);
        }
    }

    /// Puts nodes of a graph run into this worker's deque, the last to be run first, and wakes as
    /// many workers. Nodes that find no room stay in `nodes`.
    #[inline]
    pub(crate) fn publish_nodes(
        &self,
        run: SlotIndex,
        nodes: &mut impl ExactSizeIterator<Item = u32>,
    ) {
        let count = self.owner.push_all(&mut nodes.map(|node| Word::node(run, node).raw()));
        if count > 0 {
            self.wake(count);
        }
    }

    /// Wakes up to `count` workers, the nearest first.
    #[inline(always)]
    pub(crate) fn wake(&self, count: usize) {
        if !self.victims.is_empty() {
            self.scheduler.idle.wake(&self.scheduler.platform, count, self.victims);
        }
    }

    /// Takes `index` back from the deque if it is the newest there.
    pub(crate) fn take_back(&self, index: SlotIndex) -> bool {
        let word = Word::task(index).raw();
        // A thief may take it between the two, and then there is nothing newer to pop by mistake:
        // what lies below is older than what the thief took, hence taken too.
        self.owner.peek() == Some(word) && self.owner.pop() == Some(word)
    }

    // Finding.

    /// The next task, after sleeping if need be.
    fn next(&self) -> Found {
        if let Some(word) = self.find() {
            return Found::Word(word);
        }
        let idle = &self.scheduler.idle;
        idle.enter_search();
        loop {
            if let Some(word) = self.search() {
                idle.leave_search(&self.scheduler.platform, self.victims);
                return Found::Word(word);
            }
            match self.sleep() {
                Slept::Found(found) => return found,
                Slept::Woken => {}
            }
        }
    }

    #[inline]
    fn find(&self) -> Option<Word> {
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if ticks.is_multiple_of(INJECTOR_INTERVAL) {
            let outside = self.take_mail(|_| true).or_else(|| self.take_injected());
            if outside.is_some() {
                return outside;
            }
        }
        match self.owner.pop() {
            Some(raw) => Some(Word::from_raw(raw)),
            None => {
                self.report_sinks();
                self.find_elsewhere()
            }
        }
    }

    fn find_elsewhere(&self) -> Option<Word> {
        self.take_mail(|_| true).or_else(|| self.take_injected()).or_else(|| self.steal())
    }

    /// The first task in this worker's mail that is `wanted`.
    fn take_mail(&self, wanted: impl Fn(Word) -> bool) -> Option<Word> {
        let arena = &self.scheduler.arena;
        let seat = self.scheduler.seats.as_ref().get(self.id.index())?;
        let new = seat.mailbox.take_all(arena);
        if new != 0 {
            self.append_mail(new);
        }
        let mut before: Option<SlotIndex> = None;
        let mut rest = self.mail.get();
        while let Some(index) = rest.checked_sub(1) {
            // Relaxed, here and below: the list is this worker's.
            rest = arena.slot(index).next.load(order!("worker.mail.next", Relaxed));
            if wanted(Word::task(index)) {
                match before {
                    None => self.mail.set(rest),
                    Some(before) => {
                        arena.slot(before).next.store(rest, order!("worker.mail.unlink", Relaxed));
                    }
                }
                return Some(Word::task(index));
            }
            before = Some(index);
        }
        None
    }

    /// Puts new mail behind what is there.
    fn append_mail(&self, new: u32) {
        let arena = &self.scheduler.arena;
        let Some(mut last) = self.mail.get().checked_sub(1) else { return self.mail.set(new) };
        loop {
            // Relaxed, both: the list is this worker's.
            let next = &arena.slot(last).next;
            match next.load(order!("worker.mail.walk", Relaxed)).checked_sub(1) {
                Some(following) => last = following,
                None => return next.store(new, order!("worker.mail.append", Relaxed)),
            }
        }
    }

    fn take_injected(&self) -> Option<Word> {
        let index = self.scheduler.injector.pop()?;
        self.counters.injected.bump();
        Some(Word::task(index))
    }

    /// One sweep over the victims.
    fn steal(&self) -> Option<Word> {
        for victim in self.victims {
            let Some(seat) = self.scheduler.seats.as_ref().get(victim.index()) else { continue };
            loop {
                match seat.deque.steal_batch(&self.owner) {
                    Steal::Taken(raw) => {
                        self.counters.steals.bump();
                        return Some(Word::from_raw(raw));
                    }
                    // Somebody else got one; there may be more.
                    Steal::Contended => spin_hint(),
                    Steal::Empty | Steal::Declined => break,
                }
            }
        }
        None
    }

    /// Looks elsewhere for a while.
    fn search(&self) -> Option<Word> {
        for _ in 0..SEARCH_LOOKS.div_ceil(self.victims.len() + 1) {
            if let Some(word) = self.find_elsewhere() {
                return Some(word);
            }
            if self.scheduler.is_closed() {
                return None;
            }
            for _ in 0..SEARCH_PAUSES {
                spin_hint();
            }
        }
        None
    }

    /// Sleeps until woken, unless there is work or the scheduler is closed.
    fn sleep(&self) -> Slept<Found> {
        let scheduler = self.scheduler;
        scheduler.arena.empty(&self.magazine);
        scheduler.idle.sleep(&scheduler.platform, self.id, || {
            if let Some(word) = self.find_elsewhere() {
                return Some(Found::Word(word));
            }
            if scheduler.is_closed() {
                return Some(Found::Closed);
            }
            if scheduler.starving() {
                scheduler.platform.slots_freed(true);
            }
            self.counters.sleeps.bump();
            None
        })
    }

    // Running.

    pub(crate) fn run(&self, word: Word) {
        self.counters.executed.bump();
        match word.work() {
            Work::Task(index) => {
                self.report_sinks();
                let slot = self.scheduler.arena.slot(index);
                match slot.kind() {
                    Kind::Claimable => self.enter_claimable(index),
                    _ => {
                        let (frame, _) = slot.frame();
                        // SAFETY: 1. the index was taken from a queue, so its closure is ours;
                        // it is plain, and `index` its own. 2. only closures for `Worker<S, P>`
                        // are stored in this scheduler's slots.
                        self.within(frame, || unsafe { slot.run(self, index) });
                    }
                }
            }
            Work::Node { run, node } => {
                // `report_sinks` is up to the run, which may go on collecting.
                let slot = self.scheduler.arena.slot(run);
                // SAFETY: 1. a run's closure lives until its last node has ended, and this node
                // has not begun. 2. as above.
                self.within(Frame::of(run), || unsafe { slot.run(self, node) });
            }
        }
    }

    // Graph runs.

    /// Counts an ended sink, to be told to `latch` when this worker turns to something else.
    #[inline(always)]
    pub(crate) fn count_sink(&self, latch: &CountLatch) {
        let latch = &raw const *latch;
        if self.sinks_latch.get() != latch {
            self.report_sinks();
            self.sinks_latch.set(latch);
        }
        self.sinks.set(self.sinks.get() + 1);
    }

    /// Tells the latch of the run of the ended sinks.
    #[inline(always)]
    pub(crate) fn report_sinks(&self) {
        if self.sinks.get() != 0 {
            self.report_some_sinks();
        }
    }

    #[inline(never)]
    fn report_some_sinks(&self) {
        let count = self.sinks.replace(0);
        let latch = self.sinks_latch.replace(ptr::null());
        // SAFETY: the run's latch is above zero until this count is taken off, and the run does
        // not end before.
        if let Some(waiter) = unsafe { (*latch).done(count) } {
            self.scheduler.platform.unpark(waiter);
        }
    }

    // Waiting.

    /// Runs the descendants of `frame` in this worker's own deque.
    pub(crate) fn help_own(&self, frame: Frame) {
        let aside = Aside::new(self);
        while let Some(word) = aside.find_own(frame) {
            self.run(word);
        }
    }

    /// Helps with descendants of `frame`, then parks, until `done`. Who makes `done` true unparks
    /// this worker, after `register`.
    pub(crate) fn wait_for(&self, frame: Frame, done: impl Fn() -> bool, register: impl FnOnce()) {
        self.wait_in(Aside::new(self), frame, done, register);
    }

    /// As `wait_for`, and serves this worker's whole mailbox meanwhile.
    pub(crate) fn wait_and_serve_mail(
        &self,
        frame: Frame,
        done: impl Fn() -> bool,
        register: impl FnOnce(),
    ) {
        self.wait_in(Aside::serving_mail(self), frame, done, register);
    }

    fn wait_in(
        &self,
        aside: Aside<'_, 's, S, P>,
        frame: Frame,
        done: impl Fn() -> bool,
        register: impl FnOnce(),
    ) {
        let mut register = Some(register);
        while !done() {
            if let Some(word) = aside.find_descendant(frame) {
                self.run(word);
                continue;
            }
            self.scheduler.idle.enter_hunger();
            let found = self.search_descendant(&aside, frame, &done).or_else(|| {
                if let Some(register) = register.take() {
                    register();
                }
                self.park_waiting(&aside, frame, &done)
            });
            self.scheduler.idle.leave_hunger();
            if let Some(Some(word)) = found {
                self.run(word);
            }
        }
    }

    /// Looks for a descendant for a while. `Some(None)`: done.
    fn search_descendant(
        &self,
        aside: &Aside<'_, 's, S, P>,
        frame: Frame,
        done: &impl Fn() -> bool,
    ) -> Option<Option<Word>> {
        for _ in 0..SEARCH_LOOKS.div_ceil(self.victims.len() + 1) {
            if done() {
                return Some(None);
            }
            if let Some(word) = aside.find_descendant(frame) {
                return Some(Some(word));
            }
            for _ in 0..SEARCH_PAUSES {
                spin_hint();
            }
        }
        None
    }

    fn park_waiting(
        &self,
        aside: &Aside<'_, 's, S, P>,
        frame: Frame,
        done: &impl Fn() -> bool,
    ) -> Option<Option<Word>> {
        self.scheduler.arena.empty(&self.magazine);
        self.scheduler.idle.wait(&self.scheduler.platform, self.id, || {
            if done() { Some(None) } else { aside.find_descendant(frame).map(Some) }
        })
    }

    /// Whether `word` was started, directly or not, inside `ancestor`.
    ///
    /// `word` may be somebody else's; then the answer holds if it is still queued afterwards.
    fn is_descendant(&self, word: Word, ancestor: Frame) -> bool {
        let arena = &self.scheduler.arena;
        let Some(root) = ancestor.slot() else { return false };
        let (mut frame, mut depth) = match word.work() {
            Work::Task(index) if index == root => return true,
            Work::Task(index) => arena.slot(index).frame(),
            Work::Node { run, .. } => (Frame::of(run), u32::MAX),
        };
        let least = arena.slot(root).frame().1;
        while frame != ancestor {
            let Some(index) = frame.slot() else { return false };
            let (next, next_depth) = arena.slot(index).frame();
            // Depths fall from child to parent. If not, somebody reused a slot under our eyes.
            if next_depth <= least || next_depth >= depth {
                return false;
            }
            (frame, depth) = (next, next_depth);
        }
        true
    }
}

/// The structured tasks that a waiting worker found above its own and may not run yet: put back
/// when the wait is over.
struct Aside<'w, 's, S: Storage, P: Platform + Unwind> {
    worker: &'w Worker<'s, S, P>,
    /// The first slot of a list, plus one; the oldest task first.
    first: Cell<u32>,
    /// Whether mail need not be a descendant.
    any_mail: bool,
}

impl<'w, 's, S: Storage, P: Platform + Unwind> Aside<'w, 's, S, P> {
    fn new(worker: &'w Worker<'s, S, P>) -> Self {
        Aside { worker, first: Cell::new(0), any_mail: false }
    }

    /// For a worker that waits for all others: they may be waiting for it in the same way.
    fn serving_mail(worker: &'w Worker<'s, S, P>) -> Self {
        Aside { worker, first: Cell::new(0), any_mail: true }
    }

    /// A descendant of `frame`, from this worker's deque or a victim's.
    fn find_descendant(&self, frame: Frame) -> Option<Word> {
        let worker = self.worker;
        let wanted = |word| self.any_mail || worker.is_descendant(word, frame);
        self.find_own(frame)
            .or_else(|| worker.take_mail(wanted))
            .or_else(|| self.steal_descendant(frame))
    }

    fn find_own(&self, frame: Frame) -> Option<Word> {
        let found = self.pop_own(frame);
        if found.is_none() {
            self.worker.report_sinks();
        }
        found
    }

    fn pop_own(&self, frame: Frame) -> Option<Word> {
        let worker = self.worker;
        while let Some(newest) = worker.owner.peek().map(Word::from_raw) {
            if worker.is_descendant(newest, frame) {
                if worker.owner.pop().is_some() {
                    return Some(newest);
                }
                continue;
            }
            // Nodes of another run were published before this wait began, so nothing of ours
            // lies below them.
            let Work::Task(index) = newest.work() else { return None };
            if worker.owner.pop().is_none() {
                continue;
            }
            if worker.scheduler.arena.slot(index).frame().0 == Frame::NONE {
                worker.inject(index);
                worker.wake(1);
            } else {
                self.set_aside(index);
            }
        }
        None
    }

    fn steal_descendant(&self, frame: Frame) -> Option<Word> {
        let worker = self.worker;
        for victim in worker.victims {
            let Some(seat) = worker.scheduler.seats.as_ref().get(victim.index()) else { continue };
            let wanted = |raw| worker.is_descendant(Word::from_raw(raw), frame);
            if let Steal::Taken(raw) = seat.deque.steal_if(wanted) {
                worker.counters.steals.bump();
                return Some(Word::from_raw(raw));
            }
        }
        None
    }

    fn set_aside(&self, index: SlotIndex) {
        let slot = self.worker.scheduler.arena.slot(index);
        // Relaxed: the task was taken; its link is this worker's.
        slot.next.store(self.first.get(), order!("worker.aside.link", Relaxed));
        self.first.set(index + 1);
    }
}

impl<S: Storage, P: Platform + Unwind> Drop for Aside<'_, '_, S, P> {
    fn drop(&mut self) {
        while let Some(index) = self.first.get().checked_sub(1) {
            let slot = self.worker.scheduler.arena.slot(index);
            // Relaxed: as in `set_aside`.
            self.first.set(slot.next.load(order!("worker.aside.next", Relaxed)));
            self.worker.publish(index);
        }
    }
}

impl<S: Storage, P: Platform + Unwind> Context for Worker<'_, S, P> {
    #[inline(always)]
    fn vacated(&self, index: SlotIndex) {
        self.give_slot(index);
    }
}

impl<S: Storage, P> Drop for Worker<'_, S, P> {
    fn drop(&mut self) {
        self.scheduler.arena.empty(&self.magazine);
    }
}

impl<S: Storage, P> fmt::Debug for Worker<'_, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.id).field("frame", &self.frames.current.get()).finish_non_exhaustive()
    }
}
