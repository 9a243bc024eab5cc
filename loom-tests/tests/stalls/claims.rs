//! What core claims of each operation, and how many steps that is.

/// A claim of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Done in a number of steps that nobody can raise.
    WaitFree,
    /// Done in a number of steps if nobody else takes one; somebody is always done.
    LockFree,
    /// No claim: it waits, or calls who does. Others are not to wait for it all the same.
    Unclaimed,
}

use Class::{LockFree, Unclaimed, WaitFree};

/// The limits of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Source file and function.
    pub operation: &'static str,
    /// What is claimed.
    pub class: Class,
    /// The most steps, under the claim.
    pub steps: usize,
    /// The most read-modify-writes among them.
    pub updates: usize,
}

const fn of(operation: &'static str, class: Class, steps: usize, updates: usize) -> Limit {
    Limit {
        operation,
        class,
        steps,
        updates,
    }
}

/// The limits, by operation. For what is wait-free: in any company, whatever others do at each of its steps;
/// else without others' steps in between. What is made of several operations has some steps to spare.
///
/// Stale loads count: a thread that has not seen the last change of a word tries once in vain. So a
/// read-modify-write that core's docs promise for the quiet case may be one more here; and the injector's
/// operations walk over a ring of four when a hint lags.
pub const LIMITS: &[Limit] = &[
    of("deque::push", WaitFree, 7, 0),
    of("deque::push_all", WaitFree, 11, 0),
    of("deque::pop", WaitFree, 6, 1),
    of("deque::peek", WaitFree, 3, 0),
    of("deque::is_full", WaitFree, 3, 0),
    of("deque::owner", WaitFree, 3, 1),
    of("deque::drop", Unclaimed, 1, 0),
    of("deque::steal", LockFree, 4, 1),
    of("deque::steal_if", LockFree, 4, 1),
    of("deque::steal_batch", LockFree, 15, 1),
    of("deque::len", Unclaimed, 2, 0),
    of("deque::fmt", Unclaimed, 2, 0),
    of("injector::push", LockFree, 14, 2),
    of("injector::pop", LockFree, 14, 2),
    of("injector::pop_if", LockFree, 7, 0),
    of("injector::len", Unclaimed, 12, 0),
    of("injector::is_empty", Unclaimed, 7, 0),
    of("injector::fmt", Unclaimed, 12, 0),
    of("arena::take", LockFree, 8, 2),
    of("arena::give", LockFree, 5, 1),
    of("arena::take_shared", LockFree, 7, 2),
    of("arena::give_shared", LockFree, 3, 1),
    of("arena::take_reserved", LockFree, 3, 2),
    of("arena::empty", Unclaimed, 5, 1),
    of("arena::high_water", Unclaimed, 1, 0),
    of("arena::fmt", Unclaimed, 1, 0),
    of("latch::add", WaitFree, 1, 1),
    of("latch::done", WaitFree, 1, 1),
    of("latch::is_done", WaitFree, 1, 0),
    of("latch::register", Unclaimed, 1, 1),
    of("latch::wait_with", Unclaimed, 4, 2),
    of("latch::fmt", Unclaimed, 1, 0),
    of("idle::wake", LockFree, 10, 4),
    of("idle::wake, nobody hungry", WaitFree, 2, 0),
    of("idle::wake_one", LockFree, 4, 2),
    of("idle::is_anyone_hungry", WaitFree, 1, 0),
    of("idle::enter_search", Unclaimed, 1, 1),
    of("idle::leave_search", Unclaimed, 8, 3),
    of("idle::enter_hunger", Unclaimed, 1, 1),
    of("idle::leave_hunger", Unclaimed, 1, 1),
    of("idle::asleep", Unclaimed, 1, 0),
    of("idle::sleep", Unclaimed, 11, 6),
    of("idle::wait", Unclaimed, 9, 3),
    of("handle::submit", LockFree, 40, 9),
    of("handle::reserve", LockFree, 20, 5),
    of("handle::task_id", WaitFree, 1, 0),
    of("handle::cancel", LockFree, 3, 2),
    of("handle::is_finished", WaitFree, 1, 0),
    of("handle::register", LockFree, 4, 1),
    of("handle::unregister", LockFree, 2, 1),
    of("handle::release", LockFree, 20, 6),
    of("handle::wait", Unclaimed, 30, 7),
    of("scheduler::spawn", LockFree, 30, 7),
    of("scheduler::spawn_reserved", LockFree, 34, 9),
    of("scheduler::close", LockFree, 4, 0),
    of("scheduler::starvation", Unclaimed, 3, 2),
    of("scheduler::drop_leftovers", Unclaimed, 20, 6),
    of("worker::spawn", LockFree, 30, 6),
    of("worker::run_one", Unclaimed, 120, 12),
    of("scope::spawn", LockFree, 30, 4),
    of("scope::scope", Unclaimed, 270, 23),
    of("scope::spawn_on", LockFree, 20, 5),
    of("join::join", Unclaimed, 60, 7),
    of("metrics::executed", Unclaimed, 1, 0),
    of("task::fmt", Unclaimed, 4, 0),
    of("worker::drop", Unclaimed, 1, 0),
    of("scope::broadcast", Unclaimed, 100, 14),
    of("graph::outcome", Unclaimed, 1, 0),
    of("graph::run_graph", Unclaimed, 160, 14),
    // What the controls claim.
    of("ring::push", LockFree, 5, 1),
    of("ring::pop", LockFree, 5, 1),
    of("spin::push", LockFree, 6, 1),
    of("blocking::push", LockFree, 2, 0),
    of("stack::push", LockFree, 3, 1),
    of("stack::pop", LockFree, 4, 1),
    of("stack::push, wait-free", WaitFree, 6, 2),
];

/// The limit of `operation`.
pub fn limit(operation: &str) -> &'static Limit {
    let limit = LIMITS.iter().find(|limit| limit.operation == operation);
    limit.unwrap_or_else(|| panic!("{operation} has no limit"))
}
