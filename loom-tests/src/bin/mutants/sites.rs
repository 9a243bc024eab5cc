//! What core's source says of its mutants: where they are, which models notice them, and what no model
//! can notice.
//!
//! | in core | is |
//! |---|---|
//! | `order!("site", Release)` | one mutant for each weaker ordering that is legal there |
//! | `broken!("site")` | one mutant: a step of the algorithm is left out |
//! | `Model: file::name, file::other.` in the comment above | who notices it, the quickest first |
//! | `Argued Relaxed: why. Rests on: what.` at that comment's end | a mutant that no model can notice |

#![allow(
    dead_code,
    reason = "the binary and each test that includes this use their parts"
)]

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What a comment puts before the names of its models.
pub const MODEL_MARK: &str = "Model:";

/// What a comment puts before the orderings that no model can tell from the declared one.
const ARGUED_MARK: &str = "Argued ";

/// What an argument puts before the rule or paper it rests on.
const SOURCE_MARK: &str = "Rests on: ";

/// A named place in core that a mutant changes.
#[derive(Debug)]
pub struct Site {
    /// `module.operation.role`
    pub name: String,
    /// The declared ordering; `None` for a step that a mutant leaves out.
    pub ordering: Option<String>,
    /// The models that the comment above it names.
    pub models: Vec<String>,
    /// Weaker orderings that no model can notice.
    pub argued: Vec<String>,
}

/// One change of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The site's name.
    pub site: String,
    /// The ordering in place of the declared one; `None`: the step is left out.
    pub ordering: Option<&'static str>,
}

impl fmt::Display for Mutant {
    /// As the environment variable wants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ordering {
            Some(ordering) => write!(f, "{}={ordering}", self.site),
            None => f.write_str(&self.site),
        }
    }
}

/// The orderings weaker than `declared` that are legal wherever it is. (A fence is `SeqCst` here, and
/// `Relaxed` removes it.)
fn weaker_than(declared: &str) -> &'static [&'static str] {
    match declared {
        "Acquire" | "Release" => &["Relaxed"],
        "AcqRel" => &["Acquire", "Release", "Relaxed"],
        "SeqCst" => &["AcqRel", "Relaxed"],
        _ => &[],
    }
}

impl Site {
    /// All its mutants; none where nothing weaker is legal.
    pub fn mutants(&self) -> Vec<Mutant> {
        let mutant = |ordering| Mutant {
            site: self.name.clone(),
            ordering,
        };
        match &self.ordering {
            None => vec![mutant(None)],
            Some(declared) => {
                let weaker = weaker_than(declared).iter();
                weaker.map(|&ordering| mutant(Some(ordering))).collect()
            }
        }
    }

    /// Whether the source argues that no model can notice `mutant`.
    pub fn argues_for(&self, mutant: &Mutant) -> bool {
        let argued = self.argued.iter().map(|ordering| Some(ordering.as_str()));
        argued.clone().any(|ordering| ordering == mutant.ordering)
    }
}

/// The source files under `folder`, in the order of their names.
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder is readable").path())
        .collect();
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// All sites of core.
///
/// # Errors
///
/// What is wrong with one of them.
pub fn of_core() -> Result<Vec<Site>, String> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut found: Vec<Site> = Vec::new();
    for path in sources(&core) {
        let source = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        for site in in_source(&source)? {
            if found.iter().any(|other| other.name == site.name) {
                return Err(format!("two sites are named {}", site.name));
            }
            found.push(site);
        }
    }
    Ok(found)
}

/// The sites of one file.
///
/// # Errors
///
/// What is wrong with one of them.
pub fn in_source(source: &str) -> Result<Vec<Site>, String> {
    let mut found = Vec::new();
    let mut comment = String::new();
    let mut is_open = false;
    let lines: Vec<&str> = source.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        if let Some(said) = text.strip_prefix("//") {
            if !said.starts_with(['/', '!']) {
                if !is_open {
                    comment.clear();
                }
                comment.push_str(said);
                is_open = true;
            }
            continue;
        }
        is_open = false;
        for (macro_name, is_ordering) in [("order!(", true), ("broken!(", false)] {
            for (at, _) in line.match_indices(macro_name) {
                let before = &line[..at];
                let rest = [&line[at + macro_name.len()..], "\n"].concat();
                let call = rest + &lines[number + 1..].join("\n");
                found.push(site(before, &call, is_ordering, &comment)?);
            }
        }
    }
    Ok(found)
}

/// The site whose macro call begins with `call`, behind `before`.
fn site(before: &str, call: &str, is_ordering: bool, comment: &str) -> Result<Site, String> {
    let (arguments, _) = call.split_once(')').ok_or("a site without an end")?;
    let mut arguments = arguments.split(',').map(str::trim);
    let name = arguments.next().unwrap_or_default().trim_matches('"');
    let ordering = arguments.next().filter(|_| is_ordering).map(str::to_owned);
    if name.is_empty() || ordering.is_some() != is_ordering {
        return Err(format!("`{call}`: no name, or no ordering"));
    }
    if ordering.as_deref() == Some("SeqCst") && !before.ends_with("fence(") {
        return Err(format!("{name}: only a fence is SeqCst here"));
    }
    let site = Site {
        name: name.to_owned(),
        ordering,
        models: named_in(comment),
        argued: argued_in(comment).map_err(|why| format!("{name}: {why}"))?,
    };
    let mutants = site.mutants();
    let is_argued = |mutant: &Mutant| site.argues_for(mutant);
    if site.models.is_empty() && !mutants.iter().all(is_argued) {
        return Err(format!("{name}: which model notices?"));
    }
    if mutants.iter().filter(|mutant| is_argued(mutant)).count() != site.argued.len() {
        return Err(format!("{name}: an argument for what is no mutant"));
    }
    Ok(site)
}

/// The models that a comment names: `file::name`, with commas between several.
pub fn named_in(comment: &str) -> Vec<String> {
    let mut named = Vec::new();
    for list in comment.split(MODEL_MARK).skip(1) {
        for word in list.split_whitespace() {
            let name = word.trim_matches(['`', ',', '.', ';']);
            named.push(name.to_owned());
            if !word.ends_with(',') {
                break;
            }
        }
    }
    named
}

/// The orderings that a comment argues for.
fn argued_in(comment: &str) -> Result<Vec<String>, String> {
    let mut argued = Vec::new();
    for entry in comment.split(ARGUED_MARK).skip(1) {
        let (orderings, argument) = entry
            .split_once(':')
            .ok_or("an argument without an ordering")?;
        let (why, source) = argument
            .split_once(SOURCE_MARK)
            .ok_or("an argument that rests on nothing")?;
        if why.trim().len() < 40 || source.trim().len() < 10 {
            return Err("an argument that says too little".to_owned());
        }
        argued.extend(orderings.split(',').map(|name| name.trim().to_owned()));
    }
    Ok(argued)
}
