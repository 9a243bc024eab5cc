//! Masks, cpusets and quotas of recorded processes.

use super::*;
use crate::fake::{DESKTOP, Machine};

fn cpus(allowed: &Allowed) -> String {
    allowed.cpus().map(CpuSet::to_string).unwrap_or_default()
}

fn with_mask(list: &str) -> Machine {
    let tree = Machine::new(DESKTOP);
    tree.write(
        "proc/self/status",
        &format!("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t{list}\n"),
    );
    tree
}

#[test]
fn the_mask_is_cut_by_the_topology() {
    let tree = with_mask("2-40");
    assert_eq!(cpus(&tree.allowed()), "2-40");
    assert_eq!(tree.allowed().cpus_on(&tree.topology()).to_string(), "2-7");
    assert_eq!(tree.allowed().notes(), []);
}

#[test]
fn version_2_takes_the_nearest_cpuset_and_the_least_quota() {
    let tree = with_mask("0-7");
    tree.write("proc/self/cgroup", "0::/a.slice/b.scope\n");
    tree.write("sys/fs/cgroup/a.slice/cpuset.cpus.effective", "1-3\n");
    tree.write("sys/fs/cgroup/a.slice/cpuset.mems.effective", "0,2\n");
    tree.write("sys/fs/cgroup/cpuset.cpus.effective", "0-7\n");
    tree.write("sys/fs/cgroup/a.slice/b.scope/cpu.max", "max 100000\n");
    tree.write("sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n");
    tree.write("sys/fs/cgroup/cpu.max", "30000 10000\n");
    let allowed = tree.allowed();
    assert_eq!(cpus(&allowed), "1-3");
    assert_eq!(allowed.memory_nodes(), Some([0, 2].as_slice()));
    let quota = allowed.quota().unwrap();
    assert_eq!((quota.micros(), quota.period()), (150_000, 100_000));
}

#[test]
fn version_1_is_found_by_its_mounts() {
    let tree = with_mask("0-7");
    tree.write(
        "proc/self/cgroup",
        "4:cpu,cpuacct:/box\n3:cpuset:/box\n0::/\n",
    );
    tree.write(
        "proc/self/mountinfo",
        "30 1 0:25 / /mnt/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
         31 1 0:26 / /mnt/cpuset rw - cgroup cgroup rw,cpuset\n\
         32 1 0:27 / / rw - ext4 /dev/sda rw\n",
    );
    tree.write("mnt/cpuset/box/cpuset.cpus", "\n");
    tree.write("mnt/cpuset/cpuset.cpus", "4-5\n");
    tree.write("mnt/cpu/box/cpu.cfs_quota_us", "-1\n");
    tree.write("mnt/cpu/box/cpu.cfs_period_us", "100000\n");
    tree.write("mnt/cpu/cpu.cfs_quota_us", "25000\n");
    tree.write("mnt/cpu/cpu.cfs_period_us", "50000\n");
    let allowed = tree.allowed();
    assert_eq!(cpus(&allowed), "4-5");
    assert_eq!(allowed.quota(), Quota::new(1, 2));
}

#[test]
fn a_container_sees_its_group_at_the_mount_point() {
    for group in ["/docker/abc", "/../../elsewhere", "/gone"] {
        let tree = with_mask("0-7");
        tree.write("proc/self/cgroup", &format!("0::{group}\n"));
        tree.write(
            "proc/self/mountinfo",
            "31 1 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
        );
        tree.write("sys/fs/cgroup/cpu.max", "200000 100000\n");
        assert_eq!(tree.allowed().quota(), Quota::new(2, 1), "{group}");
    }
}

#[test]
fn a_legacy_cpuset_is_found_by_proc_self_cpuset() {
    let tree = Machine::new(DESKTOP);
    tree.write("proc/mounts", "none /dev/cpuset cpuset rw 0 0\n");
    tree.write("proc/self/cpuset", "/dummy\n");
    tree.write("dev/cpuset/dummy/cpus", "0,6\n");
    tree.write("dev/cpuset/dummy/mems", "1-4\n");
    let allowed = tree.allowed();
    assert_eq!(cpus(&allowed), "0,6");
    assert_eq!(allowed.memory_nodes(), Some([1, 2, 3, 4].as_slice()));
    assert_eq!(allowed.notes(), [Note::NoMask]);
}

#[test]
fn a_mask_outside_its_cpuset_is_believed_and_noted() {
    let tree = with_mask("0-1");
    tree.write("proc/self/cgroup", "0::/\n");
    tree.write("sys/fs/cgroup/cpuset.cpus.effective", "6-7\n");
    let allowed = tree.allowed();
    assert_eq!(cpus(&allowed), "0-1");
    let (mask, cpuset) = (CpuSet::from_iter(0..2), CpuSet::from_iter(6..8));
    assert_eq!(allowed.notes(), [Note::MaskOutsideCpuset { mask, cpuset }]);
}

#[test]
fn malformed_limits_are_no_limits() {
    let tree = with_mask("0-x");
    tree.write("proc/self/cgroup", "0::/\n");
    tree.write("sys/fs/cgroup/cpu.max", "lots 100000\n");
    let allowed = tree.allowed();
    assert_eq!((allowed.cpus(), allowed.quota()), (None, None));
    let fault = crate::CpuListErrorKind::NotANumber;
    let path = tree.path("proc/self/status");
    assert_eq!(
        allowed.notes(),
        [
            Note::Malformed {
                path,
                column: 3,
                fault
            },
            Note::NoMask
        ]
    );
}

#[test]
fn quotas_compare_by_cpus_whatever_the_period() {
    let quota = |micros, period| Quota::new(micros, period).unwrap();
    assert!(quota(50_000, 100_000) < quota(20_000, 30_000));
    assert_eq!(quota(1, 2), quota(50_000, 100_000));
    assert_eq!(quota(1, 100_000).cpus_ceil(), 1);
    assert_eq!(quota(400_000, 100_000).cpus_ceil(), 4);
}
