//! Pools that are shut down while threads bring work: each task ran once, or was given back, or dropped unrun.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pinfold::{JoinError, Pool, Shutdown, graph};

use crate::common::{Random, until};
use crate::pool_of;

/// What became of the tasks, as sums of their numbers.
#[derive(Default)]
struct Sums {
    made: AtomicU64,
    ran: AtomicU64,
    lost: AtomicU64,
}

/// What a task holds. It counts once: as run, or as lost when it is dropped unrun.
struct Token {
    sums: Arc<Sums>,
    number: u64,
    has_run: bool,
}

impl Token {
    fn new(sums: &Arc<Sums>, number: u64) -> Self {
        sums.made.fetch_add(number, Ordering::SeqCst);
        Token {
            sums: Arc::clone(sums),
            number,
            has_run: false,
        }
    }

    fn run(mut self) -> u64 {
        self.has_run = true;
        self.sums.ran.fetch_add(self.number, Ordering::SeqCst);
        self.number
    }

    fn end(self) {
        self.run();
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if !self.has_run {
            self.sums.lost.fetch_add(self.number, Ordering::SeqCst);
        }
    }
}

/// One piece of work for a pool that may end meanwhile. Numbers begin at 1, so that none is lost unseen.
fn bring_work(pool: &Pool, sums: &Arc<Sums>, random: &mut Random, wheel: &graph::Graph) {
    let token = Token::new(sums, 1 + random.below(1000));
    let number = token.number;
    match random.below(8) {
        0 => pool.spawn(move || token.end()),
        1 => pool.spawn(move || resume_unwind(Box::new(token.run()))),
        2 => assert_eq!(pool.install(|| token.run()), number),
        3 => {
            let other = Token::new(sums, 7);
            assert_eq!(pool.join(|| token.run(), || other.run()), (number, 7));
        }
        4 => {
            let other = Token::new(sums, 5);
            pool.scope(|s| {
                s.spawn(move |s| s.spawn(move |_| token.end()));
                s.spawn(move |_| other.end());
            });
        }
        5 => {
            let reached = pool.broadcast(|context| context.worker().index());
            // None after the end, else all.
            assert!(reached.iter().copied().eq(0..reached.len()));
            assert!(reached.is_empty() || reached.len() == pool.metrics().workers);
            token.end();
        }
        6 => {
            assert!(pool.run(wheel).is_ok());
            token.end();
        }
        _ => submit(pool, token, random.below(2) == 0),
    }
}

fn submit(pool: &Pool, token: Token, cancel: bool) {
    let number = token.number;
    let handle = match pool.submit(move || token.run()) {
        Ok(handle) => handle,
        Err(refused) => return assert_eq!(refused.into_task()(), number),
    };
    let cancelled = cancel && handle.cancel();
    match handle.join() {
        Ok(result) => assert!(result == number && !cancelled),
        Err(JoinError::Cancelled) => {}
        Err(error) => panic!("{error:?}"),
    }
}

fn one_end(workers: usize, seed: u64) {
    let mut random = Random::new(seed);
    let sums = Arc::<Sums>::default();
    let panics = Arc::new(AtomicU64::new(0));
    let pool = pool_of(workers, random.next(), panics);
    let builder = graph::Builder::new();
    let top = builder.task("top", || ());
    let _ = builder.task("bottom", || ()).after([top]);
    let wheel = builder.build().unwrap();
    let how = if random.below(2) == 0 {
        Shutdown::Drain
    } else {
        Shutdown::Cancel
    };
    let seeds: [u64; 3] = std::array::from_fn(|_| random.next());
    let patience = random.below(200);
    let begun = AtomicU64::new(0);
    let worker = |seed| {
        let mut random = Random::new(seed);
        for _ in 0..100 {
            begun.fetch_add(1, Ordering::SeqCst);
            bring_work(&pool, &sums, &mut random, &wheel);
        }
    };
    thread::scope(|s| {
        let worker = &worker;
        for seed in seeds {
            s.spawn(move || worker(seed));
        }
        until(|| begun.load(Ordering::SeqCst) >= patience);
        pool.shutdown(how);
    });
    drop(pool);
    let of = |sum: &AtomicU64| sum.load(Ordering::SeqCst);
    let (made, ran, lost) = (of(&sums.made), of(&sums.ran), of(&sums.lost));
    assert_eq!(ran + lost, made, "{workers} workers, {how:?}, end {seed}");
    assert_eq!(Arc::strong_count(&sums), 1, "{workers} workers, end {seed}");
}

/// One pool after the other ends, until `time` is over; how many.
pub fn nothing_is_lost(workers: usize, seed: u64, time: Duration) -> u64 {
    let mut random = Random::new(seed);
    let end = Instant::now() + time;
    let mut ends = 0;
    while Instant::now() < end {
        one_end(workers, random.next() >> 1);
        ends += 1;
    }
    ends
}
