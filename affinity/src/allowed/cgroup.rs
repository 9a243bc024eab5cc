//! Control groups, versions 1 and 2: the cpuset that holds this process, and its CPU quota.
//!
//! A quota set on any ancestor holds for the group, so the whole way up to the mount point is
//! read and the least wins. A cpuset is taken from the nearest group that has a non-empty one.

use std::path::{Path, PathBuf};

use super::Quota;
use crate::cpuset::CpuSet;
use crate::tree::Tree;

/// What the control groups allow; `None` means that they do not say.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) cpus: Option<CpuSet>,
    pub(super) memory_nodes: Option<CpuSet>,
    pub(super) quota: Option<Quota>,
}

/// Effective sets first. The last names are those of a version 1 mount with `noprefix`.
const CPU_FILES: [&str; 4] = [
    "cpuset.cpus.effective",
    "cpuset.effective_cpus",
    "cpuset.cpus",
    "cpus",
];
const NODE_FILES: [&str; 4] = [
    "cpuset.mems.effective",
    "cpuset.effective_mems",
    "cpuset.mems",
    "mems",
];

pub(super) fn read(tree: &mut Tree) -> Limits {
    let mounts = mounts(tree);
    let groups = tree.text("proc/self/cgroup").unwrap_or_default();
    let legacy_cpuset = tree.text("proc/self/cpuset").unwrap_or_default();
    let mut limits = Limits::default();
    for controller in [Controller::Unified, Controller::Cpuset, Controller::Cpu] {
        let in_groups = path_of(&groups, controller);
        let fallback = match controller {
            Controller::Cpuset => legacy_cpuset.trim_end(),
            Controller::Unified | Controller::Cpu => "/",
        };
        for mount in mounts.iter().filter(|mount| mount.controller == controller) {
            let way = way_up(tree, mount, in_groups.unwrap_or(fallback));
            limits.narrow(tree, controller, &way);
        }
    }
    limits
}

impl Limits {
    fn narrow(&mut self, tree: &mut Tree, controller: Controller, way: &[PathBuf]) {
        if controller != Controller::Cpu {
            self.cpus = both(self.cpus.take(), nearest(tree, way, &CPU_FILES));
            self.memory_nodes = both(self.memory_nodes.take(), nearest(tree, way, &NODE_FILES));
        }
        if controller != Controller::Cpuset {
            let found = way.iter().filter_map(|dir| match controller {
                Controller::Unified => quota_v2(tree, dir),
                _ => quota_v1(tree, dir),
            });
            self.quota = found.chain(self.quota).min();
        }
    }
}

/// One controller is attached to one hierarchy only, so at most one of two sets is a limit; where
/// both are readable and disagree entirely, the earlier stands.
fn both(a: Option<CpuSet>, b: Option<CpuSet>) -> Option<CpuSet> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.intersection(&b))
            .filter(|set| !set.is_empty())
            .or(Some(a)),
        (a, b) => a.or(b),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    /// Version 2: all controllers in one hierarchy.
    Unified,
    /// Version 1, `cpuset`.
    Cpuset,
    /// Version 1, `cpu`.
    Cpu,
}

/// More mounts of control groups than any process has (one per controller, some twice); each
/// costs a walk up to its mount point.
const MOUNTS_MAX: usize = 64;

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    controller: Controller,
    /// Which group of the hierarchy is seen at `point`.
    group: String,
    point: String,
}

fn mounts(tree: &mut Tree) -> Vec<Mount> {
    let mut found = Vec::new();
    if let Some(text) = tree.text("proc/self/mountinfo") {
        text.lines()
            .filter_map(mountinfo_line)
            .for_each(|line| line.push_to(&mut found));
    } else if let Some(text) = tree
        .text("proc/self/mounts")
        .or_else(|| tree.text("proc/mounts"))
    {
        text.lines()
            .filter_map(mounts_line)
            .for_each(|line| line.push_to(&mut found));
    } else {
        usual_places(tree, &mut found);
    }
    found
}

struct Line<'a> {
    group: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl Line<'_> {
    fn push_to(&self, mounts: &mut Vec<Mount>) {
        let has = |name| self.options.split(',').any(|option| option == name);
        let mut push = |controller| {
            let (group, point) = (self.group.to_owned(), self.point.to_owned());
            let mount = Mount {
                controller,
                group,
                point,
            };
            if mounts.len() < MOUNTS_MAX && !mounts.contains(&mount) {
                mounts.push(mount);
            }
        };
        match self.kind {
            "cgroup2" => push(Controller::Unified),
            "cpuset" => push(Controller::Cpuset),
            "cgroup" => {
                if has("cpuset") {
                    push(Controller::Cpuset);
                }
                if has("cpu") {
                    push(Controller::Cpu);
                }
            }
            _ => {}
        }
    }
}

/// `36 25 0:31 <group> <point> rw,… … - <kind> <source> <options>`
fn mountinfo_line(line: &str) -> Option<Line<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let mut right = right.split(' ');
    let (group, point) = (left.next()?, left.next()?);
    Some(Line {
        group,
        point,
        kind: right.next()?,
        options: right.nth(1)?,
    })
}

/// `<source> <point> <kind> <options> 0 0`
fn mounts_line(line: &str) -> Option<Line<'_>> {
    let mut words = line.split(' ').skip(1);
    let (point, kind, options) = (words.next()?, words.next()?, words.next()?);
    Some(Line {
        group: "/",
        point,
        kind,
        options,
    })
}

/// Without a mount table: where every distribution puts them.
fn usual_places(tree: &Tree, mounts: &mut Vec<Mount>) {
    let places = [
        (Controller::Cpuset, "sys/fs/cgroup/cpuset"),
        (Controller::Cpu, "sys/fs/cgroup/cpu"),
        (Controller::Cpu, "sys/fs/cgroup/cpu,cpuacct"),
        (Controller::Unified, "sys/fs/cgroup/unified"),
        (Controller::Unified, "sys/fs/cgroup"),
    ];
    for (controller, point) in places.into_iter().filter(|(_, point)| tree.is_dir(point)) {
        mounts.push(Mount {
            controller,
            group: "/".into(),
            point: point.into(),
        });
    }
}

/// The group in the lines of `/proc/self/cgroup`: `4:cpu,cpuacct:/group`, `0::/group`.
fn path_of(groups: &str, controller: Controller) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let has = |name| controllers.split(',').any(|c| c == name);
        let is_it = match controller {
            Controller::Unified => number == "0" && controllers.is_empty(),
            Controller::Cpuset => has("cpuset"),
            Controller::Cpu => has("cpu"),
        };
        is_it.then_some(path)
    })
}

/// The directories from the process's group up to the mount point, nearest first.
fn way_up(tree: &Tree, mount: &Mount, group: &str) -> Vec<PathBuf> {
    let point = Path::new(&mount.point);
    // Inside a container the mount shows a subtree, while the path may still be the host's.
    let below = Path::new(group)
        .strip_prefix(&mount.group)
        .unwrap_or(Path::new(group));
    let below = below.strip_prefix("/").unwrap_or(below);
    // A group outside of what is mounted (`/../other`) or not visible: the mount point is all
    // that can be known.
    let outside = below
        .components()
        .any(|c| !matches!(c, std::path::Component::Normal(_)));
    if outside || !tree.is_dir(point.join(below)) {
        return vec![point.to_path_buf()];
    }
    below.ancestors().map(|part| point.join(part)).collect()
}

fn nearest(tree: &mut Tree, way: &[PathBuf], files: &[&str]) -> Option<CpuSet> {
    way.iter().find_map(|dir| {
        let mut sets = files.iter().filter_map(|file| tree.list(dir.join(file)));
        sets.find(|set| !set.is_empty())
    })
}

/// `max 100000` or `150000 100000`.
fn quota_v2(tree: &mut Tree, dir: &Path) -> Option<Quota> {
    let text = tree.text(dir.join("cpu.max"))?;
    let mut words = text.split_whitespace().map(|word| word.parse().ok());
    Quota::new(words.next()??, words.next()??)
}

/// `-1` means no quota.
fn quota_v1(tree: &mut Tree, dir: &Path) -> Option<Quota> {
    let mut read = |file| u64::try_from(tree.number(dir.join(file))?).ok();
    Quota::new(read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)
}
