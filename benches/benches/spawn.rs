//! Tiny tasks: spawned in a scope, and submitted from outside.

mod bridge;

use criterion::{Criterion, criterion_group, criterion_main};
use pinfold_benches::{spawn, submit};

fn spawn(criterion: &mut Criterion) {
    bridge::bench(criterion, spawn::contest(2, 50_000), bridge::NANOSECOND);
    bridge::bench(criterion, submit::contest(2, 50_000), bridge::NANOSECOND);
}

criterion_group!(benches, spawn);
criterion_main!(benches);
