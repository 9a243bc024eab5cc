//! What all the tests use: a watchdog, meeting points, a seeded generator.

#![allow(dead_code)]

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{env, fs, process, thread};

/// Aborts the process if the test that made it does not end in time: a hang becomes a failure.
pub struct Watchdog(Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>);

/// The watchdog of the calling test. The limit is 60 s, or `PINFOLD_TEST_TIMEOUT_S`.
pub fn watchdog() -> Watchdog {
    watchdog_beyond(Duration::ZERO)
}

/// The watchdog of a test that runs for `time` by intention; the limit comes on top of it.
pub fn watchdog_beyond(time: Duration) -> Watchdog {
    let limit_s = time.as_secs() + env_u64("PINFOLD_TEST_TIMEOUT_S").unwrap_or(60);
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (ended, wait) = mpsc::channel();
    let bite = move || {
        if wait.recv_timeout(Duration::from_secs(limit_s)) != Err(mpsc::RecvTimeoutError::Timeout) {
            return;
        }
        let id = process::id();
        let states = thread_states();
        let hint = "stacks: run it again and, before the limit, `gdb -p PID -batch -ex 'thread apply all bt'`";
        // Not `eprintln!`, which the test harness keeps to itself.
        let message =
            format!("\n`{test}` (process {id}) has hung for {limit_s} s:{states}\n{hint}\n");
        let _ = io::stderr().write_all(message.as_bytes());
        process::abort();
    };
    let thread = thread::Builder::new()
        .name("watchdog".into())
        .spawn(bite)
        .expect("a thread");
    Watchdog(Some((ended, thread)))
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some((ended, thread)) = self.0.take() {
            drop(ended);
            thread.join().expect("the watchdog does not panic");
        }
    }
}

fn thread_states() -> String {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return " unknown".to_owned();
    };
    let mut text = String::new();
    for task in tasks.flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let field = |name| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or("?")
        };
        text += &format!("\n  {} {}", field("Name:\t"), field("State:\t"));
    }
    text
}

/// Prints a measured figure, also where the test harness keeps the output of tests that pass.
pub fn figure(text: impl std::fmt::Display) {
    let _ = io::stdout().write_all(format!("{text}\n").as_bytes());
}

/// A field of this process's status in KiB, where there is a `/proc`.
pub fn status_kib(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

pub fn env_u64(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

/// Waits until `condition`, without blocking; the watchdog bounds it.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// Lets a thread get somewhere that cannot be observed (asleep, say). Only for tests whose claim
/// holds whether it gets there or not: without it they would be weaker, not wrong.
pub fn give_time() {
    thread::sleep(Duration::from_millis(30));
}

/// A gate that threads wait at, the blocking way, until somebody opens it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>);

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    pub fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

/// Counts its drops.
#[derive(Clone, Default)]
pub struct Drops(Arc<AtomicUsize>);

/// Something that is dropped once, as [`Drops::count`] shows.
pub struct Counted(Arc<AtomicUsize>);

impl Drops {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn one(&self) -> Counted {
        Counted(Arc::clone(&self.0))
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Panics when it is dropped, with the text `"dropped"`.
pub struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Is told when the calling thread ends.
pub fn on_thread_end(f: impl FnOnce() + 'static) {
    type Last = Box<dyn FnOnce()>;
    struct Run(Vec<Last>);
    impl Drop for Run {
        fn drop(&mut self) {
            self.0.drain(..).for_each(|f| f());
        }
    }
    thread_local! {
        static LAST: std::cell::RefCell<Run> = const { std::cell::RefCell::new(Run(Vec::new())) };
    }
    LAST.with(|last| last.borrow_mut().0.push(Box::new(f)));
}

/// The text of a panic.
pub fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .expect("a panic with a text")
}

/// Calls `f`, which panics; the text of the panic.
#[track_caller]
pub fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => text(payload.as_ref()).to_owned(),
    }
}

/// SplitMix64: the same seed, the same numbers.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// From the environment variable `name`, else from the clock. Prints the seed.
    pub fn from_env(name: &str) -> Self {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = env_u64(name).unwrap_or_else(|| clock.expect("after 1970").as_nanos() as u64);
        // Now, for a run that hangs prints nothing else.
        figure(format_args!("{name}={seed}"));
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
