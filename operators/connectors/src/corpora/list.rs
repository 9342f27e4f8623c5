//! The files of a corpus below a path, each with its format.

use crate::disk::failed;
use crate::{CorpusFormat, LogError, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// So much of a file is looked at to tell its format.
const HEAD_BYTES_MAX: u64 = 1 << 16;

/// A file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CorpusFile {
    pub(super) path: PathBuf,
    /// Its path below the folder that was given, without the extension: the id of a document that is a file, as of a note that is one.
    pub(super) id: String,
    /// What the names of the file and of the folders around it, up to the path that was given, tell.
    pub(super) part: Option<Part>,
}

impl CorpusFile {
    pub(super) fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
    }
}

/// The format, or why the file cannot be read.
type Told = Result<CorpusFormat, String>;

/// What the files below `root` are, in the order of their names. A document of brat is listed once, as its `.txt`. In a folder, what is
/// nothing of a corpus is passed over; `format` says what to look for.
///
/// # Errors
/// When `root` does not exist, or a folder cannot be listed; when `root` is a file of no known format, or nothing below it is of one.
pub(super) fn list(
    root: &Path,
    is_one_of_several: bool,
    format: Option<CorpusFormat>,
) -> Result<Vec<(CorpusFile, Told)>, LogError> {
    let is_folder = fs::metadata(root).map_err(failed("read", root))?.is_dir();
    let mut paths = BTreeSet::new();
    match is_folder {
        true => walk(root, &mut paths)?,
        false => paths.extend([root.to_owned()]),
    }
    let has_annotations = paths.iter().any(|path| extension(path) == "ann");
    let mut files: BTreeMap<PathBuf, (CorpusFile, Told)> = BTreeMap::new();
    for path in paths {
        let told = match format {
            Some(format) => suits(&path, format, !is_folder).then_some(Ok(format)),
            None => tell(&path, has_annotations)?,
        };
        let Some(told) = told else { continue };
        // A document of brat is listed under the name of its text.
        let path = if told == Ok(CorpusFormat::Brat) { path.with_extension("txt") } else { path };
        let place = Place { root, is_folder, is_one_of_several };
        let file = place.file(path.clone(), told == Ok(CorpusFormat::Brat));
        files.insert(path, (file, told));
    }
    if files.is_empty() {
        let cause = match is_folder {
            true => "holds no file of a format that is known",
            false => "does not tell its format",
        };
        let names: Vec<&str> = CorpusFormat::ALL.into_iter().map(CorpusFormat::name).collect();
        let cause = format!("{cause}; give other files, or say the format: {}", names.join(", "));
        return Err(LogError::NotCorpus { path: root.to_owned(), cause });
    }
    Ok(files.into_values().collect())
}

fn walk(folder: &Path, paths: &mut BTreeSet<PathBuf>) -> Result<(), LogError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let entry = entry.map_err(failed("list", folder))?;
        // A link to a folder is not followed, since it may lead back here.
        match entry.file_type().map_err(failed("look at", folder))?.is_dir() {
            true => walk(&entry.path(), paths)?,
            false if entry.path().is_file() => _ = paths.insert(entry.path()),
            false => {}
        }
    }
    Ok(())
}

/// What was given.
#[derive(Clone, Copy)]
struct Place<'a> {
    root: &'a Path,
    is_folder: bool,
    is_one_of_several: bool,
}

impl Place<'_> {
    fn file(self, path: PathBuf, is_document: bool) -> CorpusFile {
        let below = path.strip_prefix(self.root).unwrap_or(&path);
        let id = match (self.is_folder, self.is_one_of_several) {
            (true, false) => below.with_extension(""),
            (false, false) => PathBuf::from(path.file_stem().unwrap_or_default()),
            (_, true) => path.with_extension(""),
        };
        let mut names = vec![self.root.file_name().unwrap_or_default()];
        names.extend(below.iter().filter(|_| self.is_folder));
        if is_document {
            // The name of a document says nothing about the corpus; the folders do.
            names.pop();
        }
        let part = names.iter().rev().find_map(|name| Part::told_by(&name.to_string_lossy()));
        CorpusFile { id: id.to_string_lossy().into_owned(), path, part }
    }
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// Whether a file may be of a format that was asked for; what was given itself is.
fn suits(path: &Path, format: CorpusFormat, is_given: bool) -> bool {
    let extensions: &[&str] = match format {
        CorpusFormat::PubTator => &["txt", "pubtator"],
        CorpusFormat::Brat => &["txt", "ann"],
        CorpusFormat::Mimic => &["csv"],
        CorpusFormat::MedAlign => &["xml", "csv"],
        CorpusFormat::Documents => &["jsonl"],
    };
    is_given || extensions.contains(&extension(path).as_str())
}

/// What a file is; nothing when it is nothing of a corpus.
fn tell(path: &Path, has_annotations: bool) -> Result<Option<Told>, LogError> {
    Ok(match extension(path).as_str() {
        "jsonl" => Some(Ok(CorpusFormat::Documents)),
        "ann" => Some(Ok(CorpusFormat::Brat)),
        "xml" => Some(Ok(CorpusFormat::MedAlign)),
        "pubtator" => Some(Ok(CorpusFormat::PubTator)),
        "txt" if path.with_extension("ann").is_file() => Some(Ok(CorpusFormat::Brat)),
        "txt" if is_title(&head(path)?) => Some(Ok(CorpusFormat::PubTator)),
        "txt" if has_annotations => Some(Ok(CorpusFormat::Brat)),
        "csv" => {
            let head = head(path)?.to_ascii_lowercase();
            let has = |names: &[&str]| names.iter().all(|name| head.split([',', '"']).any(|column| column == *name));
            match () {
                () if has(&["row_id", "category", "text"]) => Some(Ok(CorpusFormat::Mimic)),
                () if has(&["note_id", "note_text"]) => Some(Ok(CorpusFormat::MedAlign)),
                () if has(&["instruction_id"]) => {
                    Some(Err("has instructions, which are no notes; not read".to_owned()))
                }
                () => None,
            }
        }
        _ => None,
    })
}

/// The first line that is not blank, or as much of it as is looked at.
fn head(path: &Path) -> Result<String, LogError> {
    let mut reader = BufReader::new(File::open(path).map_err(failed("open", path))?.take(HEAD_BYTES_MAX));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed("read", path))? > 0 {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_start_matches('\u{feff}').trim();
        if !text.is_empty() {
            return Ok(text.to_owned());
        }
        line.clear();
    }
    Ok(String::new())
}

fn is_title(line: &str) -> bool {
    line.split_once("|t|").is_some_and(|(id, _)| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric()))
}
