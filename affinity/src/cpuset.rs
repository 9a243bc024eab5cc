//! Sets of CPU ids, and the two text forms in which the kernel prints them.
//!
//! The *list* form (`0-3,8,10-11`) is what people read and write; the *mask* form
//! (`00000000,00000f0f`) is what the kernel has always had. A recorded machine may hold either.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The kernel's number of one logical CPU, 0..=65535.
///
/// The width is the bound: no CPU id that this crate accepts is larger, so no set can be made
/// huge by one hostile number.
pub type CpuId = u16;

/// A set of CPU ids, as wide as its largest member needs.
///
/// Insert, remove and lookup are O(1); set operations are O(largest id / 64).
///
/// ```
/// use pinfold_affinity::CpuSet;
///
/// let set: CpuSet = "0-3,8,10-11".parse().unwrap();
/// assert_eq!(set.len(), 7);
/// assert!(set.contains(10) && !set.contains(9));
/// assert_eq!(set.to_string(), "0-3,8,10-11");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CpuSet {
    /// Invariant: the last word is not zero, so that equal sets have equal words.
    words: Vec<u64>,
}

const BITS: usize = u64::BITS as usize;

impl CpuSet {
    /// The largest id that a set can hold.
    pub const MAX_ID: CpuId = CpuId::MAX;

    /// The empty set; allocates nothing.
    ///
    /// ```
    /// assert!(pinfold_affinity::CpuSet::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        CpuSet { words: Vec::new() }
    }

    /// The set of one CPU.
    ///
    /// ```
    /// assert_eq!(pinfold_affinity::CpuSet::single(70).to_string(), "70");
    /// ```
    pub fn single(cpu: CpuId) -> Self {
        let mut set = CpuSet::new();
        set.insert(cpu);
        set
    }

    /// Adds `cpu`; returns whether it was absent.
    ///
    /// ```
    /// let mut set = pinfold_affinity::CpuSet::new();
    /// assert!(set.insert(3));
    /// assert!(!set.insert(3));
    /// ```
    pub fn insert(&mut self, cpu: CpuId) -> bool {
        let (word, bit) = position(cpu);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let absent = self.words[word] & bit == 0;
        self.words[word] |= bit;
        absent
    }

    /// Adds all of `first..=last`, a word at a time: a list may name all CPUs over and over.
    fn insert_range(&mut self, first: CpuId, last: CpuId) {
        let ((low, from), (high, to)) = (position(first), position(last));
        if self.words.len() <= high {
            self.words.resize(high + 1, 0);
        }
        // `from` has its one bit where the range begins, `to` where it ends.
        let (from, to) = (!(from - 1), to | (to - 1));
        for (index, word) in self.words.iter_mut().enumerate().take(high + 1).skip(low) {
            let begins = if index == low { from } else { u64::MAX };
            let ends = if index == high { to } else { u64::MAX };
            *word |= begins & ends;
        }
    }

    /// Takes `cpu` out; returns whether it was present.
    ///
    /// ```
    /// let mut set = pinfold_affinity::CpuSet::single(3);
    /// assert!(set.remove(3));
    /// assert!(set.is_empty());
    /// ```
    pub fn remove(&mut self, cpu: CpuId) -> bool {
        let present = self.contains(cpu);
        if present {
            let (word, bit) = position(cpu);
            self.words[word] &= !bit;
            self.trim();
        }
        present
    }

    /// Whether `cpu` is a member.
    ///
    /// ```
    /// assert!(pinfold_affinity::CpuSet::single(3).contains(3));
    /// ```
    pub fn contains(&self, cpu: CpuId) -> bool {
        let (word, bit) = position(cpu);
        self.words.get(word).is_some_and(|w| w & bit != 0)
    }

    /// How many CPUs are members, 0..=65536.
    ///
    /// ```
    /// assert_eq!(pinfold_affinity::CpuSet::from_iter([0, 9, 9]).len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether there is no member.
    ///
    /// ```
    /// assert!(!pinfold_affinity::CpuSet::single(0).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The smallest member.
    ///
    /// ```
    /// assert_eq!(pinfold_affinity::CpuSet::from_iter([9, 4]).first(), Some(4));
    /// ```
    pub fn first(&self) -> Option<CpuId> {
        self.iter().next()
    }

    /// The largest member.
    ///
    /// ```
    /// assert_eq!(pinfold_affinity::CpuSet::from_iter([9, 4]).last(), Some(9));
    /// ```
    pub fn last(&self) -> Option<CpuId> {
        let top = self.words.last()?;
        let id = self.words.len() * BITS - 1 - top.leading_zeros() as usize;
        CpuId::try_from(id).ok()
    }

    /// The members in ascending order.
    ///
    /// ```
    /// let set = pinfold_affinity::CpuSet::from_iter([64, 1]);
    /// assert_eq!(set.iter().collect::<Vec<_>>(), [1, 64]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                CpuId::try_from(index * BITS + bit).ok()
            })
        })
    }

    /// The members of both sets.
    ///
    /// ```
    /// # use pinfold_affinity::CpuSet;
    /// let (a, b) = (CpuSet::from_iter(0..4), CpuSet::from_iter(2..9));
    /// assert_eq!(a.intersection(&b).to_string(), "2-3");
    /// ```
    #[must_use]
    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a & b);
        CpuSet::from_words(words.collect())
    }

    /// The members of either set.
    ///
    /// ```
    /// # use pinfold_affinity::CpuSet;
    /// let (a, b) = (CpuSet::from_iter(0..4), CpuSet::from_iter(2..9));
    /// assert_eq!(a.union(&b).to_string(), "0-8");
    /// ```
    #[must_use]
    pub fn union(&self, other: &CpuSet) -> CpuSet {
        let (long, short) = if self.words.len() < other.words.len() {
            (other, self)
        } else {
            (self, other)
        };
        let mut words = long.words.clone();
        for (word, add) in words.iter_mut().zip(&short.words) {
            *word |= add;
        }
        CpuSet::from_words(words)
    }

    /// The members of this set that `other` lacks.
    ///
    /// ```
    /// # use pinfold_affinity::CpuSet;
    /// let (a, b) = (CpuSet::from_iter(0..4), CpuSet::from_iter(2..9));
    /// assert_eq!(a.difference(&b).to_string(), "0-1");
    /// ```
    #[must_use]
    pub fn difference(&self, other: &CpuSet) -> CpuSet {
        let mut words = self.words.clone();
        for (word, take) in words.iter_mut().zip(&other.words) {
            *word &= !take;
        }
        CpuSet::from_words(words)
    }

    /// Whether every member is also in `other`.
    ///
    /// ```
    /// # use pinfold_affinity::CpuSet;
    /// assert!(CpuSet::single(2).is_subset(&CpuSet::from_iter(0..4)));
    /// ```
    pub fn is_subset(&self, other: &CpuSet) -> bool {
        self.difference(other).is_empty()
    }

    /// Reads the kernel's mask form: hexadecimal, most significant digit first, a comma after
    /// every 32 bits (`00000001,0000ffff`).
    pub(crate) fn from_mask(text: &str) -> Result<CpuSet, CpuListError> {
        let mut set = CpuSet::new();
        let mut bit = 0_u32;
        let digits = text.trim_end();
        for (at, byte) in digits.bytes().enumerate().rev() {
            let bad = |kind| CpuListError {
                column: at + 1,
                kind,
            };
            match (byte, (byte as char).to_digit(16)) {
                // A comma closes eight digits, so it stands at a whole number of 32 bits.
                (b',', _) if bit > 0 && bit.is_multiple_of(32) => continue,
                (_, Some(value)) => {
                    for offset in (0..4).filter(|offset| value >> offset & 1 == 1) {
                        let id = CpuId::try_from(bit + offset);
                        set.insert(id.map_err(|_| bad(CpuListErrorKind::TooLarge))?);
                    }
                    bit = bit.saturating_add(4);
                }
                _ => return Err(bad(CpuListErrorKind::NotANumber)),
            }
        }
        if bit == 0 {
            return Err(CpuListError {
                column: 1,
                kind: CpuListErrorKind::NotANumber,
            });
        }
        Ok(set)
    }

    fn from_words(words: Vec<u64>) -> CpuSet {
        let mut set = CpuSet { words };
        set.trim();
        set
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

fn position(cpu: CpuId) -> (usize, u64) {
    let id = usize::from(cpu);
    (id / BITS, 1 << (id % BITS))
}

impl FromIterator<CpuId> for CpuSet {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        let mut set = CpuSet::new();
        set.extend(cpus);
        set
    }
}

impl Extend<CpuId> for CpuSet {
    fn extend<I: IntoIterator<Item = CpuId>>(&mut self, cpus: I) {
        for cpu in cpus {
            self.insert(cpu);
        }
    }
}

impl fmt::Display for CpuSet {
    /// The kernel's list form; the empty set prints as nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_runs(f, self.iter())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

/// Prints ids in the order given, each ascending run of neighbours as `first-last`.
pub(crate) fn write_runs(
    f: &mut fmt::Formatter<'_>,
    ids: impl Iterator<Item = CpuId>,
) -> fmt::Result {
    let mut ids = ids.peekable();
    let mut comma = "";
    while let Some(first) = ids.next() {
        let mut last = first;
        while let Some(next) = ids.next_if(|&id| last.checked_add(1) == Some(id)) {
            last = next;
        }
        write!(f, "{comma}{first}")?;
        if last > first {
            write!(f, "-{last}")?;
        }
        comma = ",";
    }
    Ok(())
}

/// A CPU list that could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column {column}: {kind}")]
pub struct CpuListError {
    /// Where the fault begins, in bytes from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: CpuListErrorKind,
}

/// What is wrong with a CPU list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CpuListErrorKind {
    /// Something other than a decimal number where an id belongs; also an empty item (`0,,2`).
    #[error("expected a CPU number")]
    NotANumber,
    /// An id above [`CpuSet::MAX_ID`].
    #[error("CPU number above {}", CpuSet::MAX_ID)]
    TooLarge,
    /// A range whose end comes before its start.
    #[error("reversed range {first}-{last}")]
    Reversed {
        /// The number before the dash.
        first: CpuId,
        /// The number after the dash.
        last: CpuId,
    },
}

impl FromStr for CpuSet {
    type Err = CpuListError;

    /// Reads the kernel's list form (`0-3,8`). White space around the whole is ignored; nothing
    /// at all is the empty set; an id may occur twice.
    ///
    /// # Errors
    /// [`CpuListError`] names the column of the first fault.
    ///
    /// ```
    /// # use pinfold_affinity::{CpuListErrorKind, CpuSet};
    /// let fault = "0-3,9-8".parse::<CpuSet>().unwrap_err();
    /// assert_eq!(fault.column, 5);
    /// assert_eq!(fault.kind, CpuListErrorKind::Reversed { first: 9, last: 8 });
    /// ```
    fn from_str(text: &str) -> Result<Self, CpuListError> {
        let list = text.trim_ascii();
        if list.is_empty() {
            return Ok(CpuSet::new());
        }
        let mut column = 1 + text.len() - text.trim_ascii_start().len();
        let mut set = CpuSet::new();
        for item in list.split(',') {
            let (first, last) = parse_range(item, column)?.into_inner();
            set.insert_range(first, last);
            column += item.len() + 1;
        }
        Ok(set)
    }
}

/// Reads `7` or `4-7`; `column` is where `item` begins.
pub(crate) fn parse_range(
    item: &str,
    column: usize,
) -> Result<std::ops::RangeInclusive<CpuId>, CpuListError> {
    let Some((first, last)) = item.split_once('-') else {
        let id = parse_id(item, column)?;
        return Ok(id..=id);
    };
    let start = parse_id(first, column)?;
    let end = parse_id(last, column + first.len() + 1)?;
    if start > end {
        let kind = CpuListErrorKind::Reversed {
            first: start,
            last: end,
        };
        return Err(CpuListError { column, kind });
    }
    Ok(start..=end)
}

fn parse_id(digits: &str, column: usize) -> Result<CpuId, CpuListError> {
    let kind = if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        CpuListErrorKind::NotANumber
    } else {
        match digits.parse() {
            Ok(id) => return Ok(id),
            // All digits and at least one: the only fault left is the range.
            Err(_) => CpuListErrorKind::TooLarge,
        }
    };
    Err(CpuListError { column, kind })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(text: &str) -> (usize, CpuListErrorKind) {
        let error = text.parse::<CpuSet>().unwrap_err();
        (error.column, error.kind)
    }

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        let set: CpuSet = " 0-3,8,10-11\n".parse().unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!("\n".parse::<CpuSet>(), Ok(CpuSet::new()));
        assert_eq!("65535".parse::<CpuSet>().unwrap().last(), Some(65535));
    }

    #[test]
    fn a_fault_names_its_column() {
        use CpuListErrorKind::*;
        assert_eq!(fault("0-3,9-8"), (5, Reversed { first: 9, last: 8 }));
        assert_eq!(fault("0,65536"), (3, TooLarge));
        assert_eq!(fault("0-99999999999999999999"), (3, TooLarge));
        assert_eq!(fault("1,,2"), (3, NotANumber));
        assert_eq!(fault("  x"), (3, NotANumber));
        assert_eq!(fault("1-"), (3, NotANumber));
        assert_eq!(fault("+1"), (1, NotANumber));
        assert_eq!(fault("0 1"), (1, NotANumber));
    }

    #[test]
    fn masks_are_read_from_the_right() {
        let mask = |text| CpuSet::from_mask(text).map(|set| set.to_string());
        assert_eq!(mask("00000001,0000ff01\n").unwrap(), "0,8-15,32");
        assert_eq!(mask("fffff").unwrap(), "0-19");
        assert_eq!(mask("0").unwrap(), "");
        assert_eq!(mask("").unwrap_err().column, 1);
        assert_eq!(mask("1,1").unwrap_err().column, 2);
        assert_eq!(mask("12x4").unwrap_err().column, 3);
        let wide = format!("1{}", "0".repeat(16384));
        assert_eq!(mask(&wide).unwrap_err().kind, CpuListErrorKind::TooLarge);
    }

    #[test]
    fn equal_sets_are_equal_however_they_were_made() {
        let mut set = CpuSet::from_iter([1, 4000]);
        set.remove(4000);
        assert_eq!(set, CpuSet::single(1));
        assert_eq!(
            CpuSet::from_iter([900]).intersection(&CpuSet::single(1)),
            CpuSet::new()
        );
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(ids in prop::collection::btree_set(any::<u16>(), 0..64)) {
            let set = CpuSet::from_iter(ids.iter().copied());
            prop_assert_eq!(set.to_string().parse::<CpuSet>().unwrap(), set.clone());
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), ids.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), ids.len());
            prop_assert_eq!(set.last(), ids.last().copied());
        }

        #[test]
        fn set_operations_agree_with_the_standard_library(
            a in prop::collection::btree_set(0_u16..300, 0..40),
            b in prop::collection::btree_set(0_u16..300, 0..40),
        ) {
            let (x, y) = (CpuSet::from_iter(a.iter().copied()), CpuSet::from_iter(b.iter().copied()));
            prop_assert_eq!(x.union(&y), a.union(&b).copied().collect::<CpuSet>());
            prop_assert_eq!(x.intersection(&y), a.intersection(&b).copied().collect::<CpuSet>());
            prop_assert_eq!(x.difference(&y), a.difference(&b).copied().collect::<CpuSet>());
            prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        }

        #[test]
        fn no_text_panics_and_a_fault_lies_inside_it(text in "[0-9,x -]{0,24}") {
            if let Err(error) = text.parse::<CpuSet>() {
                prop_assert!(error.column >= 1 && error.column <= text.len() + 1);
            }
        }
    }
}
