//! Joins, whole time, on one worker and on two.

mod bridge;

use criterion::{Criterion, criterion_group, criterion_main};
use pinfold_benches::fork_join;

fn fork_join(criterion: &mut Criterion) {
    bridge::bench(criterion, fork_join::contest(1), bridge::NANOSECOND);
    bridge::bench(criterion, fork_join::contest(2), bridge::NANOSECOND);
}

criterion_group!(benches, fork_join);
criterion_main!(benches);
