//! `spawn`: tiny tasks spawned by one task into a scope, until all ran.
//!
//! The spawner runs inside a worker. Time per task, entering the pool and closing the scope
//! included.
//!
//! The peers' queues grow without bound. Pinfold's pool has 4096 slots, and its spawner runs a task
//! itself while all are in use. A row with a slot per task shows the same pool with room for all;
//! even there a worker's own queue holds 4096, and its spawner runs what does not fit.

use tokio::task::JoinSet;

use crate::contest::{Contest, Metric};
use crate::fault::Fault;
use crate::flood;
use crate::options::Options;
use crate::ours;
use crate::peers::{rayon_pool, tokio_runtime};
use crate::report::Report;
use crate::rounds::Role;
use crate::tally::Tally;

const METRICS: &[Metric] = &[Metric {
    name: "per task",
    unit: "ns",
}];

/// All contenders on `workers` workers.
pub fn contest(workers: usize, tasks: usize) -> Contest {
    let mut contenders = vec![
        flood::contender(
            "rayon scope",
            Role::Peer,
            tasks,
            move || rayon_pool(workers),
            rayon_scope,
        ),
        flood::contender(
            "tokio JoinSet",
            Role::Peer,
            tasks,
            move || tokio_runtime(workers),
            tokio_join_set,
        ),
        flood::contender(
            "tokio spawn, handles",
            Role::Peer,
            tasks,
            move || tokio_runtime(workers),
            tokio_handles,
        ),
    ];
    contenders.extend(ours::spawn(workers, tasks));
    Contest {
        title: format!("spawn, {tasks} tasks, {workers} workers"),
        metrics: METRICS,
        contenders,
    }
}

fn rayon_scope(pool: &rayon::ThreadPool, tally: &'static Tally) {
    pool.scope(|scope| {
        for index in 0..tally.len() {
            scope.spawn(move |_| tally.mark(index));
        }
    });
}

fn tokio_join_set(runtime: &tokio::runtime::Runtime, tally: &'static Tally) {
    let spawner = async move {
        let mut set = JoinSet::new();
        for index in 0..tally.len() {
            set.spawn(async move { tally.mark(index) });
        }
        while set.join_next().await.is_some() {}
    };
    enter(runtime, spawner);
}

fn tokio_handles(runtime: &tokio::runtime::Runtime, tally: &'static Tally) {
    let spawner = async move {
        let spawn = |index| tokio::spawn(async move { tally.mark(index) });
        let handles: Vec<_> = (0..tally.len()).map(spawn).collect();
        for handle in handles {
            // A task that panicked leaves no mark, which the tally reports.
            let _ = handle.await;
        }
    };
    enter(runtime, spawner);
}

/// Runs `spawner` on a worker, not on the thread that waits for it.
fn enter(runtime: &tokio::runtime::Runtime, spawner: impl Future<Output = ()> + Send + 'static) {
    // A spawner that panicked leaves tasks without marks, which the tally reports.
    let _ = runtime.block_on(runtime.spawn(spawner));
}

/// Runs the workload.
pub fn run(options: &Options) -> Result<Report, Fault> {
    let contest = contest(options.workers_or(2), options.pick(200_000, 50_000));
    let outcome = contest.run_for(options, 15, 3)?;
    let mut report = Report::new("spawn");
    report
        .show(&outcome)
        .ratio_against("", "rayon", outcome.ratio_to("rayon scope", 0, 0.0))
        .ratio("", outcome.ratio_to_best(0, 0.0));
    Ok(report)
}
