//! What the user asks for: where workers are placed, and how hard they are held there.
//!
//! ```text
//! placement = policy *( "," option )
//! policy    = "none" | "compact" | "spread" | "cpus=" list
//! list      = item *( "," item )          item = 7 | 4-7, in the order of the workers
//! option    = "smt=" ( "on" | "off" ) | "bind=" ( "none" | "group" | "core" | "cpu" )
//! ```

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::cpuset::{CpuId, CpuListErrorKind, CpuSet, parse_range, write_runs};

/// Where workers are placed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Leave workers to the operating system.
    #[default]
    None,
    /// Fill SMT siblings, cores, caches and nodes one after the other, nearest first.
    Compact,
    /// One worker per package, node, cache and core first; SMT siblings last.
    Spread,
    /// Worker `i` on the `i`-th CPU of the list.
    Cpus(Vec<CpuId>),
}

impl Policy {
    /// The words that begin a placement, as the user writes them.
    pub const KNOWN: [&'static str; 4] = ["none", "compact", "spread", "cpus=LIST"];
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::None => f.write_str("none"),
            Policy::Compact => f.write_str("compact"),
            Policy::Spread => f.write_str("spread"),
            Policy::Cpus(cpus) => {
                f.write_str("cpus=")?;
                write_runs(f, cpus.iter().copied())
            }
        }
    }
}

/// How hard a worker is held where it was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bind {
    /// Not at all: the place is a hint for victim order and memory.
    None,
    /// To the CPUs of its group (the CPUs of one node that share an L3).
    Group,
    /// To the CPUs of its core.
    Core,
    /// To its one CPU.
    Cpu,
}

impl Bind {
    const ALL: [(&'static str, Bind); 4] = [
        ("none", Bind::None),
        ("group", Bind::Group),
        ("core", Bind::Core),
        ("cpu", Bind::Cpu),
    ];
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bind::None => "none",
            Bind::Group => "group",
            Bind::Core => "core",
            Bind::Cpu => "cpu",
        })
    }
}

/// A placement: policy, SMT filter and binding strength.
///
/// The default is `none`. A binding strength that is not given is chosen by
/// [`Plan::new`](crate::Plan::new) from what measurements support: `cpu` for an explicit list; for
/// `compact` and `spread`, `group` where the usable CPUs form several groups and `none` where they
/// form one (there a bound worker can only lose: the scheduler may no longer move it away from a
/// busy CPU, and nothing gets nearer). Write `bind=cpu` to pin regardless.
///
/// Every placement that a plan accepts prints in canonical form and is read back equal.
///
/// ```
/// use pinfold_affinity::{Bind, Placement, Policy};
///
/// let placement = Placement::parse("spread,smt=off,bind=group")?;
/// assert_eq!(placement.policy(), &Policy::Spread);
/// assert_eq!(placement.smt(), false);
/// assert_eq!(placement.bind(), Some(Bind::Group));
///
/// let listed = Placement::parse("cpus=8,0,1,2")?;
/// assert_eq!(listed.to_string(), "cpus=8,0-2");
/// assert_eq!(Placement::default().to_string(), "none");
/// # Ok::<(), pinfold_affinity::PlacementError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Placement {
    policy: Policy,
    smt: bool,
    bind: Option<Bind>,
}

impl Default for Placement {
    /// `none`.
    fn default() -> Self {
        Placement::new(Policy::None)
    }
}

impl Placement {
    /// `policy`, with SMT siblings in use and the binding strength left to the plan.
    ///
    /// ```
    /// use pinfold_affinity::{Placement, Policy};
    /// assert_eq!(Placement::new(Policy::Compact).to_string(), "compact");
    /// ```
    pub const fn new(policy: Policy) -> Self {
        Placement {
            policy,
            smt: true,
            bind: None,
        }
    }

    /// Whether a second hardware thread of a core may get a worker.
    ///
    /// ```
    /// use pinfold_affinity::{Placement, Policy};
    /// assert_eq!(Placement::new(Policy::Spread).with_smt(false).to_string(), "spread,smt=off");
    /// ```
    #[must_use]
    pub fn with_smt(self, smt: bool) -> Self {
        Placement { smt, ..self }
    }

    /// Asks for a binding strength.
    ///
    /// ```
    /// use pinfold_affinity::{Bind, Placement, Policy};
    /// let placement = Placement::new(Policy::Spread).with_bind(Bind::Cpu);
    /// assert_eq!(placement.to_string(), "spread,bind=cpu");
    /// ```
    #[must_use]
    pub fn with_bind(self, bind: Bind) -> Self {
        Placement {
            bind: Some(bind),
            ..self
        }
    }

    /// Where workers are placed.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether SMT siblings are used; `true` unless switched off.
    pub fn smt(&self) -> bool {
        self.smt
    }

    /// The binding strength asked for; `None` leaves it to the plan.
    pub fn bind(&self) -> Option<Bind> {
        self.bind
    }

    /// Reads a placement as a user writes it; the same as [`FromStr`].
    ///
    /// Only the form is judged here. Whether the machine has those CPUs, and whether an option has
    /// an effect on the policy, is for [`Plan::new`](crate::Plan::new).
    ///
    /// # Errors
    /// [`PlacementError`] names the column and what is known there.
    ///
    /// ```
    /// use pinfold_affinity::Placement;
    ///
    /// let error = Placement::parse("sprad").unwrap_err();
    /// assert_eq!(error.column, 1);
    /// assert_eq!(
    ///     error.to_string(),
    ///     "column 1: unknown policy `sprad`; known: none, compact, spread, cpus=LIST",
    /// );
    /// ```
    pub fn parse(text: &str) -> Result<Self, PlacementError> {
        Parser::new(text).placement()
    }
}

impl FromStr for Placement {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        Placement::parse(text)
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.policy)?;
        if !self.smt {
            f.write_str(",smt=off")?;
        }
        self.bind.map_or(Ok(()), |bind| write!(f, ",bind={bind}"))
    }
}

/// A placement that could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column}: {kind}")]
pub struct PlacementError {
    /// Where the fault begins, in bytes from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: PlacementErrorKind,
}

/// What is wrong with a placement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlacementErrorKind {
    /// The first word is no policy.
    #[error("unknown policy `{found}`; known: {}", Policy::KNOWN.join(", "))]
    UnknownPolicy {
        /// The word.
        found: String,
    },
    /// A later word is no option.
    #[error("unknown option `{found}`; known: smt=on|off, bind=none|group|core|cpu")]
    UnknownOption {
        /// The word.
        found: String,
    },
    /// An option has a value that it does not take.
    #[error("unknown value `{found}` of {option}; known: {}", known.join(", "))]
    UnknownValue {
        /// The option.
        option: &'static str,
        /// The value.
        found: String,
        /// The values that it takes.
        known: &'static [&'static str],
    },
    /// An option is given twice.
    #[error("{option} is given twice")]
    Repeated {
        /// The option.
        option: &'static str,
    },
    /// The CPU list cannot be read.
    #[error("in the CPU list: {0}")]
    CpuList(CpuListErrorKind),
    /// A CPU stands in the list twice; each entry is one worker's place.
    #[error("cpu {cpu} stands in the list twice")]
    RepeatedCpu {
        /// The CPU.
        cpu: CpuId,
    },
}

use PlacementErrorKind as Kind;

/// The comma-separated words of a placement with their columns.
struct Parser<'a> {
    words: std::iter::Peekable<std::vec::IntoIter<(usize, &'a str)>>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let mut column = 1;
        let words: Vec<_> = text
            .split(',')
            .map(|word| {
                let at = column + word.len() - word.trim_ascii_start().len();
                column += word.len() + 1;
                (at, word.trim_ascii())
            })
            .collect();
        Parser {
            words: words.into_iter().peekable(),
        }
    }

    fn placement(mut self) -> Result<Placement, PlacementError> {
        let mut placement = Placement::new(self.policy()?);
        let mut smt_given = false;
        for (column, word) in self.words {
            let fail = |kind| PlacementError { column, kind };
            match word.split_once('=') {
                Some(("smt", _)) if smt_given => {
                    return Err(fail(Kind::Repeated { option: "smt" }));
                }
                Some(("bind", _)) if placement.bind.is_some() => {
                    return Err(fail(Kind::Repeated { option: "bind" }));
                }
                Some(("smt", value)) => {
                    placement.smt = smt_value(value, column + 4)?;
                    smt_given = true;
                }
                Some(("bind", value)) => placement.bind = Some(bind_value(value, column + 5)?),
                _ => {
                    return Err(fail(Kind::UnknownOption {
                        found: word.to_owned(),
                    }));
                }
            }
        }
        Ok(placement)
    }

    fn policy(&mut self) -> Result<Policy, PlacementError> {
        let (column, word) = self.words.next().unwrap_or((1, ""));
        match word {
            "none" => Ok(Policy::None),
            "compact" => Ok(Policy::Compact),
            "spread" => Ok(Policy::Spread),
            _ => match word.strip_prefix("cpus=") {
                Some(item) => self.cpus(column + "cpus=".len(), item),
                None => {
                    let kind = Kind::UnknownPolicy {
                        found: word.to_owned(),
                    };
                    Err(PlacementError { column, kind })
                }
            },
        }
    }

    /// The list goes on as long as words begin with a digit; options never do.
    fn cpus(&mut self, column: usize, item: &str) -> Result<Policy, PlacementError> {
        let mut order = Vec::new();
        let mut seen = CpuSet::new();
        let mut next = Some((column, item));
        while let Some((column, item)) = next {
            let range = parse_range(item, column).map_err(|e| PlacementError {
                column: e.column,
                kind: Kind::CpuList(e.kind),
            })?;
            for cpu in range {
                if !seen.insert(cpu) {
                    return Err(PlacementError {
                        column,
                        kind: Kind::RepeatedCpu { cpu },
                    });
                }
                order.push(cpu);
            }
            next = self
                .words
                .next_if(|(_, word)| word.starts_with(|c: char| c.is_ascii_digit()));
        }
        Ok(Policy::Cpus(order))
    }
}

fn smt_value(value: &str, column: usize) -> Result<bool, PlacementError> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(unknown_value("smt", value, &["on", "off"], column)),
    }
}

fn bind_value(value: &str, column: usize) -> Result<Bind, PlacementError> {
    let found = Bind::ALL.into_iter().find(|(name, _)| *name == value);
    let known = &["none", "group", "core", "cpu"];
    found
        .map(|(_, bind)| bind)
        .ok_or_else(|| unknown_value("bind", value, known, column))
}

fn unknown_value(
    option: &'static str,
    value: &str,
    known: &'static [&'static str],
    column: usize,
) -> PlacementError {
    let kind = Kind::UnknownValue {
        option,
        found: value.to_owned(),
        known,
    };
    PlacementError { column, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(text: &str) -> (usize, Kind) {
        let error = Placement::parse(text).unwrap_err();
        (error.column, error.kind)
    }

    #[test]
    fn lists_keep_the_users_order() {
        let placement = Placement::parse("cpus=8, 0-2,5 ,bind=core").unwrap();
        assert_eq!(placement.policy(), &Policy::Cpus(vec![8, 0, 1, 2, 5]));
        assert_eq!(placement.bind(), Some(Bind::Core));
        assert_eq!(placement.to_string(), "cpus=8,0-2,5,bind=core");
    }

    #[test]
    fn a_fault_names_its_column() {
        let unknown = |word: &str| Kind::UnknownPolicy { found: word.into() };
        assert_eq!(fault(""), (1, unknown("")));
        assert_eq!(fault("Spread"), (1, unknown("Spread")));
        assert_eq!(
            fault("spread,"),
            (
                8,
                Kind::UnknownOption {
                    found: String::new()
                }
            )
        );
        assert_eq!(
            fault("spread, numa=1"),
            (
                9,
                Kind::UnknownOption {
                    found: "numa=1".into()
                }
            )
        );
        assert_eq!(
            fault("compact,smt=on,smt=on"),
            (16, Kind::Repeated { option: "smt" })
        );
        assert_eq!(
            fault("none,bind=cpu,bind=cpu"),
            (15, Kind::Repeated { option: "bind" })
        );
        let known: &[&str] = &["on", "off"];
        let value = Kind::UnknownValue {
            option: "smt",
            found: "no".into(),
            known,
        };
        assert_eq!(fault("spread,smt=no"), (12, value));
    }

    #[test]
    fn a_fault_in_a_list_names_its_column() {
        assert_eq!(fault("cpus=0-2,1"), (10, Kind::RepeatedCpu { cpu: 1 }));
        assert_eq!(
            fault("cpus="),
            (6, Kind::CpuList(CpuListErrorKind::NotANumber))
        );
        let reversed = CpuListErrorKind::Reversed { first: 7, last: 4 };
        assert_eq!(fault("cpus=0,7-4"), (8, Kind::CpuList(reversed)));
        assert_eq!(
            fault("cpus=70000"),
            (6, Kind::CpuList(CpuListErrorKind::TooLarge))
        );
    }

    fn any_placement() -> impl Strategy<Value = Placement> {
        let list = prop::collection::btree_set(any::<u16>(), 1..12)
            .prop_map(|cpus| cpus.into_iter().collect::<Vec<_>>())
            .prop_shuffle();
        let policy = prop_oneof![
            Just(Policy::None),
            Just(Policy::Compact),
            Just(Policy::Spread),
            list.prop_map(Policy::Cpus),
        ];
        let bind = prop::option::of(prop::sample::select(vec![
            Bind::None,
            Bind::Group,
            Bind::Core,
            Bind::Cpu,
        ]));
        (policy, any::<bool>(), bind).prop_map(|(policy, smt, bind)| Placement {
            policy,
            smt,
            bind,
        })
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(placement in any_placement()) {
            prop_assert_eq!(Placement::parse(&placement.to_string()).unwrap(), placement);
        }

        #[test]
        fn no_text_panics_and_a_fault_lies_inside_it(text in "(none|spread|cpus=)?[a-z0-9=,é -]{0,24}") {
            if let Err(error) = Placement::parse(&text) {
                prop_assert!(error.column >= 1 && error.column <= text.len() + 1);
            }
        }
    }
}
