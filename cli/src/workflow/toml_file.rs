//! Our own workflow format.
//!
//! ```toml
//! [[task]]
//! name = "build"                # unique, printable
//! run = "make all"              # given to `sh -c`, standard input empty
//!
//! [[task]]
//! name = "test"
//! run = "make test"
//! after = ["build"]             # starts once all of these ended well
//! timeout = "1m 30s"            # per attempt: a span with units, or a number of seconds
//! retries = 2                   # after a failed attempt, at once, up to this many more
//! ```
//!
//! `name` and `run` are required; a key that is not listed here is an error.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::error::Place;
use super::{Action, Command, Draft, LoadError, Mention, line_of};

/// Said after each parser message.
const REMEDY: &str = "`pinfold run --help` shows the format";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    task: Vec<TaskEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskEntry {
    name: Spanned<String>,
    run: String,
    #[serde(default)]
    after: Vec<Spanned<String>>,
    timeout: Option<Timeout>,
    #[serde(default)]
    retries: u32,
}

/// Reads the tasks of `text`, which is the content of `file`.
pub fn parse(file: &Path, text: &str) -> Result<Vec<Draft>, LoadError> {
    let document: Document = toml::from_str(text).map_err(|e| LoadError::Syntax {
        at: place(file, text, e.span()),
        message: one_sentence(e.message()),
        remedy: REMEDY,
    })?;
    let newlines: Vec<usize> = text.match_indices('\n').map(|(offset, _)| offset).collect();
    let mention = |name: Spanned<String>| Mention {
        line: Some(1 + newlines.partition_point(|&newline| newline < name.span().start)),
        name: name.into_inner(),
    };
    let drafts = document.task.into_iter().map(|entry| Draft {
        name: mention(entry.name),
        action: Action::Command(Command {
            line: entry.run,
            timeout: entry.timeout.map(|t| t.0),
            retries: entry.retries,
        }),
        after: entry.after.into_iter().map(mention).collect(),
    });
    Ok(drafts.collect())
}

fn place(file: &Path, text: &str, span: Option<Range<usize>>) -> Place {
    let Some(span) = span else {
        return Place::file(file);
    };
    let before = &text[..char_boundary(text, span.start)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        file: file.to_owned(),
        line: Some(line_of(before.as_bytes())),
        column: Some(1 + before[line_start..].chars().count()),
    }
}

fn one_sentence(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    lines.join(", ")
}

/// `offset`, or the start of the character it falls into, or the end of a text it exceeds.
fn char_boundary(text: &str, offset: usize) -> usize {
    let mut boundary = offset.min(text.len());
    while !text.is_char_boundary(boundary) {
        boundary -= 1;
    }
    boundary
}

/// A time limit: more than nothing, and finite.
struct Timeout(Duration);

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeoutVisitor).map(Timeout)
    }
}

struct TimeoutVisitor;

impl TimeoutVisitor {
    fn positive<E: de::Error>(duration: Duration) -> Result<Duration, E> {
        if duration.is_zero() {
            return Err(E::custom("a timeout of nothing; it must be longer than 0"));
        }
        Ok(duration)
    }
}

impl Visitor<'_> for TimeoutVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a timeout such as \"1m 30s\" or a number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        let duration = humantime::parse_duration(text)
            .map_err(|e| E::custom(format!("timeout {text:?}: {e}")))?;
        Self::positive(duration)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        let seconds = u64::try_from(seconds)
            .map_err(|_| E::custom(format!("timeout {seconds}: it must be longer than 0")))?;
        Self::positive(Duration::from_secs(seconds))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
        let duration = Duration::try_from_secs_f64(seconds)
            .map_err(|e| E::custom(format!("timeout {seconds}: {e}")))?;
        Self::positive(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Vec<Draft>, String> {
        parse(Path::new("w.toml"), text).map_err(|e| e.to_string())
    }

    fn timeout_of(value: &str) -> Result<Option<Duration>, String> {
        let text = format!("[[task]]\nname = 'a'\nrun = 'true'\ntimeout = {value}\n");
        let draft = parse_text(&text)?.remove(0);
        match draft.action {
            Action::Command(command) => Ok(command.timeout),
            Action::Compute(_) => unreachable!("TOML tasks are commands"),
        }
    }

    #[test]
    fn each_key_arrives() {
        let text = "[[task]]\nname = 'a'\nrun = 'true'\n\n[[task]]\nname = 'b'\nrun = 'sleep 1'\n\
                    after = [\n  'a',\n]\ntimeout = '1m 30s'\nretries = 2\n";
        let drafts = parse_text(text).unwrap();
        assert_eq!(drafts[0].after, []);
        let expected = Draft {
            name: Mention {
                name: "b".into(),
                line: Some(6),
            },
            action: Action::Command(Command {
                line: "sleep 1".into(),
                timeout: Some(Duration::from_secs(90)),
                retries: 2,
            }),
            after: vec![Mention {
                name: "a".into(),
                line: Some(9),
            }],
        };
        assert_eq!(drafts[1], expected);
    }

    #[test]
    fn timeouts_have_units_or_are_seconds() {
        assert_eq!(timeout_of("'250ms'"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(timeout_of("2"), Ok(Some(Duration::from_secs(2))));
        assert_eq!(timeout_of("0.5"), Ok(Some(Duration::from_millis(500))));
        for bad in [
            "0", "-1", "-0.5", "nan", "inf", "1e300", "'30'", "'soon'", "'0s'", "true",
        ] {
            let error = timeout_of(bad).unwrap_err();
            assert!(error.starts_with("w.toml:4:11: "), "{bad}: {error}");
            assert!(error.contains("timeout"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_column_counts_characters() {
        let error = parse_text("# é\nkey = 'é' x\n").unwrap_err();
        assert!(error.starts_with("w.toml:2:11: "), "{error}");
    }
}
