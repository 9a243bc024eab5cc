//! `idle`: what a pool of 8 workers costs while there is nothing to do.
//!
//! Each worker runs a task first and has time to fall asleep. Then, for 2 s, the kernel's counters
//! of all threads but the measuring one: how often they were woken (each wake ends in another
//! wait, which the kernel counts), and their time on a processor.
//!
//! `parked threads` is the floor: 8 bare threads, parked. The ratio line is of wake-ups, where
//! zero is common: it reads 0.00 if only Pinfold has none, 1.00 if neither Pinfold nor the best
//! peer has any, and `inf` if only the best peer has none.

use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::contest::{Contest, Metric};
use crate::fault::Fault;
use crate::options::Options;
use crate::ours;
use crate::peers::{rayon_pool, tokio_runtime};
use crate::report::Report;
use crate::rounds::{Contender, Measurement, Role};
use crate::threads::{Others, others, settle};

const METRICS: &[Metric] = &[
    Metric {
        name: "wake-ups",
        unit: "per second",
    },
    Metric {
        name: "time on processors",
        unit: "us per second",
    },
];

/// How long a pool may take to fall asleep.
const SETTLING: Duration = Duration::from_millis(100);

/// A contender from a way to build a pool and to have each of its `workers` workers run one task,
/// all at the same time (so that none is left out), and wait for them.
pub fn contender<P: 'static>(
    name: &'static str,
    role: Role,
    span: Duration,
    build: impl Fn() -> Result<P, Fault> + 'static,
    rouse: impl Fn(&P) + 'static,
) -> Contender {
    Contender::new(name, role, move || {
        let already = others().unwrap_or_default();
        let pool = build()?;
        rouse(&pool);
        thread::sleep(SETTLING);
        let before = Others::read()?;
        thread::sleep(span);
        let seen = Others::read()?.since(&before);
        drop(pool);
        settle(already);
        let seconds = span.as_secs_f64();
        let cpu_us = seen.cpu_ns as f64 / 1000.0;
        Ok(Measurement(vec![
            seen.waits as f64 / seconds,
            cpu_us / seconds,
        ]))
    })
}

/// Bare threads that are parked until dropped.
struct Parked(Vec<JoinHandle<()>>, Arc<()>);

impl Parked {
    fn start(threads: usize) -> Parked {
        let alive = Arc::new(());
        let park = |alive: &Arc<()>| {
            let alive = Arc::downgrade(alive);
            thread::spawn(move || {
                while alive.strong_count() > 0 {
                    thread::park();
                }
            })
        };
        Parked((0..threads).map(|_| park(&alive)).collect(), alive)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.1 = Arc::new(());
        for thread in self.0.drain(..) {
            thread.thread().unpark();
            // Its panic, if any, has been printed.
            let _ = thread.join();
        }
    }
}

fn rouse_rayon(pool: &rayon::ThreadPool) {
    pool.broadcast(|_| ());
}

fn rouse_tokio(runtime: &tokio::runtime::Runtime) {
    let workers = runtime.metrics().num_workers();
    let meet = Arc::new(Barrier::new(workers + 1));
    for _ in 0..workers {
        let meet = Arc::clone(&meet);
        drop(runtime.spawn(async move { meet.wait() }));
    }
    meet.wait();
}

/// All contenders with `workers` workers, watched for `span`.
pub fn contest(workers: usize, span: Duration) -> Contest {
    let parked = move || Ok(Parked::start(workers));
    let rayon = move || rayon_pool(workers);
    let tokio = move || tokio_runtime(workers);
    let mut contenders = vec![
        contender("parked threads", Role::Baseline, span, parked, |_| ()),
        contender("rayon", Role::Peer, span, rayon, rouse_rayon),
        contender("tokio", Role::Peer, span, tokio, rouse_tokio),
    ];
    contenders.extend(ours::idle(workers, span));
    Contest {
        title: format!("idle, {workers} workers"),
        metrics: METRICS,
        contenders,
    }
}

/// Runs the workload.
pub fn run(options: &Options) -> Result<Report, Fault> {
    let span = Duration::from_millis(options.pick(2000, 500));
    let outcome = contest(options.workers_or(8), span).run_for(options, 3, 1)?;
    let mut report = Report::new("idle");
    report
        .show(&outcome)
        .remark("a ratio reads 0.00 if only Pinfold has no wake-ups, 1.00 if the best peer has none either")
        .ratio("/cpu", outcome.ratio_to_best(1, 0.0))
        .ratio("", outcome.ratio_to_best(0, 0.0));
    Ok(report)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_polls_is_seen() {
        struct Poller(Parked);
        let build = || Ok(Poller(Parked::start(1)));
        let span = Duration::from_millis(200);
        let unpark = |poller: &Poller| {
            let polled = poller.0.0[0].thread().clone();
            thread::spawn(move || {
                for _ in 0..100 {
                    polled.unpark();
                    thread::sleep(Duration::from_millis(4));
                }
            });
        };
        let mut poller = contender("poller", Role::Peer, span, build, unpark);
        let Measurement(readings) = (poller.run)().unwrap();
        assert!(readings[0] >= 100.0, "{readings:?}");
        assert!(readings[1] > 0.0, "{readings:?}");
    }
}
