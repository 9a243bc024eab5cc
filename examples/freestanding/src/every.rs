//! Every public function of `pinfold_core`, each compiled on its own.
//!
//! A function whose address is taken is compiled for whatever arguments may come. So that this program links
//! shows for each of them, not only for the calls in `run.rs`, that no panic is reachable. Storage comes in
//! two forms: arrays, whose lengths the compiler knows, and borrowed slices, whose lengths it does not.
//!
//! The Cortex-M4 of `examples/boards` contains this file as well. A test (`core/tests/links.rs`) compares it with
//! the source of the core.

use core::hint::black_box;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;
use core::task::Waker;

use pinfold_core::arena::{Arena, Exhausted, Magazine};
use pinfold_core::deque::{self, BadCapacity, Deque, Full, Owner, Steal};
use pinfold_core::graph::{Node, NodeIndex, Outcome, Plan, PlanError, Run, RunError};
use pinfold_core::handle::{Ended, Reservation, ReserveError, Ticket};
use pinfold_core::idle::{self, IdleSet, Slept};
use pinfold_core::injector::{Entry, Injector, Rejected};
use pinfold_core::latch::CountLatch;
use pinfold_core::metrics::Counters;
use pinfold_core::platform::WorkerId;
use pinfold_core::scheduler::{
    Figures, Fixed, Parts, Scheduler, Seat, SpawnError, Storage, StorageError,
};
use pinfold_core::scope::Scope;
use pinfold_core::storage::Stable;
use pinfold_core::sync::{self, CachePadded, Ghost, UnsafeCell};
use pinfold_core::task::{self, SlotIndex, TaskId, fits};
use pinfold_core::worker::Worker;

use crate::machine::{self, Machine};

/// Storage in borrowed slices, as from a boot loader.
#[derive(Debug)]
pub struct Borrowed<'a>(PhantomData<&'a ()>);

impl<'a> Storage for Borrowed<'a> {
    type Slots = &'a [task::Slot];
    type Entries = &'a [Entry];
    type DequeSlots = &'a [deque::Slot];
    type Seats = &'a [Seat<&'a [deque::Slot]>];
    type Words = &'a [idle::Word];
}

/// Storage in arrays.
pub type Arrays = Fixed<{ machine::WORKERS }, 256, 64>;

/// Compiles each function as one of the type after it.
macro_rules! keep {
    ($($function:expr => $type:ty;)*) => {
        $(black_box::<$type>($function);)*
    };
}

/// All of them.
pub fn keep_every_function() {
    constructors();
    plain();
    queues::<[deque::Slot; 64], [Entry; 256]>();
    queues::<&'static [deque::Slot], &'static [Entry]>();
    pools::<[task::Slot; 256], [idle::Word; 1]>();
    pools::<&'static [task::Slot], &'static [idle::Word]>();
    graphs::<[u32; 16], [Node; 16]>();
    graphs::<&'static mut [u32], &'static mut [Node]>();
    schedulers::<Arrays>();
    schedulers::<Borrowed<'static>>();
    handles::<Arrays>();
    handles::<Borrowed<'static>>();
    workers::<Arrays>();
    workers::<Borrowed<'static>>();
    scopes::<Arrays>();
    scopes::<Borrowed<'static>>();
}

fn constructors() {
    keep! {
        task::Slot::new => fn() -> task::Slot;
        deque::Slot::new => fn() -> deque::Slot;
        Entry::new => fn() -> Entry;
        idle::Word::new => fn() -> idle::Word;
        Node::new => fn() -> Node;
        Arena::<[task::Slot; 256]>::fixed => fn() -> Arena<[task::Slot; 256]>;
        Deque::<[deque::Slot; 64]>::fixed => fn() -> Deque<[deque::Slot; 64]>;
        Injector::<[Entry; 256]>::fixed => fn() -> Injector<[Entry; 256]>;
        IdleSet::<[idle::Word; 1]>::fixed => fn() -> IdleSet<[idle::Word; 1]>;
        Run::<[Node; 16]>::fixed => fn() -> Run<[Node; 16]>;
        Seat::<[deque::Slot; 64]>::fixed => fn() -> Seat<[deque::Slot; 64]>;
        Scheduler::<Arrays, Machine>::fixed => fn(Machine) -> Scheduler<Arrays, Machine>;
    }
}

/// What is generic over nothing, or over values only.
fn plain() {
    keep! {
        CountLatch::new => fn(usize) -> CountLatch;
        CountLatch::add => fn(&CountLatch, usize);
        CountLatch::done => fn(&CountLatch, usize) -> Option<WorkerId>;
        CountLatch::is_done => fn(&CountLatch) -> bool;
        CountLatch::register => fn(&CountLatch, WorkerId);
        CountLatch::wait_with => fn(&CountLatch, WorkerId, fn());
        Counters::new => fn() -> Counters;
        Magazine::new => fn(usize) -> Magazine;
        Counters::executed => fn(&Counters) -> u64;
        Counters::injected => fn(&Counters) -> u64;
        Counters::steals => fn(&Counters) -> u64;
        Counters::sleeps => fn(&Counters) -> u64;
        Counters::promotions => fn(&Counters) -> u64;
        WorkerId::new => fn(usize) -> Option<WorkerId>;
        WorkerId::index => fn(WorkerId) -> usize;
        SpawnError::<fn()>::into_inner => fn(SpawnError<fn()>) -> fn();
        fits::<u64> => fn() -> bool;
        sync::spin_hint => fn();
        // Of which orderings a fence is made is the core library's to say; no access of the core asks for
        // one at run time.
        || sync::fence(Ordering::SeqCst) => fn();
        CachePadded::<u64>::new => fn(u64) -> CachePadded<u64>;
        Ghost::new => fn() -> Ghost;
        Ghost::mark_read => fn(&Ghost, u32);
        Ghost::assert_read => fn(&Ghost, u32);
        UnsafeCell::<u64>::new => fn(u64) -> UnsafeCell<u64>;
        UnsafeCell::<u64>::with => fn(&UnsafeCell<u64>, fn(*const u64) -> u64) -> u64;
        UnsafeCell::<u64>::with_mut => fn(&UnsafeCell<u64>, fn(*mut u64) -> u64) -> u64;
    }
}

fn queues<D: AsRef<[deque::Slot]> + 'static, E: AsRef<[Entry]> + 'static>() {
    keep! {
        Deque::<D>::with_storage => fn(D) -> Result<Deque<D>, BadCapacity>;
        Deque::<D>::owner => fn(&Deque<D>) -> Option<Owner<'_, D>>;
        Deque::<D>::steal => fn(&Deque<D>) -> Steal;
        Deque::<D>::steal_if => fn(&Deque<D>, fn(usize) -> bool) -> Steal;
        Deque::<D>::steal_batch::<D> => fn(&Deque<D>, &Owner<'_, D>) -> Steal;
        Deque::<D>::len => fn(&Deque<D>) -> usize;
        Deque::<D>::is_empty => fn(&Deque<D>) -> bool;
        Deque::<D>::capacity => fn(&Deque<D>) -> usize;
        Owner::<'static, D>::push => fn(&Owner<'static, D>, usize) -> Result<(), Full>;
        Owner::<'static, D>::push_all
            => fn(&Owner<'static, D>, &mut core::ops::Range<usize>) -> usize;
        Owner::<'static, D>::pop => fn(&Owner<'static, D>) -> Option<usize>;
        Owner::<'static, D>::is_full => fn(&Owner<'static, D>) -> bool;
        Owner::<'static, D>::peek => fn(&Owner<'static, D>) -> Option<usize>;
        Owner::<'static, D>::deque => fn(&Owner<'static, D>) -> &'static Deque<D>;
        drop::<Owner<'static, D>> => fn(Owner<'static, D>);
        Injector::<E>::with_storage => fn(E) -> Result<Injector<E>, BadCapacity>;
        Injector::<E>::push => fn(&Injector<E>, u32) -> Result<(), Rejected>;
        Injector::<E>::pop => fn(&Injector<E>) -> Option<u32>;
        Injector::<E>::pop_if => fn(&Injector<E>, fn(u32) -> bool) -> Option<u32>;
        Injector::<E>::len => fn(&Injector<E>) -> usize;
        Injector::<E>::is_empty => fn(&Injector<E>) -> bool;
        Injector::<E>::capacity => fn(&Injector<E>) -> usize;
    }
}

fn pools<A: AsRef<[task::Slot]> + 'static, W: AsRef<[idle::Word]> + 'static>() {
    keep! {
        Arena::<A>::with_storage => fn(A) -> Arena<A>;
        Arena::<A>::with_reserve => fn(A, usize) -> Arena<A>;
        Arena::<A>::take_reserved => fn(&Arena<A>) -> Option<SlotIndex>;
        Arena::<A>::capacity => fn(&Arena<A>) -> usize;
        Arena::<A>::high_water => fn(&Arena<A>) -> usize;
        Arena::<A>::exhausted => fn(&Arena<A>) -> Exhausted;
        Arena::<A>::slot => fn(&Arena<A>, SlotIndex) -> &task::Slot;
        Arena::<A>::take => fn(&Arena<A>, &Magazine) -> Option<SlotIndex>;
        Arena::<A>::give => fn(&Arena<A>, &Magazine, SlotIndex);
        Arena::<A>::empty => fn(&Arena<A>, &Magazine);
        Arena::<A>::take_shared => fn(&Arena<A>) -> Option<SlotIndex>;
        Arena::<A>::give_shared => fn(&Arena<A>, SlotIndex);
        IdleSet::<W>::with_storage => fn(W) -> IdleSet<W>;
        IdleSet::<W>::capacity => fn(&IdleSet<W>) -> usize;
        IdleSet::<W>::enter_search => fn(&IdleSet<W>);
        IdleSet::<W>::leave_search => fn(&IdleSet<W>, &Machine, &[WorkerId], fn() -> bool);
        IdleSet::<W>::sleep::<u64>
            => fn(&IdleSet<W>, &Machine, WorkerId, fn() -> Option<u64>) -> Slept<u64>;
        IdleSet::<W>::wait::<u64>
            => fn(&IdleSet<W>, &Machine, WorkerId, fn() -> Option<u64>) -> Option<u64>;
        IdleSet::<W>::wake => fn(&IdleSet<W>, &Machine, usize, &[WorkerId]) -> usize;
        IdleSet::<W>::wake_one => fn(&IdleSet<W>, &Machine, WorkerId);
        IdleSet::<W>::is_anyone_hungry => fn(&IdleSet<W>) -> bool;
        IdleSet::<W>::enter_hunger => fn(&IdleSet<W>);
        IdleSet::<W>::leave_hunger => fn(&IdleSet<W>);
        IdleSet::<W>::asleep => fn(&IdleSet<W>) -> usize;
    }
}

fn graphs<G: Stable<u32> + AsMut<[u32]> + 'static, N: Stable<Node> + AsMut<[Node]> + 'static>() {
    keep! {
        Plan::<G>::new => fn(G, G, G, G, &mut [u32]) -> Result<Plan<G>, PlanError>;
        Plan::<G>::nodes => fn(&Plan<G>) -> usize;
        Plan::<G>::successors => fn(&Plan<G>, NodeIndex) -> &[NodeIndex];
        Plan::<G>::roots => fn(&Plan<G>) -> &[NodeIndex];
        Plan::<G>::sinks => fn(&Plan<G>) -> usize;
        Plan::<G>::in_degree => fn(&Plan<G>, NodeIndex) -> u32;
        Run::<N>::with_storage => fn(N) -> Run<N>;
        Run::<N>::nodes => fn(&Run<N>) -> usize;
        Run::<N>::outcome => fn(&Run<N>, NodeIndex) -> Option<Outcome>;
        Run::<N>::stop => fn(&Run<N>);
        Run::<N>::is_stopped => fn(&Run<N>) -> bool;
    }
}

type DequeSlots<S> = <S as Storage>::DequeSlots;

/// A task of the scheduler in `S`, with the result `R`.
type Task<S, R> = fn(&Worker<'_, S, Machine>) -> R;

fn schedulers<S: Storage + 'static>() {
    keep! {
        Seat::<DequeSlots<S>>::with_storage => fn(DequeSlots<S>) -> Result<Seat<DequeSlots<S>>, BadCapacity>;
        Scheduler::<S, Machine>::with_storage
            => unsafe fn(Parts<S>, Machine) -> Result<Scheduler<S, Machine>, StorageError>;
        Scheduler::<S, Machine>::workers => fn(&Scheduler<S, Machine>) -> usize;
        Scheduler::<S, Machine>::platform => fn(&Scheduler<S, Machine>) -> &Machine;
        Scheduler::<S, Machine>::figures => fn(&Scheduler<S, Machine>) -> Figures;
        Scheduler::<S, Machine>::counters => fn(&Scheduler<S, Machine>, WorkerId) -> Option<&Counters>;
        Scheduler::<S, Machine>::worker
            => for<'s> fn(&'s Scheduler<S, Machine>, WorkerId, &'s [WorkerId]) -> Option<Worker<'s, S, Machine>>;
        Scheduler::<S, Machine>::spawn::<Task<S, ()>>
            => fn(&Scheduler<S, Machine>, Task<S, ()>) -> Result<(), SpawnError<Task<S, ()>>>;
        Scheduler::<S, Machine>::spawn_unchecked::<Task<S, ()>>
            => unsafe fn(&Scheduler<S, Machine>, Task<S, ()>) -> Result<(), SpawnError<Task<S, ()>>>;
        Scheduler::<S, Machine>::spawn_reserved::<Task<S, ()>>
            => unsafe fn(&Scheduler<S, Machine>, Task<S, ()>) -> Result<(), SpawnError<Task<S, ()>>>;
        Scheduler::<S, Machine>::close => fn(&Scheduler<S, Machine>);
        Scheduler::<S, Machine>::is_closed => fn(&Scheduler<S, Machine>) -> bool;
        Scheduler::<S, Machine>::enter_starvation => fn(&Scheduler<S, Machine>);
        Scheduler::<S, Machine>::leave_starvation => fn(&Scheduler<S, Machine>);
        Scheduler::<S, Machine>::starving => fn(&Scheduler<S, Machine>) -> bool;
        Scheduler::<S, Machine>::drop_leftovers => fn(&Scheduler<S, Machine>) -> usize;
    }
}

fn handles<S: Storage + 'static>() {
    keep! {
        Scheduler::<S, Machine>::submit::<Task<S, u64>, u64>
            => fn(&Scheduler<S, Machine>, Task<S, u64>) -> Result<Ticket<u64>, SpawnError<Task<S, u64>>>;
        Scheduler::<S, Machine>::reserve
            => fn(&Scheduler<S, Machine>) -> Result<Reservation<'_, S, Machine>, ReserveError>;
        Reservation::<'static, S, Machine>::submit::<Task<S, u64>, u64>
            => fn(Reservation<'static, S, Machine>, Task<S, u64>) -> Result<Ticket<u64>, Task<S, u64>>;
        drop::<Reservation<'static, S, Machine>> => fn(Reservation<'static, S, Machine>);
        Scheduler::<S, Machine>::task_id::<u64> => fn(&Scheduler<S, Machine>, &Ticket<u64>) -> TaskId;
        Scheduler::<S, Machine>::cancel => fn(&Scheduler<S, Machine>, TaskId) -> bool;
        Scheduler::<S, Machine>::is_finished::<u64>
            => unsafe fn(&Scheduler<S, Machine>, &Ticket<u64>) -> bool;
        Scheduler::<S, Machine>::register::<u64>
            => unsafe fn(&Scheduler<S, Machine>, &mut Ticket<u64>, &Waker) -> bool;
        Scheduler::<S, Machine>::unregister::<u64>
            => unsafe fn(&Scheduler<S, Machine>, &mut Ticket<u64>);
        Scheduler::<S, Machine>::release::<u64>
            => unsafe fn(&Scheduler<S, Machine>, Ticket<u64>) -> Option<Ended<u64>>;
        Worker::<'static, S, Machine>::wait::<u64>
            => unsafe fn(&Worker<'static, S, Machine>, &mut Ticket<u64>);
    }
}

fn workers<S: Storage + 'static>() {
    type W<S> = Worker<'static, S, Machine>;
    keep! {
        Worker::<'static, S, Machine>::id => fn(&W<S>) -> WorkerId;
        Worker::<'static, S, Machine>::scheduler => fn(&W<S>) -> &'static Scheduler<S, Machine>;
        Worker::<'static, S, Machine>::run_until_closed => fn(&W<S>);
        Worker::<'static, S, Machine>::run_one => fn(&W<S>) -> bool;
        Worker::<'static, S, Machine>::run_injected => fn(&W<S>) -> bool;
        Worker::<'static, S, Machine>::guard::<fn(&W<S>)> => fn(&W<S>, fn(&W<S>));
        Worker::<'static, S, Machine>::spawn::<Task<S, ()>> => fn(&W<S>, Task<S, ()>) -> Result<(), SpawnError<Task<S, ()>>>;
        Worker::<'static, S, Machine>::join::<fn(&W<S>) -> u64, Task<S, u64>, u64, u64>
            => fn(&W<S>, fn(&W<S>) -> u64, Task<S, u64>) -> (u64, u64);
        drop::<W<S>> => fn(W<S>);
    }
}

/// A task of a scope.
type Part<S> = for<'x> fn(&Scope<'static, S, Machine>, &Worker<'x, S, Machine>);

/// A node of a graph with borrowed storage.
type Body<S> = for<'x> fn(&Worker<'x, S, Machine>, &Run<&'static mut [Node]>, NodeIndex) -> Outcome;

fn scopes<S: Storage + 'static>() {
    type W<S> = Worker<'static, S, Machine>;
    type Sc<S> = Scope<'static, S, Machine>;
    keep! {
        |worker, body| Worker::<'static, S, Machine>::scope(worker, body) => fn(&W<S>, fn(&Sc<S>) -> u64) -> u64;
        Worker::<'static, S, Machine>::broadcast::<Task<S, ()>> => fn(&W<S>, usize, &Task<S, ()>) -> Result<(), Exhausted>;
        |scope, worker, task| Scope::<S, Machine>::spawn(scope, worker, task)
            => fn(&Sc<S>, &W<S>, Part<S>) -> Result<(), SpawnError<Part<S>>>;
        |scope, worker, target, task| Scope::<S, Machine>::spawn_on(scope, worker, target, task)
            => fn(&Sc<S>, &W<S>, WorkerId, Part<S>) -> Result<(), SpawnError<Part<S>>>;
        |scope, task| Scope::<S, Machine>::call_here(scope, task) => fn(&Sc<S>, fn(&Sc<S>));
        Worker::<'static, S, Machine>::run_graph::<&'static [u32], &'static mut [Node], Body<S>>
            => fn(&W<S>, &Plan<&'static [u32]>, &mut Run<&'static mut [Node]>, &Body<S>) -> Result<(), RunError>;
    }
}
