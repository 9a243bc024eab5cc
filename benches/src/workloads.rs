//! The workloads by name.

use std::fmt;

use crate::fault::Fault;
use crate::neighbours::Clocks;
use crate::options::Options;
use crate::report::Report;
use crate::{deque, fork_join, graph, idle, injector, spawn, startup, submit, wake};

/// Something that `versus` can be asked for.
#[derive(Clone, Copy)]
pub struct Workload {
    /// What to ask for.
    pub name: &'static str,
    /// What is measured, in a few words.
    pub summary: &'static str,
    /// Measures it, whatever else the machine does.
    run: fn(&Options) -> Result<Report, Fault>,
}

impl Workload {
    /// Measures it, and how busy others kept the machine meanwhile.
    pub fn measure(&self, options: &Options) -> Result<Report, Fault> {
        let before = Clocks::read();
        let mut report = (self.run)(options)?;
        let clocks = Clocks::read().zip(before);
        report.beside(clocks.and_then(|(after, before)| after.others_since(&before)));
        Ok(report)
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workload").field(&self.name).finish()
    }
}

/// All workloads, in the order of `versus all`.
pub const ALL: [Workload; 12] = [
    Workload {
        name: "fork-join",
        summary: "overhead of a join over the plain call",
        run: fork_join::run,
    },
    Workload {
        name: "spawn",
        summary: "tiny tasks spawned in a scope, per task",
        run: spawn::run,
    },
    Workload {
        name: "submit",
        summary: "tiny tasks from outside the pool, per task",
        run: submit::run,
    },
    Workload {
        name: "deque",
        summary: "a worker's queue: push and pop, alone and against a thief",
        run: deque::run,
    },
    Workload {
        name: "injector",
        summary: "a queue for all: push and pop by one thread",
        run: injector::run_alone,
    },
    Workload {
        name: "injector-contended",
        summary: "a queue for all: push and pop by 8 threads",
        run: injector::run_contended,
    },
    Workload {
        name: "graph-chain",
        summary: "re-run of 65536 tasks one after the other, per task",
        run: graph::run_chain,
    },
    Workload {
        name: "graph-tree",
        summary: "re-run of a binary tree of 131071 tasks, per task",
        run: graph::run_tree,
    },
    Workload {
        name: "graph-wavefront",
        summary: "re-run of a square of 256 x 256 tasks, per task",
        run: graph::run_wavefront,
    },
    Workload {
        name: "wake",
        summary: "from submitting to a parked pool to the task's start",
        run: wake::run,
    },
    Workload {
        name: "idle",
        summary: "wake-ups and processor time of 8 idle workers",
        run: idle::run,
    },
    Workload {
        name: "startup",
        summary: "create a pool, run one task, drop it",
        run: startup::run,
    },
];

/// No workload has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no workload \"{asked}\": the workloads are {}", names().join(", "))]
pub struct Unknown {
    /// The name asked for.
    pub asked: String,
}

/// The names of all workloads.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|workload| workload.name).collect()
}

/// The workload of that name, or all for `all`.
pub fn named(name: &str) -> Result<Vec<Workload>, Unknown> {
    if name == "all" {
        return Ok(ALL.to_vec());
    }
    let found = ALL.iter().find(|workload| workload.name == name);
    found.map(|&workload| vec![workload]).ok_or(Unknown {
        asked: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_workload() {
        for name in names() {
            assert_eq!(named(name).unwrap()[0].name, name);
        }
        assert_eq!(named("all").unwrap().len(), 12);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = named("teleport").unwrap_err().to_string();
        assert_eq!(
            message,
            "there is no workload \"teleport\": the workloads are fork-join, spawn, submit, deque, \
             injector, injector-contended, graph-chain, graph-tree, graph-wavefront, wake, idle, \
             startup"
        );
    }
}
