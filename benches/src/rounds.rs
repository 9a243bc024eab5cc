//! Runs contenders in turns, so that a slow minute of the machine hits all of them.

use std::fmt;
use std::time::Duration;

use crate::fault::Fault;

/// What a contender is to the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Pinfold.
    Ours,
    /// Somebody we want to beat.
    Peer,
    /// A floor or a yardstick; never the best peer.
    Baseline,
}

/// What one run read: one value per metric of its contest, in the contest's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement(pub Vec<f64>);

impl Measurement {
    /// Nanoseconds per operation, as the only reading.
    pub fn per_op(elapsed: Duration, ops: usize) -> Measurement {
        Measurement(vec![ns_per_op(elapsed, ops)])
    }
}

/// Nanoseconds of `elapsed` per operation.
pub fn ns_per_op(elapsed: Duration, ops: usize) -> f64 {
    elapsed.as_nanos() as f64 / ops as f64
}

/// Somebody who can do a contest's work.
pub struct Contender {
    /// As printed.
    pub name: &'static str,
    /// What it is to the comparison.
    pub role: Role,
    /// Does the work once, checks it, and says what it took.
    pub run: Box<dyn FnMut() -> Result<Measurement, Fault>>,
}

impl Contender {
    /// A contender that runs `run`.
    pub fn new(
        name: &'static str,
        role: Role,
        run: impl FnMut() -> Result<Measurement, Fault> + 'static,
    ) -> Contender {
        Contender {
            name,
            role,
            run: Box::new(run),
        }
    }
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Runs every contender once uncounted, then `rounds` times, each round in a new order.
///
/// Returns each contender's measurements, in the contenders' order. The orders are the same in
/// every process.
pub fn interleave(
    contenders: &mut [Contender],
    rounds: usize,
) -> Result<Vec<Vec<Measurement>>, Fault> {
    for contender in contenders.iter_mut() {
        (contender.run)()?;
    }
    let mut measured = vec![Vec::with_capacity(rounds); contenders.len()];
    let mut order = Order::new(contenders.len());
    for _ in 0..rounds {
        for &turn in order.shuffle() {
            measured[turn].push((contenders[turn].run)()?);
        }
    }
    Ok(measured)
}

/// The order of a round's turns.
struct Order {
    turns: Vec<usize>,
    seed: u64,
}

impl Order {
    fn new(contenders: usize) -> Order {
        Order {
            turns: (0..contenders).collect(),
            seed: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Fisher and Yates's shuffle.
    fn shuffle(&mut self) -> &[usize] {
        for last in (1..self.turns.len()).rev() {
            let other = self.random_below(last + 1);
            self.turns.swap(last, other);
        }
        &self.turns
    }

    /// Marsaglia's xorshift64; the modulo's bias is far below what an order needs.
    fn random_below(&mut self, bound: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Contenders that write their name into a log, and measure the length of the log.
    fn logging(log: &Rc<RefCell<String>>) -> Vec<Contender> {
        ["a", "b", "c"]
            .map(|name| {
                let log = Rc::clone(log);
                Contender::new(name, Role::Peer, move || {
                    log.borrow_mut().push_str(name);
                    Ok(Measurement(vec![log.borrow().len() as f64]))
                })
            })
            .into()
    }

    #[test]
    fn each_round_runs_each_contender_once() {
        let log = Rc::new(RefCell::new(String::new()));
        let measured = interleave(&mut logging(&log), 4).unwrap();

        assert_eq!(log.borrow().len(), 3 + 4 * 3);
        assert!(log.borrow().starts_with("abc"), "the uncounted warm-up");
        for round in log.borrow().as_bytes().chunks(3) {
            let mut names = round.to_vec();
            names.sort_unstable();
            assert_eq!(names, b"abc");
        }
        assert_eq!(measured.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4]);
    }

    #[test]
    fn measurements_stay_with_their_contender() {
        let log = Rc::new(RefCell::new(String::new()));
        let measured = interleave(&mut logging(&log), 5).unwrap();

        for (name, own) in "abc".chars().zip(&measured) {
            for Measurement(values) in own {
                let position = values[0] as usize - 1;
                assert_eq!(log.borrow().as_bytes()[position] as char, name);
            }
        }
    }

    #[test]
    fn the_order_changes_between_rounds() {
        let mut order = Order::new(5);
        let orders: Vec<_> = (0..8).map(|_| order.shuffle().to_vec()).collect();
        assert!(orders.windows(2).any(|pair| pair[0][0] != pair[1][0]));
        assert!(orders.windows(2).any(|pair| pair[0][4] != pair[1][4]));
    }

    #[test]
    fn a_fault_ends_the_contest() {
        let mut lazy = [Contender::new("lazy", Role::Peer, || {
            Err(Fault::start("lazy", "would not get up"))
        })];
        let fault = interleave(&mut lazy, 3).unwrap_err();
        assert_eq!(fault.to_string(), "lazy could not start: would not get up");
    }

    #[test]
    fn time_is_shared_among_the_operations() {
        let measurement = Measurement::per_op(Duration::from_micros(3), 1000);
        assert_eq!(measurement, Measurement(vec![3.0]));
    }
}
