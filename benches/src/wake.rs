//! `wake`: how long a parked pool takes to start a task from outside.
//!
//! Before each submission the pool idles for 3 ms, by which time all its workers sleep. The clock
//! runs from before the submission to the task's first instruction. The submitter then either
//! blocks until the task has run, or spins: on a machine with few cores a spinning submitter may
//! keep the woken worker off its processor until the next scheduler tick.
//!
//! `unpark` is the floor: one bare thread, parked, and unparked by the submitter.
//! The ratio line is of the median with the submitter blocked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::contest::{Contest, Metric};
use crate::fault::Fault;
use crate::options::Options;
use crate::ours;
use crate::peers::{rayon_pool, tokio_runtime};
use crate::report::Report;
use crate::rounds::{Contender, Measurement, Role};
use crate::stats::{quantile, sorted};

const IDLE: Duration = Duration::from_millis(3);

const METRICS: &[Metric] = &[
    Metric {
        name: "submitter blocked, p50",
        unit: "us",
    },
    Metric {
        name: "submitter blocked, p99",
        unit: "us",
    },
    Metric {
        name: "submitter spinning, p50",
        unit: "us",
    },
    Metric {
        name: "submitter spinning, p99",
        unit: "us",
    },
];

/// What the woken task rings.
#[derive(Debug)]
pub struct Bell {
    epoch: Instant,
    /// When it rang, in nanoseconds after the epoch; 0 until then.
    rung_ns: AtomicU64,
    submitter: Thread,
    unparks: AtomicBool,
}

impl Bell {
    /// A bell for the calling thread.
    fn new() -> Arc<Bell> {
        Arc::new(Bell {
            epoch: Instant::now(),
            rung_ns: AtomicU64::new(0),
            submitter: thread::current(),
            unparks: AtomicBool::new(false),
        })
    }

    /// What the task does, first and last.
    pub fn ring(&self) {
        let now_ns = self.now_ns();
        // Release: pairs with the Acquire in `rung`; nothing else goes with it.
        self.rung_ns.store(now_ns, Ordering::Release);
        if self.unparks.load(Ordering::Relaxed) {
            self.submitter.unpark();
        }
    }

    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn rung(&self) -> Option<u64> {
        Some(self.rung_ns.load(Ordering::Acquire)).filter(|&ns| ns != 0)
    }

    /// Microseconds from calling `submit` to the ring.
    fn time(&self, submit: &dyn Fn(), submitter: Submitter) -> f64 {
        // Relaxed: the pool's own hand-over carries both to the task.
        self.rung_ns.store(0, Ordering::Relaxed);
        let blocks = submitter == Submitter::Blocks;
        self.unparks.store(blocks, Ordering::Relaxed);
        let start_ns = self.now_ns();
        submit();
        loop {
            if let Some(rung_ns) = self.rung() {
                return rung_ns.saturating_sub(start_ns) as f64 / 1000.0;
            }
            match submitter {
                Submitter::Blocks => thread::park(),
                Submitter::Spins => std::hint::spin_loop(),
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Submitter {
    Blocks,
    Spins,
}

/// Submits a task that rings the bell; owns its pool.
pub type Submit = Box<dyn Fn()>;

/// A contender from a way to build a pool and submit to it.
pub fn contender(
    name: &'static str,
    role: Role,
    samples: usize,
    build: impl Fn(Arc<Bell>) -> Result<Submit, Fault> + 'static,
) -> Contender {
    Contender::new(name, role, move || {
        let bell = Bell::new();
        let submit = build(Arc::clone(&bell))?;
        let mut readings = Vec::new();
        for submitter in [Submitter::Blocks, Submitter::Spins] {
            let mut wakes = Vec::with_capacity(samples);
            for _ in 0..samples {
                thread::sleep(IDLE);
                wakes.push(bell.time(&submit, submitter));
            }
            let wakes = sorted(&wakes);
            readings.extend([0.5, 0.99].map(|q| quantile(&wakes, q).unwrap_or(f64::NAN)));
        }
        Ok(Measurement(readings))
    })
}

/// A bare thread that rings whenever it is told to.
struct Ringer {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    ring: AtomicBool,
    stop: AtomicBool,
}

impl Ringer {
    fn start(bell: Arc<Bell>) -> Ringer {
        let told = Arc::new(Told::default());
        let orders = Arc::clone(&told);
        let ring_when_told = move || {
            while !orders.stop.load(Ordering::Acquire) {
                if orders.ring.swap(false, Ordering::Acquire) {
                    bell.ring();
                }
                thread::park();
            }
        };
        Ringer {
            told,
            thread: Some(thread::spawn(ring_when_told)),
        }
    }

    fn tell(&self, order: &AtomicBool) {
        order.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ringer {
    fn drop(&mut self) {
        self.tell(&self.told.stop);
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, has been printed.
            let _ = thread.join();
        }
    }
}

fn unpark(bell: Arc<Bell>) -> Result<Submit, Fault> {
    let ringer = Ringer::start(bell);
    Ok(Box::new(move || ringer.tell(&ringer.told.ring)))
}

fn rayon(workers: usize, bell: Arc<Bell>) -> Result<Submit, Fault> {
    let pool = rayon_pool(workers)?;
    Ok(Box::new(move || {
        let bell = Arc::clone(&bell);
        pool.spawn(move || bell.ring());
    }))
}

fn tokio(workers: usize, bell: Arc<Bell>) -> Result<Submit, Fault> {
    let runtime = tokio_runtime(workers)?;
    Ok(Box::new(move || {
        let bell = Arc::clone(&bell);
        // Dropping the handle detaches the task.
        drop(runtime.spawn(async move { bell.ring() }));
    }))
}

fn threadpool(workers: usize, bell: Arc<Bell>) -> Result<Submit, Fault> {
    let pool = threadpool::ThreadPool::new(workers);
    Ok(Box::new(move || {
        let bell = Arc::clone(&bell);
        pool.execute(move || bell.ring());
    }))
}

/// All contenders on `workers` workers, each woken `samples` times a run either way.
pub fn contest(workers: usize, samples: usize) -> Contest {
    let peer = |name, build: fn(usize, Arc<Bell>) -> Result<Submit, Fault>| {
        contender(name, Role::Peer, samples, move |bell| build(workers, bell))
    };
    let mut contenders = vec![
        contender("unpark", Role::Baseline, samples, unpark),
        peer("rayon", rayon),
        peer("tokio", tokio),
        peer("threadpool", threadpool),
    ];
    contenders.extend(ours::wake(workers, samples));
    Contest {
        title: format!("wake, {workers} workers"),
        metrics: METRICS,
        contenders,
    }
}

/// Runs the workload.
pub fn run(options: &Options) -> Result<Report, Fault> {
    let contest = contest(options.workers_or(2), options.pick(150, 40));
    let outcome = contest.run_for(options, 5, 2)?;
    let mut report = Report::new("wake");
    report
        .show(&outcome)
        .remark(
            "unpark is the floor: one bare thread; percentiles are per round, then their median",
        )
        .ratio("/p99", outcome.ratio_to_best(1, 0.0))
        .ratio("/spinning", outcome.ratio_to_best(2, 0.0))
        .ratio_against("/spinning", "unpark", outcome.ratio_to("unpark", 2, 0.0))
        .ratio_against("", "unpark", outcome.ratio_to("unpark", 0, 0.0))
        .ratio("", outcome.ratio_to_best(0, 0.0));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_from_submission_to_ring() {
        let bell = Bell::new();
        let late = || {
            thread::sleep(Duration::from_millis(2));
            bell.ring();
        };
        let blocked_us = bell.time(&late, Submitter::Blocks);
        let spinning_us = bell.time(&late, Submitter::Spins);
        assert!(blocked_us >= 2000.0, "{blocked_us}");
        assert!(spinning_us >= 2000.0, "{spinning_us}");
    }

    #[test]
    fn every_contender_wakes() {
        for mut contender in contest(2, 3).contenders {
            let Measurement(readings) = (contender.run)().unwrap();
            assert_eq!(readings.len(), METRICS.len());
            assert!(readings.iter().all(|&us| us > 0.0), "{readings:?}");
        }
    }
}
