//! Many tiny tasks at once: what [`spawn`](crate::spawn) and [`submit`](crate::submit) share.

use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::rounds::{Contender, Measurement, Role};
use crate::tally::Tally;

/// A contender that has a pool run one task per byte of a tally.
///
/// `build` makes the pool; `flood` has it run every task and returns when all ran. The first flood
/// of a pool warms it, the second counts.
pub fn contender<P: 'static>(
    name: &'static str,
    role: Role,
    tasks: usize,
    build: impl Fn() -> Result<P, Fault> + 'static,
    flood: impl Fn(&P, &'static Tally) + 'static,
) -> Contender {
    let tally = Tally::leaked(tasks);
    Contender::new(name, role, move || {
        let pool = build()?;
        timed_flood(name, &pool, &flood, tally)?;
        let elapsed = timed_flood(name, &pool, &flood, tally)?;
        Ok(Measurement::per_op(elapsed, tasks))
    })
}

fn timed_flood<P>(
    name: &'static str,
    pool: &P,
    flood: &impl Fn(&P, &'static Tally),
    tally: &'static Tally,
) -> Result<Duration, Fault> {
    tally.reset();
    let start = Instant::now();
    flood(pool, tally);
    let elapsed = start.elapsed();
    tally.expect_each(name, 1)?;
    Ok(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_drops_tasks_is_caught() {
        let skips_the_last =
            |(): &(), tally: &'static Tally| (1..tally.len()).for_each(|index| tally.mark(index));
        let mut lazy = contender("lazy", Role::Peer, 100, || Ok(()), skips_the_last);
        let fault = (lazy.run)().unwrap_err();
        assert!(matches!(
            fault,
            Fault::WrongResult {
                expected: 100,
                found: 99,
                ..
            }
        ));
    }
}
