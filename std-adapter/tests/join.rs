//! Fork and join.

mod common;

use common::{Drops, panic_of, watchdog};
use pinfold::Pool;

#[test]
fn a_panic_at_any_depth_drops_every_closure_that_did_not_run() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    fn nest(depth: usize, drops: &Drops) {
        let counted = drops.one();
        if depth == 0 {
            panic!("deep down");
        }
        pinfold::join(|| nest(depth - 1, drops), move || drop(counted));
    }
    for depth in [1, 100, 255, 256, 257, 1000] {
        let drops = Drops::new();
        assert_eq!(
            panic_of(|| pool.install(|| nest(depth, &drops))),
            "deep down"
        );
        assert_eq!(drops.count(), depth + 1, "at depth {depth}");
    }
}
