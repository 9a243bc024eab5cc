//! Many short histories on real threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use crate::checker::{History, Spec, Timed};

/// Which histories to run: `PINFOLD_LINEARIZABILITY_SEED=17` runs that one over and over. What the threads
/// do and how long they wait is the same then; how the machine schedules them is not.
const VARIABLE: &str = "PINFOLD_LINEARIZABILITY_SEED";

/// How many histories one batch of threads goes through.
const BATCH: u64 = 250;

/// The most histories of one run.
const MOST: u64 = 500_000;

/// Small numbers from a seed: the generator of G. Marsaglia, "Xorshift RNGs" (2003).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Never zero, and neighbours far apart.
        Dice((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    /// Waits for a while, now and then for long.
    fn pause(&mut self) {
        match self.below(64) {
            0 => thread::yield_now(),
            1..24 => {}
            _ => (0..self.below(40)).for_each(|_| std::hint::spin_loop()),
        }
    }
}

/// Writes down what one thread does.
#[derive(Debug)]
pub(crate) struct Recorder<'c, C> {
    clock: &'c AtomicU64,
    thread: usize,
    dice: Dice,
    calls: Vec<Timed<C>>,
}

impl<C> Recorder<'_, C> {
    /// The thread's dice.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// Makes a call after a pause. The clock's ticks are read-modify-writes with a full barrier: what
    /// a call has stored is visible before its end is written down.
    pub fn call(&mut self, call: impl FnOnce() -> C) {
        self.dice.pause();
        // Now and then somebody else comes between, so that calls overlap on one processor too.
        let gives_way = self.dice.below(32);
        let begun = self.clock.fetch_add(1, SeqCst);
        if gives_way == 0 {
            thread::yield_now();
        }
        let call = call();
        if gives_way == 1 {
            thread::yield_now();
        }
        let ended = self.clock.fetch_add(1, SeqCst);
        self.calls.push(Timed {
            thread: self.thread,
            begun,
            ended,
            call,
        });
    }
}

/// A structure under test.
pub(crate) trait Subject: Sync + Sized {
    type Spec: Spec<Call: Send + Sync> + Send + Sync;

    /// A structure with some content, and what it holds.
    fn new(dice: &mut Dice) -> (Self, Self::Spec);

    /// What thread number `thread` does: a few calls. `begin` returns when all are ready.
    fn act(
        &self,
        thread: usize,
        record: &mut Recorder<'_, <Self::Spec as Spec>::Call>,
        begin: impl FnOnce(),
    );

    /// The kind of answer.
    fn kind(call: &<Self::Spec as Spec>::Call) -> &'static str;

    /// Other promises that a history must keep.
    fn check(_: &History<Self::Spec>) -> Result<(), String> {
        Ok(())
    }
}

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub histories: u64,
    /// In how many of them two calls overlapped.
    pub concurrent: u64,
    /// How often each kind of answer was given.
    pub answers: BTreeMap<&'static str, u64>,
}

/// Held by who runs: two at once would take each other's processors.
static RUNNING: Mutex<()> = Mutex::new(());

/// The seed that [`VARIABLE`] chooses.
pub(crate) fn chosen() -> Option<u64> {
    let seed = std::env::var(VARIABLE).ok()?;
    Some(seed.parse().expect("a seed is a number"))
}

/// Runs histories of `threads` threads until calls overlapped in `concurrent` of them, but at most
/// [`MOST`], and checks each.
///
/// # Errors
///
/// The first history that breaks a promise, its seed, and how to repeat it.
pub(crate) fn run<T: Subject>(threads: usize, concurrent: u64) -> Result<Ran, String> {
    let _running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let only = chosen();
    let mut ran = Ran::default();
    while ran.concurrent < concurrent && ran.histories < MOST {
        let seeds: Vec<u64> = (ran.histories..ran.histories + BATCH)
            .map(|seed| only.unwrap_or(seed))
            .collect();
        for (seed, history) in seeds.iter().zip(batch::<T>(threads, &seeds)) {
            let verdict = match history.is_linearizable() {
                false => Err(String::from("no order of the calls explains the answers")),
                true => T::check(&history),
            };
            if let Err(why) = verdict {
                return Err(format!("{why}; {VARIABLE}={seed}, {history}"));
            }
            for timed in &history.calls {
                *ran.answers.entry(T::kind(&timed.call)).or_default() += 1;
            }
            ran.histories += 1;
            ran.concurrent += u64::from(history.overlaps() > 0);
        }
    }
    Ok(ran)
}

/// One history for each seed.
fn batch<T: Subject>(threads: usize, seeds: &[u64]) -> Vec<History<T::Spec>> {
    let subjects: Vec<_> = seeds
        .iter()
        .map(|&seed| T::new(&mut Dice::new(seed)))
        .collect();
    let clocks: Vec<_> = seeds.iter().map(|_| AtomicU64::new(0)).collect();
    let gates: Vec<_> = seeds.iter().map(|_| AtomicUsize::new(0)).collect();
    let together = Barrier::new(threads);
    let go_through = |thread: usize| -> Vec<_> {
        together.wait();
        let each = subjects.iter().zip(&clocks).zip(&gates).zip(seeds);
        each.map(|((((subject, _), clock), gate), seed)| {
            let mut record = Recorder {
                clock,
                thread,
                dice: Dice::new(seed ^ (thread as u64 + 1) << 32),
                calls: Vec::new(),
            };
            subject.act(thread, &mut record, || pass(gate, threads));
            record.calls
        })
        .collect()
    };
    let seen: Vec<Vec<Vec<_>>> = thread::scope(|scope| {
        let go_through = &go_through;
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || go_through(thread)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let initial = subjects.into_iter().map(|(_, initial)| initial);
    put_together(initial, seen)
}

/// The histories of what each thread has written down for each of them.
fn put_together<S: Spec>(
    initial: impl Iterator<Item = S>,
    mut written: Vec<Vec<Vec<Timed<S::Call>>>>,
) -> Vec<History<S>> {
    let of = |(index, initial)| {
        let of_threads = written.iter_mut();
        let calls =
            of_threads.flat_map(|of_thread: &mut Vec<_>| std::mem::take(&mut of_thread[index]));
        History {
            initial,
            calls: calls.collect(),
        }
    };
    initial.enumerate().map(of).collect()
}

/// Waits for all threads, without sleeping as long as there is a processor for each.
fn pass(gate: &AtomicUsize, threads: usize) {
    gate.fetch_add(1, SeqCst);
    let mut looks = 0;
    while gate.load(SeqCst) < threads {
        looks += 1;
        if looks < 200 {
            std::hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}
