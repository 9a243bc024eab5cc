//! Hostile input: texts, recorded machines and control groups that nobody in their senses writes.
//!
//! Whatever is given, nothing panics, what is accepted keeps the invariants that the documentation
//! promises, and memory stays within a bound. `PROPTEST_CASES=1000 cargo test -p pinfold-affinity --test
//! fuzz` looks longer: every property takes a share of that number.

#[allow(dead_code, reason = "the crate's own tests use more of it")]
#[path = "../../src/fake.rs"]
mod fake;
mod groups;
mod memory;
mod text;
mod trees;

// `fake` takes these from its crate's root.
use pinfold_affinity::{Allowed, CpuSet, Topology};
use proptest::strategy::Strategy;
use proptest::test_runner::Config;

/// One case in `part` of those asked for (`PROPTEST_CASES`, else 256).
fn one_in(part: u32) -> Config {
    let mut config = Config::default();
    config.cases = (config.cases / part).max(1);
    config.failure_persistence = None;
    config
}

/// Texts of this pattern.
fn like(pattern: &str) -> impl Strategy<Value = String> + use<> {
    proptest::string::string_regex(pattern).expect("a regular expression")
}
