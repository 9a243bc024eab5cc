//! The peers' pools, built the way each workload needs them.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_executor::Executor;
use futures_lite::future;
use rayon::ThreadPoolBuilder;
use tokio::sync::oneshot;

use crate::fault::Fault;

/// A rayon pool.
pub fn rayon_pool(workers: usize) -> Result<rayon::ThreadPool, Fault> {
    let built = ThreadPoolBuilder::new().num_threads(workers).build();
    built.map_err(|error| Fault::start("rayon", error))
}

/// A multi-threaded tokio runtime without drivers.
pub fn tokio_runtime(workers: usize) -> Result<tokio::runtime::Runtime, Fault> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .build();
    built.map_err(|error| Fault::start("tokio", error))
}

/// A chili pool: the caller and `workers - 1` threads (and its heartbeat's).
pub fn chili_pool(workers: usize) -> chili::ThreadPool {
    chili::ThreadPool::with_config(chili::Config {
        thread_count: NonZero::new(workers),
        ..chili::Config::default()
    })
}

/// An async-executor with threads that run it, which the crate leaves to its user.
#[derive(Debug)]
pub struct Executors {
    /// Where to spawn.
    pub executor: Arc<Executor<'static>>,
    stop: Vec<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Executors {
    /// Starts `workers` threads.
    pub fn start(workers: usize) -> Executors {
        let executor = Arc::new(Executor::new());
        let (stop, threads) = (0..workers)
            .map(|_| {
                let (stop, stopped) = oneshot::channel::<()>();
                let executor = Arc::clone(&executor);
                // Either end of the channel means stop.
                let work = move || drop(future::block_on(executor.run(stopped)));
                (stop, thread::spawn(work))
            })
            .unzip();
        Executors {
            executor,
            stop,
            threads,
        }
    }
}

impl Drop for Executors {
    fn drop(&mut self) {
        self.stop.clear();
        for thread in self.threads.drain(..) {
            // A worker's panic has been printed; the tally reports what it left undone.
            let _ = thread.join();
        }
    }
}
