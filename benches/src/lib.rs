//! Pinfold and its peers, measured side by side.
//!
//! A [`Workload`](workloads::Workload) is what `versus` is asked for by name. It holds one or more
//! [`Contest`](contest::Contest)s; a contest lets each [`Contender`](rounds::Contender) run the
//! same work once a round, in a new order each round, and compares medians. Every run proves that
//! it did the work ([`tally`], or sums of what went through); one that did not is a
//! [`Fault`](fault::Fault), never a figure.
//!
//! Each run of a contender builds its pool, warms it, measures, and drops it, so that no
//! contender's threads or timers run while another is measured.
//!
//! All knowledge of Pinfold's own interface is in [`ours`]; a workload's file knows the peers,
//! whose pools come from [`peers`].
//!
//! | file | question |
//! |---|---|
//! | [`workloads`] | which workloads are there? |
//! | [`fork_join`], [`flood`] ([`spawn`], [`submit`]), [`deque`], [`injector`], [`graph`], [`wake`], [`idle`], [`startup`] | what is measured, and how do the peers do it? |
//! | [`rounds`], [`contest`], [`stats`] | how are runs interleaved and summed up? |
//! | [`table`], [`report`] | how is it printed? |
//! | [`threads`], [`neighbours`] | what did the kernel count, of us and of others? |

pub mod contest;
pub mod deque;
pub mod fault;
pub mod flood;
pub mod fork_join;
pub mod graph;
pub mod idle;
pub mod injector;
pub mod neighbours;
pub mod options;
pub mod ours;
pub mod peers;
pub mod report;
pub mod rounds;
pub mod spawn;
pub mod startup;
pub mod stats;
pub mod submit;
pub mod table;
pub mod tally;
pub mod threads;
pub mod wake;
pub mod workloads;
