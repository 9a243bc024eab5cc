//! A worker's queue: the owner alone, and against a thief.

mod bridge;

use criterion::{Criterion, criterion_group, criterion_main};
use pinfold_benches::deque;

fn deque(criterion: &mut Criterion) {
    bridge::bench(criterion, deque::contest_alone(200_000), bridge::NANOSECOND);
    bridge::bench(
        criterion,
        deque::contest_robbed(100_000),
        bridge::NANOSECOND,
    );
}

criterion_group!(benches, deque);
criterion_main!(benches);
