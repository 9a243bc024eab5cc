//! Waking a parked pool, the submitter blocked.

mod bridge;

use criterion::{Criterion, criterion_group, criterion_main};
use pinfold_benches::wake;

fn wake(criterion: &mut Criterion) {
    bridge::bench(criterion, wake::contest(2, 40), bridge::MICROSECOND);
}

criterion_group!(benches, wake);
criterion_main!(benches);
