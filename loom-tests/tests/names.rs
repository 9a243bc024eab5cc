//! Each model that a comment in core names is there.

#[path = "../src/bin/mutants/sites.rs"]
mod sites;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sites::{MODEL_MARK, named_in, sources};

/// Models that core names and that are still owed. An entry that is not named any more, or whose
/// model is there, fails the test.
const OWED: [&str; 0] = [];

/// The text of each run of comment lines, in one line.
fn comments(source: &str) -> Vec<String> {
    let mut comments = vec![String::new()];
    for line in source.lines() {
        match (line.trim_start().strip_prefix("//"), comments.last_mut()) {
            (Some(text), Some(comment)) => {
                comment.push_str(text.trim_start_matches(['/', '!']));
                comment.push(' ');
            }
            _ => comments.push(String::new()),
        }
    }
    comments
}

fn is_there(tests: &Path, model: &str) -> bool {
    let Some((file, name)) = model.split_once("::") else {
        return false;
    };
    let Ok(source) = fs::read_to_string(tests.join(file).with_extension("rs")) else {
        return false;
    };
    let head = format!("fn {name}() {{");
    let lines: Vec<&str> = source.lines().collect();
    let is_test = |line: usize| {
        let attributes = lines[..line].iter().rev();
        attributes
            .take_while(|line| line.starts_with("#["))
            .any(|&line| line == "#[test]")
    };
    (0..lines.len()).any(|line| lines[line] == head && is_test(line))
}

#[test]
fn each_model_that_core_names_is_there() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = BTreeSet::new();
    for file in sources(&package.join("../core/src")) {
        let source = fs::read_to_string(&file).unwrap();
        let of_file: Vec<String> = comments(&source)
            .iter()
            .flat_map(|comment| named_in(comment))
            .collect();
        let marks = source.matches(MODEL_MARK).count();
        assert!(of_file.len() >= marks, "{}: a name is lost", file.display());
        named.extend(of_file);
    }
    assert!(named.len() >= 10, "only {named:?}: is the mark another?");
    let is_there = |model: &str| is_there(&package.join("tests"), model);
    let missing: Vec<&String> = named
        .iter()
        .filter(|model| !is_there(model) && !OWED.contains(&model.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "core names models that are not there: {missing:?}"
    );
    for owed in OWED {
        assert!(
            named.contains(owed) && !is_there(owed),
            "{owed} is not owed any more"
        );
    }
}

#[test]
fn names_are_found_across_lines_and_in_lists() {
    let source =
        "// Weaker: lost. Model:\n    // a::b, `c::d`. And more.\nlet x;\n/// Model: e::f.\n";
    let named: Vec<String> = comments(source)
        .iter()
        .flat_map(|comment| named_in(comment))
        .collect();
    assert_eq!(named, ["a::b", "c::d", "e::f"]);
}

#[test]
fn a_name_that_is_no_test_is_missing() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    assert!(is_there(
        &tests,
        "names::names_are_found_across_lines_and_in_lists"
    ));
    assert!(!is_there(&tests, "names::no_such_claim"));
    assert!(!is_there(&tests, "no_such_file::no_such_claim"));
    assert!(!is_there(&tests, "names::sources"));
    assert!(!is_there(&tests, "names"));
}
