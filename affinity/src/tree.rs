//! Reads small kernel files under an injectable root, and writes down those that make no sense.
//!
//! Absence is normal (each kernel offers another subset) and gives `None` without a note.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::cpuset::{CpuListError, CpuSet};
use crate::note::{Note, Notes};

/// The largest file that is read. A list of 65536 single CPUs is under 400 KiB.
const FILE_LIMIT_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    pub(crate) notes: Notes,
}

impl Tree {
    pub(crate) fn new(root: &Path) -> Self {
        Tree {
            root: root.to_path_buf(),
            notes: Notes::default(),
        }
    }

    /// The path of `file` under the root. A leading `/` is taken as the root's own; parent
    /// components are dropped, so that no recorded text leads out of the tree.
    pub(crate) fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        let inside = file
            .as_ref()
            .components()
            .filter(|c| matches!(c, Component::Normal(_)));
        self.root.join(inside.collect::<PathBuf>())
    }

    pub(crate) fn is_dir(&self, dir: impl AsRef<Path>) -> bool {
        self.path(dir).is_dir()
    }

    /// The text of `file` up to its first NUL (some kernels end their lists with one).
    pub(crate) fn text(&mut self, file: impl AsRef<Path>) -> Option<String> {
        let path = self.path(file);
        let meta = fs::metadata(&path).ok()?;
        // Opening a pipe would wait for its writer: regular files only.
        if !meta.is_file() {
            self.notes.push(Note::Unusable { path });
            return None;
        }
        match read_limited(&path) {
            Some(bytes) => {
                let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
                Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
            }
            None => {
                self.notes.push(Note::Unusable { path });
                None
            }
        }
    }

    /// A signed number alone in its file; anything else is as good as absent.
    pub(crate) fn number(&mut self, file: impl AsRef<Path>) -> Option<i64> {
        self.text(file)?.trim().parse().ok()
    }

    /// A set in list form.
    pub(crate) fn list(&mut self, file: impl AsRef<Path>) -> Option<CpuSet> {
        self.set(file.as_ref(), |text| text.parse())
    }

    /// A set in mask form.
    pub(crate) fn mask(&mut self, file: impl AsRef<Path>) -> Option<CpuSet> {
        self.set(file.as_ref(), CpuSet::from_mask)
    }

    /// The first of `masks`, else the first of `lists`, inside `dir`.
    ///
    /// Masks come first: both forms print the same kernel bitmap, the mask is the older file, and
    /// recorded machines exist whose lists are stale while their masks are right.
    pub(crate) fn mask_or_list(
        &mut self,
        dir: &Path,
        masks: &[&str],
        lists: &[&str],
    ) -> Option<CpuSet> {
        masks
            .iter()
            .find_map(|file| self.mask(dir.join(file)))
            .or_else(|| lists.iter().find_map(|file| self.list(dir.join(file))))
    }

    /// The numbers `n` of the entries `<prefix><n>` in `dir`, ascending.
    pub(crate) fn numbered(&self, dir: impl AsRef<Path>, prefix: &str) -> Vec<u32> {
        let entries = fs::read_dir(self.path(dir)).into_iter().flatten().flatten();
        let mut numbers: Vec<u32> = entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let digits = name.to_str()?.strip_prefix(prefix)?;
                digits
                    .bytes()
                    .all(|b| b.is_ascii_digit())
                    .then(|| digits.parse().ok())?
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn set(
        &mut self,
        file: &Path,
        parse: impl Fn(&str) -> Result<CpuSet, CpuListError>,
    ) -> Option<CpuSet> {
        let text = self.text(file)?;
        match parse(&text) {
            Ok(set) => Some(set),
            Err(CpuListError { column, kind }) => {
                let path = self.path(file);
                self.notes.push(Note::Malformed {
                    path,
                    column,
                    fault: kind,
                });
                None
            }
        }
    }
}

fn read_limited(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    let read = file
        .take(FILE_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    (read as u64 <= FILE_LIMIT_BYTES).then_some(bytes)
}
