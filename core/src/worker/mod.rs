//! One executing agent: finds tasks, runs them, sleeps, and waits without wasting itself.
//!
//! A [`Worker`] is the owner's side of everything: its deque's owner end, its magazine of free
//! slots, its pending joins. It belongs to one thread (or core) and cannot be shared.
//!
//! | in | is |
//! |---|---|
//! | this file | what a worker has; slots, frames, publishing, running |
//! | `find.rs` | where the next task comes from; search and sleep |
//! | `wait.rs` | what a worker does while it waits, and why that cannot deadlock |

mod find;
mod wait;

use core::cell::Cell;
use core::fmt;
use core::ptr;

use crate::arena::Magazine;
use crate::deque::Owner;
use crate::join::Pending;
use crate::latch::CountLatch;
use crate::metrics::Counters;
use crate::platform::{Platform, Unwind, WorkerId};
use crate::scheduler::{Scheduler, SpawnError, Storage, Word, Work, contain};
use crate::task::{Context, Frame, Kind, SlotIndex, fits};

use find::Found;

/// One executing agent of a [`Scheduler`].
pub struct Worker<'s, S: Storage, P: Platform + Unwind> {
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
    /// The run whose sinks they are.
    sinks_run: Cell<SlotIndex>,
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
            frames: Frames {
                current: Cell::new(Frame::NONE),
                innermost: Cell::new(ptr::null()),
            },
            ticks: Cell::new(0),
            magazine: Magazine::new(scheduler.magazine_limit()),
            counters,
            victims,
            sinks: Cell::new(0),
            sinks_latch: Cell::new(ptr::null()),
            sinks_run: Cell::new(0),
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

    /// Runs one task if there is any (of a graph run, possibly many in a row), and what that waits for.
    /// `false`: there was none, and the slots that this worker had kept are within everybody's reach.
    /// Never sleeps by itself; the task may.
    pub fn run_one(&self) -> bool {
        let Some(word) = self.find() else {
            self.share_slots();
            return false;
        };
        self.run(word);
        // Who calls this may take its time until the next call.
        self.report_sinks();
        true
    }

    /// Runs `task` later, on this worker or a thief. Lock-free; no allocation, no read-modify-write
    /// on the way in.
    ///
    /// # Errors
    ///
    /// `TooLarge` with the closure. If no slot is free, the task is run at once instead.
    pub fn spawn<F>(&self, task: F) -> Result<(), SpawnError<F>>
    where
        F: for<'w> FnOnce(&Worker<'w, S, P>) + Send + 'static,
    {
        if !fits::<F>() {
            return Err(SpawnError::TooLarge(task));
        }
        let Some(index) = self.take_slot() else {
            self.within(Frame::NONE, || self.guard(task));
            return Ok(());
        };
        let slot = self.scheduler.arena.slot(index);
        slot.label(Kind::Plain, Frame::NONE, 0);
        // SAFETY: 1. the slot was just taken. 2. `F` is `'static`. 3. checked above.
        unsafe {
            slot.store::<Worker<'_, S, P>, _>(|worker: &Worker<'_, S, P>| worker.guard(task))
        };
        self.publish_detached(index);
        Ok(())
    }

    /// Runs the oldest task that came from outside, if there is any.
    pub fn run_injected(&self) -> bool {
        let index = self.scheduler.injector.pop();
        if let Some(index) = index {
            self.run(Word::task(index));
        }
        index.is_some()
    }

    /// Calls `task` here and now; its panic goes to [`Unwind::unhandled`].
    pub fn guard<F: FnOnce(&Self)>(&self, task: F) {
        if let Err(panic) = P::catch(|| task(self)) {
            contain::<P>(|| self.scheduler.platform.unhandled(panic));
        }
    }

    // Slots and frames.

    #[inline(always)]
    pub(crate) fn take_slot(&self) -> Option<SlotIndex> {
        self.scheduler.arena.take(&self.magazine)
    }

    #[inline(always)]
    pub(crate) fn give_slot(&self, index: SlotIndex) {
        if self.scheduler.arena.is_reserved(index) {
            return self.scheduler.give_to_everybody(index);
        }
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

    /// Puts all slots that this worker has kept within everybody's reach.
    fn share_slots(&self) {
        if !self.magazine.is_empty() {
            self.scheduler.arena.empty(&self.magazine);
            self.scheduler.tell_starving();
        }
    }

    #[inline(always)]
    pub(crate) fn frame(&self) -> Frame {
        self.frames.current.get()
    }

    /// One more than the depth of `frame`.
    #[inline]
    pub(crate) fn depth_below(&self, frame: Frame) -> u32 {
        frame
            .slot()
            .map_or(0, |index| self.scheduler.arena.slot(index).frame().1 + 1)
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
        let target = if target.index() < seats.len() {
            target
        } else {
            self.id
        };
        if let Some(seat) = seats.get(target.index()) {
            seat.mailbox.post(&self.scheduler.arena, index);
            self.scheduler
                .idle
                .wake_one(&self.scheduler.platform, target);
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
        let count = self
            .owner
            .push_all(&mut nodes.map(|node| Word::node(run, node).raw()));
        if count > 0 {
            self.wake(count);
        }
    }

    /// Wakes up to `count` workers, the nearest first. Alone there is nobody to wake.
    #[inline(always)]
    pub(crate) fn wake(&self, count: usize) {
        if self.scheduler.workers() > 1 {
            self.scheduler
                .idle
                .wake(&self.scheduler.platform, count, self.victims);
        }
    }

    /// Takes `index` back from the deque if it is the newest there.
    pub(crate) fn take_back(&self, index: SlotIndex) -> bool {
        let word = Word::task(index).raw();
        // A thief may take it between the two, and then there is nothing newer to pop by mistake:
        // what lies below is older than what the thief took, hence taken too.
        self.owner.peek() == Some(word) && self.owner.pop() == Some(word)
    }

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
                if run != self.sinks_run.replace(run) {
                    self.report_sinks();
                }
                let slot = self.scheduler.arena.slot(run);
                // SAFETY: 1. a run's closure lives until its last node has ended, and this node
                // has not begun. 2. as above.
                self.within(Frame::of(run), || unsafe { slot.run(self, node) });
            }
        }
    }

    /// The newest task in this worker's deque, if it is a node of `run`, and if it is not time to look
    /// elsewhere. Spares a run the way through the worker's loop and back.
    #[inline(never)]
    pub(crate) fn pop_node(&self, run: SlotIndex) -> Option<u32> {
        let newest = Word::from_raw(self.owner.peek()?);
        let node = match newest.work() {
            Work::Node { run: of, node } if of == run => node,
            _ => return None,
        };
        if self.is_outsiders_turn() {
            return None;
        }
        self.tick();
        self.owner.pop()?;
        self.counters.executed.bump();
        Some(node)
    }

    /// The slot of a task; for a node of a run, a slot that carries it. `None`: none is free.
    pub(crate) fn in_a_slot(&self, word: Word) -> Option<SlotIndex> {
        let (run, node) = match word.work() {
            Work::Task(index) => return Some(index),
            Work::Node { run, node } => (run, node),
        };
        let index = self.take_slot()?;
        let slot = self.scheduler.arena.slot(index);
        let frame = Frame::of(run);
        slot.label(Kind::Plain, frame, self.depth_below(frame));
        let carry = move |worker: &Worker<'_, S, P>| worker.run(Word::node(run, node));
        // SAFETY: 1. the slot was just taken. 2. it borrows nothing; the run does not end before the
        // node has. 3. two numbers fit.
        unsafe { slot.store::<Worker<'_, S, P>, _>(carry) };
        Some(index)
    }

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
}

impl<S: Storage, P: Platform + Unwind> Context for Worker<'_, S, P> {
    #[inline(always)]
    fn vacated(&self, index: SlotIndex) {
        self.give_slot(index);
    }
}

impl<S: Storage, P: Platform + Unwind> Drop for Worker<'_, S, P> {
    fn drop(&mut self) {
        // The seat's next worker finds its mail where this one found it.
        let arena = &self.scheduler.arena;
        if let Some(seat) = self.scheduler.seats.as_ref().get(self.id.index()) {
            while let Some(index) = self.next_mail() {
                seat.mailbox.post(arena, index);
            }
        }
        self.share_slots();
    }
}

impl<S: Storage, P: Platform + Unwind> fmt::Debug for Worker<'_, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id)
            .field("frame", &self.frames.current.get())
            .finish_non_exhaustive()
    }
}
