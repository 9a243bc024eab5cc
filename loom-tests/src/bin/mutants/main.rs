//! Shows that the models notice: every ordering of core is weakened, every step that core says may be
//! left out is left out, one at a time, and a model must fail each time.
//!
//! `cargo run --release -p pinfold-loom-tests --bin mutants [part of a site's name]`
//!
//! First all models must pass with a mutant of no site. Then each mutant meets the models that the
//! comment at its site names, then those of the same files, then all others, until one fails: by an
//! assertion, a race, a deadlock, or because a thread goes round for ever. Whoever is killed by a model
//! that its comment does not name makes the run fail, for the comment is then not true; so does whoever
//! survives, and whoever is killed although its comment argues that no model can.

mod models;
mod sites;

use std::fmt::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use models::{Model, Verdict};
use sites::{Mutant, Site};

/// The longest a model may take that no mutant disturbs.
const CONTROL_LIMIT: Duration = Duration::from_secs(300);

/// How long a mutant may keep a model busy: this, and [`LIMIT_FACTOR`] times what it takes by itself.
/// Being slow is no failure, so a limit that is too short can only let a mutant survive.
const LIMIT: Duration = Duration::from_secs(20);
const LIMIT_FACTOR: u32 = 10;

/// One in so many mutants may be argued for, and fewer.
const ARGUED_SHARE: usize = 8;

/// A model and the time it takes by itself.
struct Timed {
    model: Model,
    takes: Duration,
}

/// What became of a mutant.
enum Fate {
    Killed {
        by: String,
        how: Verdict,
        /// Whether the comment at the site names the model.
        named: bool,
    },
    Argued,
    /// A model fails, although the source argues that none can.
    Refuted {
        by: String,
    },
    Survived,
}

#[derive(Default)]
struct Tally {
    mutants: usize,
    killed: usize,
    argued: usize,
    survived: usize,
    /// What must be mended.
    faults: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} mutants, {} killed, {} argued, {} survived",
            self.mutants, self.killed, self.argued, self.survived
        )
    }
}

impl Tally {
    /// The sum of both; the faults stay where they are.
    fn and(&self, other: &Tally) -> Tally {
        Tally {
            mutants: self.mutants + other.mutants,
            killed: self.killed + other.killed,
            argued: self.argued + other.argued,
            survived: self.survived + other.survived,
            faults: Vec::new(),
        }
    }

    fn count(&mut self, mutant: &Mutant, fate: &Fate) {
        self.mutants += 1;
        match fate {
            Fate::Killed { by, named, .. } => {
                self.killed += 1;
                if !named {
                    let fault =
                        format!("{mutant}: killed by {by}, which its comment does not name");
                    self.faults.push(fault);
                }
            }
            Fate::Argued => self.argued += 1,
            Fate::Refuted { by } => {
                self.killed += 1;
                let fault = format!("{mutant}: argued for, and yet killed by {by}");
                self.faults.push(fault);
            }
            Fate::Survived => {
                self.survived += 1;
                self.faults.push(format!("{mutant}: survives"));
            }
        }
    }
}

/// Calls `work` for each index below `count`, as many at a time as there are processors.
fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    work(index);
                }
            });
        }
    });
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs all models with a mutant of no site: each must pass.
fn control(models: Vec<Model>) -> Result<Vec<Timed>, String> {
    println!("control: {} models with {} …", models.len(), models::NOBODY);
    let begun = Instant::now();
    let passed = Mutex::new(Vec::new());
    let failed = Mutex::new(String::new());
    in_parallel(models.len(), |index| {
        let model = &models[index];
        let begun = Instant::now();
        let verdict = model.run(models::NOBODY, CONTROL_LIMIT);
        let takes = begun.elapsed();
        if verdict == Verdict::Passed {
            locked(&passed).push((index, takes));
        } else {
            let _ = write!(locked(&failed), "\n{}: {}", model.name, verdict.word());
        }
    });
    let failed = locked(&failed);
    if !failed.is_empty() {
        return Err(format!("without a mutant of core:{failed}"));
    }
    let mut passed = passed.into_inner().unwrap_or_else(PoisonError::into_inner);
    passed.sort_unstable();
    println!(
        "control: all pass, {:.0} s\n",
        begun.elapsed().as_secs_f32()
    );
    let timed = models.into_iter().zip(passed);
    Ok(timed
        .map(|(model, (_, takes))| Timed { model, takes })
        .collect())
}

/// All models, those that are likeliest to notice first.
fn likeliest_first<'m>(site: &Site, models: &'m [Timed]) -> Vec<&'m Timed> {
    let files: Vec<&str> = site
        .models
        .iter()
        .filter_map(|name| Some(name.split_once("::")?.0))
        .collect();
    let mut order: Vec<&Timed> = models.iter().collect();
    order.sort_by_key(|timed| {
        let named = site
            .models
            .iter()
            .position(|name| *name == timed.model.name);
        let is_elsewhere = !files.contains(&timed.model.file.as_str());
        (named.unwrap_or(usize::MAX), is_elsewhere, timed.takes)
    });
    order
}

/// Runs the models with `mutant` until one fails.
fn hunt(site: &Site, mutant: &Mutant, models: &[Timed]) -> Fate {
    let is_argued = site.argues_for(mutant);
    for Timed { model, takes } in likeliest_first(site, models) {
        let how = model.run(&mutant.to_string(), LIMIT + *takes * LIMIT_FACTOR);
        let by = || model.name.clone();
        match how.is_failure() {
            true if is_argued => return Fate::Refuted { by: by() },
            true => {
                let named = site.models.contains(&model.name);
                return Fate::Killed {
                    by: by(),
                    how,
                    named,
                };
            }
            false => {}
        }
    }
    if is_argued {
        Fate::Argued
    } else {
        Fate::Survived
    }
}

fn row(mutant: &Mutant, site: &Site, fate: &Fate, takes: Duration) -> String {
    let from = site.ordering.as_deref().unwrap_or("a step");
    let to = match mutant.ordering {
        Some("Relaxed") if from == "SeqCst" => "none",
        Some(ordering) => ordering,
        None => "left out",
    };
    let fate = match fate {
        Fate::Killed { by, how, .. } => format!("{by} ({})", how.word()),
        Fate::Argued => "argued".to_owned(),
        Fate::Refuted { by } => format!("ARGUED FOR, YET KILLED BY {by}"),
        Fate::Survived => "SURVIVES".to_owned(),
    };
    format!(
        "{:<26} {from:<8} {to:<8} {:>6.1}  {fate}",
        site.name,
        takes.as_secs_f32()
    )
}

/// Hunts all mutants of `sites`, which are all orderings or all steps.
fn hunt_all(sites: &[&Site], models: &[Timed]) -> Tally {
    let hunted: Vec<(&Site, Mutant)> = sites
        .iter()
        .flat_map(|&site| site.mutants().into_iter().map(move |mutant| (site, mutant)))
        .collect();
    let tally = Mutex::new(Tally::default());
    in_parallel(hunted.len(), |index| {
        let (site, mutant) = &hunted[index];
        let begun = Instant::now();
        let fate = hunt(site, mutant, models);
        let mut tally = locked(&tally);
        tally.count(mutant, &fate);
        let row = row(mutant, site, &fate, begun.elapsed());
        println!("{:>3}/{} {row}", tally.mutants, hunted.len());
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Everything; the number of faults.
fn run(part: &str) -> Result<usize, String> {
    let begun = Instant::now();
    let sites = sites::of_core()?;
    let models = models::in_binaries(models::build()?);
    for name in sites.iter().flat_map(|site| &site.models) {
        if !models.iter().any(|model| model.name == *name) {
            return Err(format!("core names {name}, which is not there"));
        }
    }
    let models = control(models)?;
    println!(
        "{:<7} {:<26} {:<8} {:<8} {:>6}  killed by",
        "", "site", "from", "to", "s"
    );
    let wanted = |site: &&Site| site.name.contains(part) && !site.mutants().is_empty();
    let (orderings, steps): (Vec<&Site>, Vec<&Site>) = sites
        .iter()
        .filter(wanted)
        .partition(|site| site.ordering.is_some());
    let left_out = hunt_all(&steps, &models);
    let mut weakened = hunt_all(&orderings, &models);
    if weakened.argued * ARGUED_SHARE >= weakened.mutants.max(1) {
        weakened
            .faults
            .push("too many mutants are argued for".to_owned());
    }
    let faults: Vec<&String> = left_out.faults.iter().chain(&weakened.faults).collect();
    println!();
    for fault in &faults {
        println!("fault: {fault}");
    }
    println!("{:.0} s", begun.elapsed().as_secs_f32());
    if !part.is_empty() {
        println!("only sites whose name contains `{part}`:");
    }
    println!("orderings: {} sites, {weakened}", orderings.len());
    println!("steps: {} sites, {left_out}", steps.len());
    let all = weakened.and(&left_out);
    println!("mutants: {} sites, {all}", orderings.len() + steps.len());
    Ok(faults.len())
}

fn main() -> ExitCode {
    let part = std::env::args().nth(1).unwrap_or_default();
    match run(&part) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}
