//! The machine under the models: workers that park on a token.

use loom::sync::{Condvar, Mutex};
use pinfold_core::platform::{Platform, WorkerId};

/// One token per worker, as of `std::thread::park`. Without spurious returns, so that a wake-up
/// that is lost leaves its worker parked for good and the checker reports a deadlock.
#[derive(Debug)]
pub struct Parking {
    tokens: Vec<(Mutex<bool>, Condvar)>,
}

impl Parking {
    /// Room for the workers `0..workers`.
    pub fn new(workers: usize) -> Self {
        Parking { tokens: (0..workers).map(|_| (Mutex::new(false), Condvar::new())).collect() }
    }
}

impl Platform for Parking {
    fn park(&self, worker: WorkerId) {
        let (token, given) = &self.tokens[worker.index()];
        let mut token = token.lock().unwrap();
        while !*token {
            token = given.wait(token).unwrap();
        }
        *token = false;
    }

    fn unpark(&self, worker: WorkerId) {
        let (token, given) = &self.tokens[worker.index()];
        *token.lock().unwrap() = true;
        given.notify_one();
    }

    fn now_ns(&self) -> u64 {
        0
    }
}

/// The worker numbered `index`.
pub fn worker(index: usize) -> WorkerId {
    WorkerId::new(index).expect("models have few workers")
}
