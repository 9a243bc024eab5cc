//! The comments in core are true: at each site that could be weaker, and at each step that could be left
//! out, a model that the comment names fails if it is.
//!
//! This is the short form of the binary `mutants`, which takes every weaker ordering and all models: here
//! each site meets its weakest mutant and the models it names. Each run is a process of its own, for
//! the mutant is chosen by the environment.

#[path = "../src/bin/mutants/models.rs"]
mod models;
#[path = "../src/bin/mutants/sites.rs"]
mod sites;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use models::{Model, NOBODY, Verdict};
use pinfold_core::sync::mutant;
use sites::{Site, of_core};

const LIMIT: Duration = Duration::from_secs(120);

/// The models that core names, or `None` if one was not built with this test.
fn named_models(sites: &[Site]) -> Option<BTreeMap<String, Model>> {
    let names: BTreeSet<&String> = sites.iter().flat_map(|site| &site.models).collect();
    let files = names
        .iter()
        .filter_map(|name| Some(name.split_once("::")?.0));
    let all = models::in_binaries(models::siblings(&files.collect()));
    let mut found = BTreeMap::new();
    for name in names {
        let Some(model) = all.iter().find(|model| model.name == *name) else {
            println!("skipped: {name} is not built");
            return None;
        };
        found.insert(name.clone(), model.clone());
    }
    Some(found)
}

#[test]
fn each_site_s_weakest_mutant_fails_a_model_that_the_site_names() {
    if std::env::var_os(mutant::VARIABLE).is_some() {
        println!("skipped: this run is a mutant's");
        return;
    }
    let sites = of_core().unwrap();
    let Some(models) = named_models(&sites) else {
        return;
    };
    let mut survivors = Vec::new();
    let mut killers = Vec::new();
    for site in &sites {
        let weakest = site.mutants().into_iter().last();
        let Some(weakest) = weakest.filter(|mutant| !site.argues_for(mutant)) else {
            continue;
        };
        let fails = |name: &&String| models[*name].run(&weakest.to_string(), LIMIT).is_failure();
        let killer = site.models.iter().find(fails);
        println!("{weakest}: {killer:?}");
        match killer {
            Some(name) => killers.push(name),
            None => survivors.push(weakest),
        }
    }
    assert!(survivors.is_empty(), "nobody notices {survivors:?}");
    assert!(killers.len() > 40, "only {killers:?}: are all sites read?");
    // What could fail for any mutant is the table, which is one for all: a model of each file will do.
    let mut files = BTreeSet::new();
    for name in killers {
        if files.insert(&models[name].file) {
            let verdict = models[name].run(NOBODY, LIMIT);
            assert_eq!(verdict, Verdict::Passed, "{name} fails for any mutant");
        }
    }
}

#[test]
fn sites_are_found_however_they_are_wrapped() {
    let source = r#"
        // Model: x::y.
        a.store(1, order!("x.one", Release));
        // A comment without a name.
        a.load(order!("x.four", Relaxed));
        // Acquire: pairs. Model: x::z,
        // x::y. And more.
        let b = a.compare_exchange(order!(
            "x.a.very.long.name",
            AcqRel,
        ), order!("x.fail", Relaxed));
        /// order!("in.a.comment", Release)
        // Left out: lost. Model: x::w.
        if !broken!("x.step") {
            fence(order!("x.three", SeqCst));
        }
    "#;
    let sites = sites::in_source(source).unwrap();
    let mutants: Vec<String> = sites
        .iter()
        .flat_map(Site::mutants)
        .map(|mutant| mutant.to_string())
        .collect();
    assert_eq!(
        mutants,
        [
            "x.one=Relaxed",
            "x.a.very.long.name=Acquire",
            "x.a.very.long.name=Release",
            "x.a.very.long.name=Relaxed",
            "x.step",
            "x.three=AcqRel",
            "x.three=Relaxed"
        ]
    );
    let named: Vec<&[String]> = sites.iter().map(|site| site.models.as_slice()).collect();
    assert_eq!(named[0], ["x::y"]);
    assert_eq!(named[1], [] as [&str; 0]);
    assert_eq!(named[2], ["x::z", "x::y"]);
    assert_eq!(named[5], ["x::w"]);
}

#[test]
fn a_site_whose_comment_says_too_little_is_refused() {
    let refused = |source| sites::in_source(source).unwrap_err();
    assert_eq!(
        refused("a.load(order!(\"x.y\", Acquire));"),
        "x.y: which model notices?"
    );
    assert_eq!(
        refused("// Model: a::b.\na.load(order!(\"x.y\", SeqCst));"),
        "x.y: only a fence is SeqCst here"
    );
    assert_eq!(
        refused("// Argued Relaxed: no model sees it.\na.load(order!(\"x.y\", Acquire));"),
        "x.y: an argument that rests on nothing"
    );
    let argued = "Argued Relaxed: the loads of one word keep their order on every machine there is. \
                  Rests on: C++20, 6.9.2.2.";
    let argued_for = |ordering: &str| format!("// {argued}\na.load(order!(\"x.y\", {ordering}));");
    let site = &sites::in_source(&argued_for("Acquire")).unwrap()[0];
    assert!(site.argues_for(&site.mutants()[0]));
    assert_eq!(
        refused(&argued_for("Relaxed")),
        "x.y: an argument for what is no mutant"
    );
}

#[test]
fn a_message_of_cargo_s_names_the_test_that_was_built() {
    let message = r#"{"target":{"kind":["test"],"name":"deque"},"executable":"C:\\x\\deque-1"}"#;
    let path = models::executable(message).unwrap();
    assert_eq!(path.to_str(), Some(r"C:\x\deque-1"));
    assert_eq!(
        models::executable(r#"{"target":{"kind":["bin"]},"executable":"/x/mutants"}"#),
        None
    );
    assert_eq!(
        models::executable(r#"{"target":{"kind":["test"]},"executable":null}"#),
        None
    );
}
