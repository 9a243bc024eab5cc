//! A task and the slot it lives in.
//!
//! A slot holds a closure of at most [`PAYLOAD_BYTES`] bytes, in place and type-erased, and, for a
//! task with a handle, its result in the same bytes afterwards. A queue holds a slot's index.
//!
//! | kind | in the slot | who runs it |
//! |---|---|---|
//! | plain | closure | who takes its index from the queue; nobody else knows it |
//! | claimable | closure, then result; `state` says which | who wins `state` (see `state.rs`) |
//! | graph run | closure, called once per graph node | any worker, many times, until the run is over |
//! | frame | nothing | a scope's place in the ancestry, see "Ancestry" |
//!
//! # Ancestry
//!
//! A worker that waits helps only with descendants of what it waits for. To tell, each slot names
//! the slot of the enclosing *frame* (a scope, a graph run, or a claimable task) and its depth.
//! As a frame outlives all that was started in it, a queued task's chain of frames is stable, and
//! may be read by a thief before it owns the task.
//!
//! # Unsafe
//!
//! This module and the stack job of `join` are where the core moves values through untyped memory.
//! All of it rests on one rule: **an index taken from a queue was put there once and is taken once**
//! (models `deque::*`, `injector::*`), so that its taker owns the slot.

mod state;

use core::fmt;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};
use core::task::Waker;

use crate::order;
use crate::platform::WorkerId;
use crate::sync::{AtomicU32, UnsafeCell, const_fn};

pub(crate) use state::{Entered, Life, Settled, State};

/// The largest closure or result that fits a slot, in bytes.
pub const PAYLOAD_BYTES: usize = 80;

/// The strictest alignment of a closure or result that fits a slot, in bytes.
pub const PAYLOAD_ALIGN: usize = 8;

/// Whether a `T` fits a slot.
pub const fn fits<T>() -> bool {
    size_of::<T>() <= PAYLOAD_BYTES && align_of::<T>() <= PAYLOAD_ALIGN
}

/// The index of a slot in its arena.
pub type SlotIndex = u32;

/// Names one task for as long as the program runs: a slot and the generation that lived in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId {
    pub(crate) index: SlotIndex,
    pub(crate) generation: usize,
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}.{}", self.index, self.generation)
    }
}

/// Whom to tell that a task has ended.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A worker of the same scheduler, parked.
    Worker(WorkerId),
    /// Anybody else.
    Waker(Waker),
}

/// The kinds of slot (see the module's page).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain = 0,
    Claimable = 1,
    Run = 2,
    Frame = 3,
}

/// A frame: the slot of a scope, run or claimable task that encloses others. [`Frame::NONE`] is
/// outside of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame(u32);

impl Frame {
    pub(crate) const NONE: Frame = Frame(0);

    #[inline(always)]
    pub(crate) fn of(index: SlotIndex) -> Frame {
        Frame(index + 1)
    }

    #[inline(always)]
    pub(crate) fn slot(self) -> Option<SlotIndex> {
        self.0.checked_sub(1)
    }
}

/// What a closure is given when it runs: in a scheduler, the worker.
pub(crate) trait Context {
    /// The plain closure that stood in slot `index` has been moved out: the slot is free.
    fn vacated(&self, index: SlotIndex);
}

/// How a slot's bytes are used; the context is type-erased.
struct Calls {
    /// Runs the closure; `argument` is the slot's own index, or for a run the graph node.
    ///
    /// # Safety
    ///
    /// 1. The caller owns the closure in the slot (for a run: shares it).
    /// 2. The context points to the context type for which the closure was stored.
    run: unsafe fn(&Slot, *const (), argument: u32),
    /// Drops the closure unrun.
    ///
    /// # Safety
    ///
    /// The caller owns the closure in the slot.
    discard: unsafe fn(&Slot),
    /// Drops the result.
    ///
    /// # Safety
    ///
    /// The caller owns the result in the slot.
    discard_result: unsafe fn(&Slot),
}

#[repr(C, align(8))]
struct Payload([MaybeUninit<u8>; PAYLOAD_BYTES]);

struct Body {
    calls: MaybeUninit<&'static Calls>,
    payload: Payload,
}

/// The fixed memory of one task.
///
/// All zero bytes are a valid, free slot.
#[repr(align(128))]
pub struct Slot {
    state: State,
    /// The next slot of a free list, plus one; the list's owner uses it.
    pub(crate) next: AtomicU32,
    frame: AtomicU32,
    /// `depth << 2 | kind`
    tag: AtomicU32,
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
    body: UnsafeCell<Body>,
}

// SAFETY: the state and the links are atomics. The cells are accessed by one party at a time: by
// who holds the index (free list, queue: each hands it to one taker), or, for a claimable task, by
// who owns closure, result or waiter according to `state`. Only `Send` closures and results are
// stored (bounds of `store*`).
unsafe impl Sync for Slot {}
// SAFETY: as above; a slot that is moved is not in use.
unsafe impl Send for Slot {}

const _: () = assert!(cfg!(pinfold_loom) || size_of::<Slot>() == 128);

impl Slot {
    const_fn! {
        /// A free slot.
        pub const fn new() -> Self {
            Slot {
                state: State::new(),
                next: AtomicU32::new(0),
                frame: AtomicU32::new(0),
                tag: AtomicU32::new(0),
                waiter: UnsafeCell::new(MaybeUninit::uninit()),
                body: UnsafeCell::new(Body {
                    calls: MaybeUninit::uninit(),
                    payload: Payload([MaybeUninit::uninit(); PAYLOAD_BYTES]),
                }),
            }
        }
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The frame that encloses this slot's task, and how deep it is.
    #[inline]
    pub(crate) fn frame(&self) -> (Frame, u32) {
        // Relaxed: written before the index was queued; a thief that looks before it owns the
        // index confirms by taking it (`Deque::steal_if`).
        let frame = self.frame.load(order!("task.frame.look", Relaxed));
        (
            Frame(frame),
            self.tag.load(order!("task.depth.look", Relaxed)) >> 2,
        )
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        // Relaxed: as in `frame`.
        match self.tag.load(order!("task.kind.look", Relaxed)) & 0b11 {
            0 => Kind::Plain,
            1 => Kind::Claimable,
            2 => Kind::Run,
            _ => Kind::Frame,
        }
    }

    /// Says what the slot is for. The caller owns the slot.
    #[inline]
    pub(crate) fn label(&self, kind: Kind, frame: Frame, depth: u32) {
        // Relaxed: published with the index.
        self.frame.store(frame.0, order!("task.frame.set", Relaxed));
        self.tag
            .store(depth << 2 | kind as u32, order!("task.tag.set", Relaxed));
    }

    /// Stores a plain task's closure.
    ///
    /// # Safety
    ///
    /// 1. The caller owns the slot, and nothing lives in its payload.
    /// 2. The closure is run or discarded before anything that it borrows ends.
    /// 3. [`fits::<F>()`](fits).
    #[inline(always)]
    pub(crate) unsafe fn store<C: Context, F: FnOnce(&C) + Send>(&self, closure: F) {
        debug_assert!(fits::<F>());
        self.body.with_mut(|body| {
            // SAFETY: duty 1: the slot is ours.
            unsafe { (*body).calls.write(&Plain::<C, F>::CALLS) };
            // SAFETY: duty 1, and the closure fits by duty 3.
            unsafe { (&raw mut (*body).payload).cast::<F>().write(closure) };
        });
    }

    /// Stores a claimable task's closure and arms its state.
    ///
    /// # Safety
    ///
    /// As for [`Slot::store`], with [`fits::<R>()`](fits) too; and the result is read or dropped
    /// before anything that it borrows ends.
    pub(crate) unsafe fn store_claimable<C, F, R>(&self, closure: F)
    where
        F: FnOnce(&C) -> R + Send,
        R: Send,
    {
        debug_assert!(fits::<F>() && fits::<R>());
        self.body.with_mut(|body| {
            // SAFETY: duty 1: the slot is ours.
            unsafe { (*body).calls.write(&Claimable::<C, F, R>::CALLS) };
            // SAFETY: duty 1, and the closure fits by duty 3.
            unsafe { (&raw mut (*body).payload).cast::<F>().write(closure) };
        });
        self.state.arm();
    }

    /// Stores a graph run's closure.
    ///
    /// # Safety
    ///
    /// As for [`Slot::store`], where "run" means the last of many calls.
    pub(crate) unsafe fn store_run<C, F: Fn(&C, u32) + Sync + Copy>(&self, closure: F) {
        debug_assert!(fits::<F>());
        self.body.with_mut(|body| {
            // SAFETY: duty 1: the slot is ours.
            unsafe { (*body).calls.write(&Many::<C, F>::CALLS) };
            // SAFETY: duty 1, and the closure fits by duty 3.
            unsafe { (&raw mut (*body).payload).cast::<F>().write(closure) };
        });
    }

    #[inline(always)]
    fn calls(&self) -> &'static Calls {
        // SAFETY: callers own or share a stored closure or result, so `calls` was written.
        self.body
            .with(|body| unsafe { (*body).calls.assume_init() })
    }

    /// Runs the stored closure. A plain closure is moved out first: when it starts, the slot is
    /// empty. A claimable one leaves its result.
    ///
    /// # Safety
    ///
    /// 1. The caller owns the closure (for a run: shares it); for a plain one `argument` is the
    ///    slot's own index.
    /// 2. `C` is the context type for which it was stored.
    #[inline(always)]
    pub(crate) unsafe fn run<C>(&self, context: &C, argument: u32) {
        // SAFETY: (1) and (2) are the callee's two duties.
        unsafe { (self.calls().run)(self, (&raw const *context).cast(), argument) }
    }

    /// Drops the stored closure unrun.
    ///
    /// # Safety
    ///
    /// The caller owns the closure.
    pub(crate) unsafe fn discard(&self) {
        // SAFETY: the caller's duty is the callee's.
        unsafe { (self.calls().discard)(self) }
    }

    /// Drops the stored result.
    ///
    /// # Safety
    ///
    /// The caller owns the result.
    pub(crate) unsafe fn discard_result(&self) {
        // SAFETY: the caller's duty is the callee's.
        unsafe { (self.calls().discard_result)(self) }
    }

    /// Moves the result, or a closure, out.
    ///
    /// # Safety
    ///
    /// The caller owns the value in the payload, and it is a `T`.
    pub(crate) unsafe fn read<T>(&self) -> T {
        // SAFETY: a `T` is there and the caller owns it.
        self.body
            .with_mut(|body| unsafe { (&raw const (*body).payload).cast::<T>().read() })
    }

    /// Writes a waiter.
    ///
    /// # Safety
    ///
    /// The caller is the handle, and `WAITER` is not set.
    pub(crate) unsafe fn write_waiter(&self, waiter: Waiter) {
        // SAFETY: without `WAITER` nobody but the handle touches the cell.
        self.waiter.with_mut(|cell| unsafe {
            (*cell).write(waiter);
        });
    }

    /// Moves the waiter out.
    ///
    /// # Safety
    ///
    /// A waiter was written, and the caller owns it: the handle after `unset_waiter` or a failed
    /// `set_waiter`, the finisher or canceller before `leave_waiter`.
    pub(crate) unsafe fn take_waiter(&self) -> Waiter {
        // SAFETY: the caller owns the waiter.
        self.waiter
            .with_mut(|cell| unsafe { (*cell).assume_init_read() })
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("kind", &self.kind())
            .field("frame", &self.frame())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The calls of a plain closure `F` in the context `C`.
struct Plain<C, F>(PhantomData<(C, F)>);

impl<C: Context, F: FnOnce(&C) + Send> Plain<C, F> {
    const CALLS: Calls = Calls {
        run: |slot, context, index| {
            // SAFETY: duty 1 of `run`: the closure is ours, and it is an `F`.
            let closure = unsafe { slot.read::<F>() };
            // SAFETY: duty 2 of `run`.
            let context = unsafe { &*context.cast::<C>() };
            context.vacated(index);
            closure(context);
        },
        // SAFETY: duty of `discard`: the closure is ours, and it is an `F`.
        discard: |slot| drop(unsafe { slot.read::<F>() }),
        discard_result: |_| {},
    };
}

/// The calls of a claimable closure `F` with the result `R`.
struct Claimable<C, F, R>(PhantomData<(C, F, R)>);

impl<C, F: FnOnce(&C) -> R + Send, R: Send> Claimable<C, F, R> {
    const CALLS: Calls = Calls {
        run: |slot, context, _| {
            // SAFETY: duty 1 of `run`: the closure is ours, and it is an `F`.
            let closure = unsafe { slot.read::<F>() };
            // SAFETY: duty 2 of `run`.
            let result = closure(unsafe { &*context.cast::<C>() });
            // SAFETY: the closure was moved out; the payload is ours until `finish`, and an `R` fits.
            slot.body
                .with_mut(|body| unsafe { (&raw mut (*body).payload).cast::<R>().write(result) });
        },
        // SAFETY: duty of `discard`: the closure is ours, and it is an `F`.
        discard: |slot| drop(unsafe { slot.read::<F>() }),
        // SAFETY: duty of `discard_result`: the result is ours, and it is an `R`.
        discard_result: |slot| drop(unsafe { slot.read::<R>() }),
    };
}

/// The calls of a run's closure `F`, called many times.
struct Many<C, F>(PhantomData<(C, F)>);

impl<C, F: Fn(&C, u32) + Sync + Copy> Many<C, F> {
    const CALLS: Calls = Calls {
        run: |slot, context, argument| {
            // SAFETY: duty 1 of `run`: the closure is there, is an `F`, and is `Copy`.
            let closure = slot
                .body
                .with(|body| unsafe { (&raw const (*body).payload).cast::<F>().read() });
            // SAFETY: duty 2 of `run`.
            closure(unsafe { &*context.cast::<C>() }, argument);
        },
        discard: |_| {},
        discard_result: |_| {},
    };
}
