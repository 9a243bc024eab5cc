//! A queue for all: one thread, and eight.

mod bridge;

use criterion::{Criterion, criterion_group, criterion_main};
use pinfold_benches::injector;

fn injector(criterion: &mut Criterion) {
    bridge::bench(
        criterion,
        injector::contest_alone(200_000),
        bridge::NANOSECOND,
    );
    bridge::bench(
        criterion,
        injector::contest_contended(8, 20_000),
        bridge::NANOSECOND,
    );
}

criterion_group!(benches, injector);
criterion_main!(benches);
