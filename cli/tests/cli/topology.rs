//! `pinfold topology` on whatever machine this is.

use super::Ground;

#[test]
fn the_topology_counts_what_we_may_use() {
    let finished = Ground::new().pinfold(&["topology"]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    assert_eq!(finished.stderr, "");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status
        .lines()
        .find_map(|l| l.strip_prefix("Cpus_allowed_list:"))
        .unwrap();
    assert!(
        finished.row("  cpus").starts_with(mask.trim()),
        "{finished:?}"
    );
}
