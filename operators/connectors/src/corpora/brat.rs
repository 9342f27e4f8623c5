//! brat's stand-off format: a text, and beside it its annotations, a line each: <https://brat.nlplab.org/standoff.html>.

use super::annotated::{Annotated, Mark};
use super::labels::{Mapping, is_label};
use super::list::CorpusFile;
use super::{CorpusProblem, Parsed};
use crate::LogError;
use crate::disk::failed;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The documents of some files.
pub(super) struct Brat<'a> {
    files: std::slice::Iter<'a, CorpusFile>,
    /// Of the document that was read last, still to be given.
    problems: std::vec::IntoIter<CorpusProblem>,
}

impl<'a> Brat<'a> {
    pub(super) fn open(files: &'a [CorpusFile]) -> Brat<'a> {
        Brat { files: files.iter(), problems: Vec::new().into_iter() }
    }
}

impl Iterator for Brat<'_> {
    type Item = Result<Parsed, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(problem) = self.problems.next() {
            return Some(Ok(Parsed::Problem(problem)));
        }
        let file = self.files.next()?;
        Some(document(file).map(|read| match read {
            Ok((annotated, problems)) => {
                self.problems = problems.into_iter();
                Parsed::Document(annotated)
            }
            Err(problem) => Parsed::Problem(problem),
        }))
    }
}

/// Reads the text with its line ends as the annotations count them. brat counts a CR as a character; files that got their CRs on the
/// way have annotations that do not, and are read without them, which is reported.
pub(super) fn with_line_ends(mut annotated: Annotated, mapping: &Mapping) -> (Annotated, Option<CorpusProblem>) {
    if !annotated.text.contains("\r\n") {
        return (annotated, None);
    }
    let bare = annotated.text.replace("\r\n", "\n");
    if annotated.fitting(&bare, mapping) <= annotated.fitting(&annotated.text, mapping) {
        return (annotated, None);
    }
    annotated.text = bare;
    let what = "its offsets do not count the CRs of the text, which was read without them".to_owned();
    let problem = CorpusProblem { path: annotated.path.clone(), line: None, what };
    (annotated, Some(problem))
}

type Read = Result<(Annotated, Vec<CorpusProblem>), CorpusProblem>;

fn document(file: &CorpusFile) -> Result<Read, LogError> {
    let path = file.path.with_extension("ann");
    let (text, annotations) = match (read(&file.path)?, read(&path)?) {
        (Ok(text), Ok(annotations)) => (text, annotations),
        (Err(problem), _) | (_, Err(problem)) => return Ok(Err(problem)),
    };
    let (mut marks, mut problems) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(annotations.lines()) {
        match mark(line) {
            Ok(found) => marks.extend(found.map(|mark| Mark { line: number, ..mark })),
            Err(what) => {
                problems.push(CorpusProblem { path: path.clone(), line: Some(number), what: what.to_owned() });
            }
        }
    }
    Ok(Ok((Annotated { path, id: file.id.clone(), text, part: file.part, marks }, problems)))
}

/// The file's text, if it has one.
fn read(path: &Path) -> Result<Result<String, CorpusProblem>, LogError> {
    let problem = |path: PathBuf, what: &str| Ok(Err(CorpusProblem { path, line: None, what: what.to_owned() }));
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Ok(text)),
            Err(_) => problem(path.to_owned(), "is not UTF-8; its document is left out"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            problem(path.to_owned(), "is missing; its document is left out")
        }
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// The annotation of a line, if it is one of text; relations, events, attributes, normalisations and remarks are not read.
fn mark(line: &str) -> Result<Option<Mark>, &'static str> {
    match line.chars().next() {
        None | Some('R' | 'E' | 'A' | 'M' | 'N' | '#' | '*') => return Ok(None),
        Some('T') => {}
        Some(_) => return Err("is no annotation; left out"),
    }
    let mut columns = line.splitn(3, '\t');
    let (Some(_), Some(place), Some(quote)) = (columns.next(), columns.next(), columns.next()) else {
        return Err("has fewer than three columns; left out");
    };
    let Some((label, offsets)) = place.split_once(' ').filter(|(label, _)| is_label(label)) else {
        return Err("its second column does not begin with a label; left out");
    };
    let fragment = |fragment: &str| -> Option<(u32, u32)> {
        let (start, end) = fragment.trim().split_once(' ')?;
        Some((start.parse().ok()?, end.parse().ok()?))
    };
    let fragments: Option<Vec<(u32, u32)>> = offsets.split(';').map(fragment).collect();
    let fragments = fragments.ok_or("its offsets are no numbers; left out")?;
    Ok(Some(Mark { line: 0, label: label.to_owned(), fragments, quote: quote.to_owned() }))
}
