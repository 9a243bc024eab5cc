//! Placements and CPU lists.

use std::collections::BTreeSet;
use std::fmt::Write;

use pinfold_affinity::{
    CpuId, CpuListErrorKind, CpuSet, Placement, PlacementErrorKind as Kind, Policy,
};
use proptest::prelude::*;

use crate::memory::peak_bytes;
use crate::one_in;

/// The largest set has 8 KiB; it grows by doubling, and lists of ids are longer.
const LIST_BYTES_MAX: usize = 64 << 10;

/// A text that is nearly a placement.
fn placement_like() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "none|compact|spread|cpus=|smt=on|smt=off|bind=(none|group|core|cpu)",
        "smt=|bind=|cpus|smt|bind=bind|=|-|é|\u{0}| |\t|\n|SMT=ON",
        "cpus=[0-9]{1,12}(-[0-9]{1,12})?",
        "[0-9]{1,6}(-[0-9]{1,6})?",
        ".{0,6}",
    ];
    prop::collection::vec((word, ",|,|,|, | ,|;|"), 0..8).prop_map(|words| {
        let joined = words.into_iter().map(|(word, comma)| word + &comma);
        joined.collect()
    })
}

/// What must stand in `text` where a fault of this kind is said to begin.
fn is_there(rest: &str, kind: &Kind) -> bool {
    match kind {
        Kind::UnknownPolicy { found } | Kind::UnknownOption { found } => rest.starts_with(found),
        Kind::UnknownValue { found, .. } => rest.starts_with(found),
        Kind::Repeated { option } => rest.starts_with(&format!("{option}=")),
        Kind::CpuList(CpuListErrorKind::NotANumber) => {
            let id = rest.split(',').next().unwrap_or_default();
            id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit())
        }
        Kind::CpuList(_) | Kind::RepeatedCpu { .. } => {
            rest.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => false,
    }
}

fn check_placement(text: &str) -> Result<(), TestCaseError> {
    let (parsed, peak) = peak_bytes(|| Placement::parse(text));
    prop_assert!(peak <= LIST_BYTES_MAX * 8 + 64 * text.len(), "{peak} bytes");
    match parsed {
        Ok(placement) => {
            let printed = placement.to_string();
            prop_assert_eq!(Placement::parse(&printed), Ok(placement), "{}", printed);
        }
        Err(error) => {
            let rest = text.get(error.column - 1..);
            prop_assert!(rest.is_some(), "{error} is outside, or inside a character");
            prop_assert!(is_there(rest.unwrap_or_default(), &error.kind), "{error}");
            prop_assert!(!error.to_string().is_empty());
        }
    }
    Ok(())
}

/// One item of a list: what stands before the dash, and what after it.
type Item = (u64, Option<u64>);

fn any_item() -> impl Strategy<Value = Item> {
    let id = || {
        prop_oneof![
            6 => 0..200_u64,
            3 => 0..=u64::from(CpuId::MAX),
            1 => prop::sample::select(vec![65_535, 65_536, 1 << 31, u64::from(u32::MAX), u64::MAX]),
        ]
    };
    (id(), prop::option::of(id()))
}

fn print_items(items: &[Item]) -> String {
    let mut text = String::new();
    for (first, last) in items {
        write!(text, "{first}").expect("a string takes all");
        if let Some(last) = last {
            write!(text, "-{last}").expect("a string takes all");
        }
        text.push(',');
    }
    text.pop();
    text
}

/// What the items mean, worked out without the text: the set, or column and kind of the first fault.
fn meaning(items: &[Item]) -> Result<BTreeSet<CpuId>, (usize, CpuListErrorKind)> {
    let mut set = BTreeSet::new();
    let mut column = 1;
    for &(first, last) in items {
        let width = first.to_string().len();
        let narrow =
            |id: u64, at| CpuId::try_from(id).map_err(|_| (at, CpuListErrorKind::TooLarge));
        let start = narrow(first, column)?;
        let end = last.map_or(Ok(start), |last| narrow(last, column + width + 1))?;
        if start > end {
            let kind = CpuListErrorKind::Reversed {
                first: start,
                last: end,
            };
            return Err((column, kind));
        }
        set.extend(start..=end);
        column += width + last.map_or(0, |last| 1 + last.to_string().len()) + 1;
    }
    Ok(set)
}

proptest! {
    #![proptest_config(one_in(1))]

    #[test]
    fn a_placement_is_read_or_refused_where_the_fault_is(text in placement_like()) {
        check_placement(&text)?;
    }

    #[test]
    fn any_string_is_read_or_refused_where_the_fault_is(text in any::<String>()) {
        check_placement(&text)?;
    }

    #[test]
    fn a_list_means_what_its_items_mean(items in prop::collection::vec(any_item(), 1..12)) {
        let text = print_items(&items);
        let (set, peak) = peak_bytes(|| text.parse::<CpuSet>());
        prop_assert!(peak <= LIST_BYTES_MAX, "{peak} bytes for {text}");
        let told = set.map_err(|error| (error.column, error.kind));
        let expected = meaning(&items);
        let ids = told.clone().map(|set| set.iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(ids, expected, "{}", text);
        if let Ok(set) = told {
            prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
    }

    #[test]
    fn any_string_is_a_list_or_refused_inside_it(text in "[0-9]{0,6}[-,0-9 \n\u{0}é]{0,24}|.{0,24}") {
        match text.parse::<CpuSet>() {
            Ok(set) => prop_assert_eq!(set.to_string().parse(), Ok(set)),
            Err(error) => prop_assert!(text.get(error.column - 1..).is_some(), "{}", error),
        }
    }
}

#[test]
fn the_whole_range_over_and_over_is_no_trap() {
    // As long as a file may be: every item names 65536 CPUs that are all there already.
    let text = "0-65535,".repeat((1 << 20) / 8);
    let begun = std::time::Instant::now();
    let (set, peak) = peak_bytes(|| text.trim_end_matches(',').parse::<CpuSet>());
    assert_eq!(set.map(|set| set.len()), Ok(65_536));
    assert!(peak <= LIST_BYTES_MAX, "{peak} bytes");
    println!("1 MiB of whole ranges: {:?}", begun.elapsed());
    let whole = Placement::parse("cpus=0-65535").map(|placement| placement.policy().clone());
    let Ok(Policy::Cpus(cpus)) = whole else {
        panic!("{whole:?}")
    };
    assert_eq!(cpus.len(), 65_536);
}
