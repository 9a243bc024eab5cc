//! `submit`: tiny fire-and-forget tasks from outside the pool, until all ran.
//!
//! One submitter, which is no worker and sleeps once it has submitted all. The peers' queues grow
//! without bound; Pinfold's pool has 4096 slots, and its submitter waits while all are in use, except
//! where a row says that there is a slot per task. (Taskflow, a peer in C++, is measured elsewhere.)

use rayon::ThreadPool as Rayon;
use threadpool::ThreadPool;
use tokio::runtime::Runtime;

use crate::contest::{Contest, Metric};
use crate::fault::Fault;
use crate::flood;
use crate::options::Options;
use crate::ours;
use crate::peers::{Executors, rayon_pool, tokio_runtime};
use crate::report::Report;
use crate::rounds::Role::Peer;
use crate::tally::Tally;

const METRICS: &[Metric] = &[Metric {
    name: "per task",
    unit: "ns",
}];

/// All contenders on `workers` workers.
pub fn contest(workers: usize, tasks: usize) -> Contest {
    let threadpool = move || Ok(ThreadPool::new(workers));
    let rayon = move || rayon_pool(workers);
    let executors = move || Ok(Executors::start(workers));
    let tokio = move || tokio_runtime(workers);
    let mut contenders = vec![
        flood::contender("threadpool", Peer, tasks, threadpool, threadpool_execute),
        flood::contender("rayon spawn", Peer, tasks, rayon, rayon_spawn),
        flood::contender("async-executor", Peer, tasks, executors, executor_spawn),
        flood::contender("tokio spawn", Peer, tasks, tokio, tokio_spawn),
    ];
    contenders.extend(ours::submit(workers, tasks));
    Contest {
        title: format!("submit, {tasks} tasks, {workers} workers"),
        metrics: METRICS,
        contenders,
    }
}

fn threadpool_execute(pool: &ThreadPool, tally: &'static Tally) {
    for index in 0..tally.len() {
        pool.execute(move || tally.mark(index));
    }
    tally.wait();
}

fn rayon_spawn(pool: &Rayon, tally: &'static Tally) {
    for index in 0..tally.len() {
        pool.spawn(move || tally.mark(index));
    }
    tally.wait();
}

fn executor_spawn(pool: &Executors, tally: &'static Tally) {
    for index in 0..tally.len() {
        pool.executor
            .spawn(async move { tally.mark(index) })
            .detach();
    }
    tally.wait();
}

fn tokio_spawn(runtime: &Runtime, tally: &'static Tally) {
    for index in 0..tally.len() {
        // Dropping the handle detaches the task.
        drop(runtime.spawn(async move { tally.mark(index) }));
    }
    tally.wait();
}

/// Runs the workload.
pub fn run(options: &Options) -> Result<Report, Fault> {
    let contest = contest(options.workers_or(2), options.pick(200_000, 50_000));
    let outcome = contest.run_for(options, 15, 3)?;
    let mut report = Report::new("submit");
    report
        .show(&outcome)
        .ratio("", outcome.ratio_to_best(0, 0.0));
    Ok(report)
}
