//! Standard output and standard error.

use std::io::{self, Write};

/// Standard output takes nothing, though somebody may be waiting for it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}; redirect it elsewhere")]
pub struct NotPrinted(#[source] io::Error);

/// Writes `text` to standard output. Whoever closed that does not want it.
pub fn print(text: &str) -> Result<(), NotPrinted> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(NotPrinted(error)),
        _ => Ok(()),
    }
}

/// Says something on one line of standard error, whatever characters it took over from a file.
pub fn say(sentence: &str) {
    let mut line = String::from("pinfold: ");
    for character in sentence.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    // If standard error is closed, the exit status still tells.
    let _ = io::stderr().write_all(line.as_bytes());
}
