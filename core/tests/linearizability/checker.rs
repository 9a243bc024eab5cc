//! Whether there is an order of the calls, each at some moment between its beginning and its end, in
//! which a sequential structure would have given the same answers.
//!
//! The search of J. Wing and C. Gong, "Testing and verifying concurrent objects" (JPDC 1993), with the
//! memory of G. Lowe, "Testing for linearizability" (2017): what was tried once, the same calls done
//! and the same state reached, is not tried again.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

/// A structure as it behaves when one call follows the other.
pub(crate) trait Spec: Clone + Eq + Hash + fmt::Debug {
    /// A call with its answer.
    type Call: Copy + fmt::Debug;

    /// The states in which such a call, so answered, may leave the structure.
    fn after(&self, call: &Self::Call) -> Option<Self>;
}

/// A call and when it was made, on one clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed<C> {
    pub thread: usize,
    pub begun: u64,
    pub ended: u64,
    pub call: C,
}

/// What was seen of one structure.
#[derive(Clone, Debug)]
pub(crate) struct History<S: Spec> {
    pub initial: S,
    pub calls: Vec<Timed<S::Call>>,
}

impl<S: Spec> History<S> {
    /// Whether there is such an order.
    pub fn is_linearizable(&self) -> bool {
        assert!(self.calls.len() <= 64, "the calls done are one word");
        self.search(&self.initial, 0, &mut HashSet::new())
    }

    fn search(&self, state: &S, done: u64, tried: &mut HashSet<(u64, S)>) -> bool {
        let open = || (0..self.calls.len()).filter(|call| done & (1 << call) == 0);
        // Whatever begins after another has ended comes after it.
        let Some(first_end) = open().map(|call| self.calls[call].ended).min() else {
            return true;
        };
        open()
            .filter(|&call| self.calls[call].begun < first_end)
            .any(|call| {
                let (done, next) = (done | 1 << call, state.after(&self.calls[call].call));
                next.is_some_and(|next| {
                    tried.insert((done, next.clone())) && self.search(&next, done, tried)
                })
            })
    }

    /// How many pairs of calls of two threads overlapped.
    pub fn overlaps(&self) -> usize {
        let overlap = |one: &Timed<_>, other: &Timed<_>| {
            one.thread < other.thread && one.begun < other.ended && other.begun < one.ended
        };
        let of = |one| self.calls.iter().filter(move |other| overlap(one, other));
        self.calls.iter().map(|one| of(one).count()).sum()
    }
}

impl<S: Spec> fmt::Display for History<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from {:?}:", self.initial)?;
        let mut calls = self.calls.clone();
        calls.sort_by_key(|call| call.begun);
        for call in calls {
            let (begun, ended) = (call.begun, call.ended);
            writeln!(
                f,
                "  thread {} {begun:>3}..{ended:<3} {:?}",
                call.thread, call.call
            )?;
        }
        Ok(())
    }
}
