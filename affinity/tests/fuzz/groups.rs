//! Control groups: mount tables, group paths, quotas and cpusets that contradict each other.

use std::fs;
use std::time::Instant;

use proptest::prelude::*;

use crate::fake::{DESKTOP, Machine};
use crate::trees::{HANG, check};
use crate::{like, one_in};

/// A group's path: mostly one that may be there.
const GROUP: &str = "(/|/a|/a/b|/a/b/c|/\\.\\./a|a|//a//b|/a/\\.\\./\\.\\.|[^\n]{0,8}|)";
const POINT: &str = "(/sys/fs/cgroup|/sys/fs/cgroup/cpu|/mnt|/|/\\.\\./\\.\\./etc|relative|)";
const KIND: &str = "(cgroup2|cgroup|cpuset|ext4|)";
const OPTIONS: &str = "(rw|rw,cpu|rw,cpuset|rw,cpu,cpuacct,cpuset|,,|)";

fn lines(line: &str) -> impl Strategy<Value = String> + use<> {
    prop::collection::vec(prop_oneof![9 => like(line), 1 => like(".{0,24}")], 0..6)
        .prop_map(|lines| lines.join("\n"))
}

fn any_quota() -> impl Strategy<Value = String> {
    let number = "(max|-1|0|1|100000|18446744073709551615|18446744073709551616|[0-9]{1,7}|x|)";
    like(&format!("{number}( {number}( {number})?)?\n?"))
}

/// The files below one group's directory.
fn any_limits() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = "(|a/|a/b/|a/b/c/)(cpu\\.max|cpu\\.cfs_quota_us|cpu\\.cfs_period_us|cpuset\\.cpus(\\.effective)?|cpuset\\.mems(\\.effective)?|cpus|mems)";
    let text = prop_oneof![
        any_quota(),
        like("[0-9]{1,6}(-[0-9]{1,6})?(,[0-9]{1,2}){0,3}\n?")
    ];
    prop::collection::vec((name, text), 0..12)
}

proptest! {
    #![proptest_config(one_in(4))]

    #[test]
    fn limits_that_make_no_sense_leave_a_usable_machine(
        mountinfo in prop::option::of(lines(&format!("1 1 0:1 {GROUP} {POINT} rw - {KIND} none {OPTIONS}"))),
        mounts in prop::option::of(lines(&format!("none {POINT} {KIND} {OPTIONS} 0 0"))),
        groups in lines(&format!("(0|1|)::?(|cpu|cpuset|cpu,cpuset):{GROUP}")),
        status in lines("Cpus_allowed_list:\t?[0-9]{0,6}(-[0-9]{1,6})?"),
        limits in any_limits(),
        place in "(sys/fs/cgroup|sys/fs/cgroup/cpu|mnt)/",
    ) {
        let tree = Machine::new(DESKTOP);
        for (file, text) in [("mountinfo", mountinfo), ("mounts", mounts)] {
            if let Some(text) = text {
                tree.write(&format!("proc/self/{file}"), &text);
            }
        }
        tree.write("proc/self/cgroup", &groups);
        tree.write("proc/self/status", &status);
        for (name, text) in &limits {
            tree.write(&format!("{place}{name}"), text);
        }
        check(&tree)?;
    }
}

#[test]
fn a_mount_table_that_names_one_place_over_and_over_is_no_trap() {
    let tree = Machine::new(DESKTOP);
    let group = "/d".repeat(400);
    fs::create_dir_all(tree.path(&format!("sys/fs/cgroup{group}"))).unwrap();
    tree.write("sys/fs/cgroup/cpu.max", "200000 100000\n");
    let line = "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 c rw\n";
    tree.write("proc/self/mountinfo", &line.repeat((1 << 20) / line.len()));
    tree.write("proc/self/cgroup", &format!("0::{group}\n"));
    let begun = Instant::now();
    let allowed = tree.allowed();
    println!("1 MiB of mounts: {:?}", begun.elapsed());
    assert!(begun.elapsed() < HANG, "{:?}", begun.elapsed());
    assert_eq!(allowed.quota().map(|quota| quota.cpus()), Some(2.0));
}
