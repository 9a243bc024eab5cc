//! Pinfold's contenders: the only module that knows Pinfold's interface.
//!
//! Each function returns no contender until the part of Pinfold that it measures exists; `versus`
//! then says `pinfold: absent` and prints no ratio.

use std::sync::Arc;
use std::time::Duration;

use crate::graph::{Reruns, Shape};
use crate::rounds::Contender;
use crate::tally::Tally;

/// For [`fork_join`](crate::fork_join): a [`ForkJoin`](crate::fork_join::ForkJoin).
pub fn fork_join(_workers: usize) -> Vec<Contender> {
    Vec::new()
}

/// For [`spawn`](crate::spawn): a [`flood`](crate::flood).
pub fn spawn(_workers: usize, _tasks: usize) -> Vec<Contender> {
    Vec::new()
}

/// For [`submit`](crate::submit): a [`flood`](crate::flood).
pub fn submit(_workers: usize, _tasks: usize) -> Vec<Contender> {
    Vec::new()
}

/// For [`deque`](crate::deque): a [`Deque`](crate::deque::Deque), its owner alone.
pub fn deque_alone(_pairs: usize) -> Vec<Contender> {
    Vec::new()
}

/// For [`deque`](crate::deque): a [`Deque`](crate::deque::Deque), its owner against a thief.
pub fn deque_robbed(_items: usize) -> Vec<Contender> {
    Vec::new()
}

/// For [`injector`](crate::injector): a [`Queue`](crate::injector::Queue), one thread.
pub fn injector_alone(_pairs: usize) -> Vec<Contender> {
    Vec::new()
}

/// For [`injector`](crate::injector): a [`Queue`](crate::injector::Queue), many threads.
pub fn injector_contended(_threads: usize, _pairs: usize) -> Vec<Contender> {
    Vec::new()
}

/// For [`graph`](crate::graph): a graph of the shape whose tasks mark the tally.
pub fn graph(
    _shape: &Arc<Shape>,
    _tally: &'static Tally,
    _workers: usize,
    _reruns: Reruns,
) -> Vec<Contender> {
    Vec::new()
}

/// For [`wake`](crate::wake).
pub fn wake(_workers: usize, _samples: usize) -> Vec<Contender> {
    Vec::new()
}

/// For [`idle`](crate::idle).
pub fn idle(_workers: usize, _span: Duration) -> Vec<Contender> {
    Vec::new()
}

/// For [`startup`](crate::startup): eager first, which the ratio is of, then lazy.
pub fn startup() -> Vec<Contender> {
    Vec::new()
}
