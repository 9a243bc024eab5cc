//! Criterion over the contests that `versus` runs.

use std::time::Duration;

use criterion::Criterion;
use pinfold_benches::contest::Contest;

/// Benches each contender of a contest by its first metric, whose unit is `unit`.
///
/// A contender measures many operations in one run and reads the time of one, which is what an
/// iteration is here: a sample is one run, however many iterations criterion asks for.
pub fn bench(criterion: &mut Criterion, contest: Contest, unit: Duration) {
    let mut group = criterion.benchmark_group(contest.title);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    for mut contender in contest.contenders {
        group.bench_function(contender.name, |bencher| {
            bencher.iter_custom(|iterations| match (contender.run)() {
                Ok(measurement) => unit.mul_f64(measurement.0[0] * iterations as f64),
                Err(fault) => panic!("{fault}"),
            });
        });
    }
    group.finish();
}

/// The unit of most metrics.
#[allow(dead_code, reason = "each bench uses the unit of its contest")]
pub const NANOSECOND: Duration = Duration::from_nanos(1);

/// The unit of slow metrics.
#[allow(dead_code, reason = "each bench uses the unit of its contest")]
pub const MICROSECOND: Duration = Duration::from_micros(1);
