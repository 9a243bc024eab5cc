//! What a reading could not tell, or told twice. Notes are data: print them, or match on them.

use std::fmt;
use std::path::PathBuf;

use crate::cpuset::{CpuId, CpuListErrorKind, CpuSet};

/// The kernel's number of one NUMA node.
pub type NodeId = u32;

/// One level of a machine, from the widest to the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// A physical package (socket).
    Package,
    /// A die inside a package.
    Die,
    /// A NUMA node.
    Node,
    /// The CPUs that share a level-3 cache.
    L3,
    /// The CPUs that share a level-2 cache.
    L2,
    /// A core: CPUs that are SMT siblings of each other.
    Core,
    /// One logical CPU (hardware thread).
    Cpu,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Package => "package",
            Level::Die => "die",
            Level::Node => "node",
            Level::L3 => "L3",
            Level::L2 => "L2",
            Level::Core => "core",
            Level::Cpu => "cpu",
        })
    }
}

/// Something that a reading had to do without, or to decide.
///
/// A note never stops a reading. [`Display`](fmt::Display) gives one sentence.
///
/// ```
/// use pinfold_affinity::{CpuSet, Level, Note};
///
/// let note = Note::NoInformation { level: Level::L3, cpus: CpuSet::from_iter(0..4) };
/// assert_eq!(note.to_string(), "no L3 is known for cpus 0-3");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// No file tells this level for these CPUs. Normal for caches that the machine lacks.
    NoInformation {
        /// The level that is not known.
        level: Level,
        /// The CPUs concerned.
        cpus: CpuSet,
    },
    /// A CPU claims companions that an earlier CPU's claim excludes; the earlier claim stands.
    Contradiction {
        /// The level on which they disagree.
        level: Level,
        /// The CPU whose claim was not believed.
        cpu: CpuId,
        /// Whom it claimed to share with.
        claimed: CpuSet,
        /// Whom it is taken to share with; empty where its claim left itself out and was ignored.
        kept: CpuSet,
    },
    /// Thread siblings with core numbers of their own: modules of separate cores, not SMT.
    SiblingsSplit {
        /// The CPUs concerned.
        cpus: CpuSet,
    },
    /// A file exists but does not hold what it should; it was ignored.
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes from 1.
        column: usize,
        /// What is wrong there.
        fault: CpuListErrorKind,
    },
    /// A file exists but could not be used: unreadable, or larger than any such file is.
    Unusable {
        /// The file.
        path: PathBuf,
    },
    /// A node's `cpumap` and `cpulist` differ; the map was believed.
    MapAndListDiffer {
        /// The node.
        node: NodeId,
        /// What the list said.
        list: CpuSet,
    },
    /// All CPUs that this node claims belong to an earlier node; it was left out.
    NodeMerged {
        /// The node that was left out.
        node: NodeId,
        /// The CPUs that it claimed.
        cpus: CpuSet,
    },
    /// The kernel tells no NUMA node: the machine is taken as one node, number 0.
    OneNodeAssumed,
    /// The distances between nodes are absent, incomplete, zero or all equal: unknown.
    NoDistances,
    /// Only the number of CPUs is known; each stands for a core of its own.
    Flat {
        /// How many CPUs.
        cpus: usize,
    },
    /// There was more to note than anybody reads, or than memory should hold.
    Omitted {
        /// How many notes were left out.
        notes: usize,
    },
    /// The affinity mask could not be read: every CPU of the machine is taken as allowed.
    NoMask,
    /// The affinity mask and the cpuset share no CPU; the mask was believed.
    MaskOutsideCpuset {
        /// The affinity mask.
        mask: CpuSet,
        /// The cpuset of the control group.
        cpuset: CpuSet,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NoInformation { level, cpus } => write!(f, "no {level} is known for cpus {cpus}"),
            Note::OneNodeAssumed => f.write_str("no NUMA node is known; taken as one node 0"),
            Note::NoDistances => f.write_str("the distances between nodes are unknown"),
            Note::Flat { cpus } => write!(f, "only the number of CPUs is known: {cpus}"),
            Note::Omitted { notes } => write!(f, "{notes} more notes are left out"),
            Note::NoMask => {
                f.write_str("the affinity mask is unknown; every CPU is taken as allowed")
            }
            Note::Malformed {
                path,
                column,
                fault,
            } => {
                write!(
                    f,
                    "{}: column {column}: {fault}; file ignored",
                    path.display()
                )
            }
            Note::Unusable { path } => write!(f, "{}: cannot be used; ignored", path.display()),
            _ => self.fmt_disagreement(f),
        }
    }
}

impl Note {
    /// The notes about two sources that do not agree.
    fn fmt_disagreement(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Contradiction {
                level,
                cpu,
                claimed,
                kept,
            } => {
                write!(
                    f,
                    "cpu {cpu} claims that its {level} is that of cpus {{{claimed}}}"
                )?;
                match kept.is_empty() {
                    true => f.write_str(" without itself; ignored"),
                    false => write!(f, ", against an earlier claim; taken as {{{kept}}}"),
                }
            }
            Note::SiblingsSplit { cpus } => write!(
                f,
                "cpus {cpus} are listed as thread siblings but have separate core ids; taken as cores"
            ),
            Note::MapAndListDiffer { node, list } => write!(
                f,
                "node {node}: its cpulist says {list}, its cpumap differs; the map is believed"
            ),
            Note::NodeMerged { node, cpus } => write!(
                f,
                "node {node} claims cpus {cpus}, which all belong to an earlier node; left out"
            ),
            Note::MaskOutsideCpuset { mask, cpuset } => write!(
                f,
                "the affinity mask {mask} and the cpuset {cpuset} share no CPU; the mask is believed"
            ),
            // `fmt` writes the others.
            _ => Ok(()),
        }
    }
}

/// The most notes that are kept: each may hold two sets of 8 KiB.
const NOTES_MAX: usize = 1024;

/// Notes as they are made. Bounded, for a hostile tree gives rise to one for each of its files.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    kept: Vec<Note>,
    omitted: usize,
}

impl Notes {
    pub(crate) fn push(&mut self, note: Note) {
        if self.kept.len() < NOTES_MAX {
            self.kept.push(note);
        } else {
            self.omitted += 1;
        }
    }

    pub(crate) fn into_vec(mut self) -> Vec<Note> {
        if self.omitted > 0 {
            self.kept.push(Note::Omitted {
                notes: self.omitted,
            });
        }
        self.kept
    }
}
