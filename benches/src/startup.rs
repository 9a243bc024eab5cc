//! `startup`: create a pool, have it run one task, drop it.
//!
//! With 1, 8 and 128 workers; the ratio line is of 128. The clock stops when the drop returns.
//! rayon and threadpool do not wait for their threads there; chili, tokio and Pinfold do. Between
//! runs, uncounted, the harness waits until such leftovers are gone.
//!
//! `bare threads` is the floor for those that wait: threads that park, are unparked and joined.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use crate::contest::{Contest, Metric};
use crate::fault::{Fault, expect_equal};
use crate::options::Options;
use crate::ours;
use crate::peers::{chili_pool, rayon_pool, tokio_runtime};
use crate::report::Report;
use crate::rounds::{Contender, Measurement, Role};
use crate::stats::{quantile, sorted};
use crate::threads::{others, settle};

const METRICS: &[Metric] = &[
    Metric {
        name: "1 worker",
        unit: "us",
    },
    Metric {
        name: "8 workers",
        unit: "us",
    },
    Metric {
        name: "128 workers",
        unit: "us",
    },
];

/// Workers of each metric, and of how many lives of a pool a run reads the median.
const LIVES: [(usize, usize); 3] = [(1, 9), (8, 5), (128, 1)];

/// What the one task returns.
const ANSWER: u64 = 42;

/// A contender from the whole life of a pool: given the workers, builds it, has it run the task it
/// is given, drops it, and returns what the task returned.
pub fn contender(
    name: &'static str,
    role: Role,
    live: impl Fn(usize, fn() -> u64) -> Result<u64, Fault> + 'static,
) -> Contender {
    Contender::new(name, role, move || {
        let mut readings = Vec::new();
        for (workers, times) in LIVES {
            let lives: Result<Vec<f64>, Fault> =
                (0..times).map(|_| time_us(name, &live, workers)).collect();
            readings.push(quantile(&sorted(&lives?), 0.5).unwrap_or(f64::NAN));
        }
        Ok(Measurement(readings))
    })
}

fn time_us(
    name: &'static str,
    live: &impl Fn(usize, fn() -> u64) -> Result<u64, Fault>,
    workers: usize,
) -> Result<f64, Fault> {
    let already = others().unwrap_or_default();
    let start = Instant::now();
    let answer = live(workers, || ANSWER)?;
    let elapsed_ns = start.elapsed().as_nanos();
    expect_equal(name, "the task's answer", ANSWER, answer)?;
    settle(already);
    Ok(elapsed_ns as f64 / 1000.0)
}

fn threadpool(workers: usize, task: fn() -> u64) -> Result<u64, Fault> {
    let pool = threadpool::ThreadPool::new(workers);
    let (answer, answered) = mpsc::channel();
    pool.execute(move || {
        // The receiver waits below.
        let _ = answer.send(task());
    });
    answered
        .recv()
        .map_err(|error| Fault::start("threadpool", error))
}

/// The task goes through `join`, chili's only way to run one; the caller may run it.
fn chili(workers: usize, task: fn() -> u64) -> Result<u64, Fault> {
    let pool = chili_pool(workers);
    let (answer, ()) = pool.scope().join(|_| task(), |_| ());
    Ok(answer)
}

fn rayon(workers: usize, task: fn() -> u64) -> Result<u64, Fault> {
    Ok(rayon_pool(workers)?.install(task))
}

fn tokio(workers: usize, task: fn() -> u64) -> Result<u64, Fault> {
    let runtime = tokio_runtime(workers)?;
    let answer = runtime.spawn(async move { task() });
    runtime
        .block_on(answer)
        .map_err(|error| Fault::start("tokio", error))
}

/// What any pool pays that waits for its threads; the task is called by this thread.
fn bare_threads(workers: usize, task: fn() -> u64) -> Result<u64, Fault> {
    let stop = Arc::new(AtomicBool::new(false));
    let start = |_| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                thread::park();
            }
        })
    };
    let threads: Vec<_> = (0..workers).map(start).collect();
    let answer = task();
    // Relaxed: `unpark` makes it visible to the thread that returns from `park`.
    stop.store(true, Ordering::Relaxed);
    for thread in &threads {
        thread.thread().unpark();
    }
    for thread in threads {
        // Its panic, if any, has been printed.
        let _ = thread.join();
    }
    Ok(answer)
}

/// All contenders.
pub fn contest() -> Contest {
    let mut contenders = vec![
        contender("bare threads", Role::Baseline, bare_threads),
        contender("threadpool", Role::Peer, threadpool),
        contender("chili", Role::Peer, chili),
        contender("rayon", Role::Peer, rayon),
        contender("tokio", Role::Peer, tokio),
    ];
    contenders.extend(ours::startup());
    Contest {
        title: "startup: create, run one task, drop".to_owned(),
        metrics: METRICS,
        contenders,
    }
}

/// Runs the workload.
pub fn run(options: &Options) -> Result<Report, Fault> {
    let outcome = contest().run_for(options, 15, 3)?;
    let mut report = Report::new("startup");
    report
        .show(&outcome)
        .remark("rayon and threadpool do not wait for their threads when dropped; the others do")
        .ratio_against("", "bare-threads", outcome.ratio_to("bare threads", 2, 0.0))
        .ratio("/1", outcome.ratio_to_best(0, 0.0))
        .ratio("/8", outcome.ratio_to_best(1, 0.0))
        .ratio("", outcome.ratio_to_best(2, 0.0));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_runs_the_task() {
        for live in [bare_threads, threadpool, chili, rayon, tokio] {
            assert_eq!(live(2, || 7).unwrap(), 7);
        }
    }

    #[test]
    fn a_pool_that_answers_for_the_task_is_caught() {
        let mut forger = contender("forger", Role::Peer, |_, _| Ok(0));
        assert!((forger.run)().is_err());
    }
}
