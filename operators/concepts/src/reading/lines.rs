//! The lines of a file, one at a time.

use crate::ConceptError;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A longer line is refused: no format has one, and reading it would take memory without bound.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Lines that are named in a report at most.
const BAD_LINES_NAMED_MAX: usize = 5;

/// What came of reading a file of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VocabularyReport {
    /// The file.
    pub path: PathBuf,
    /// Names that were taken.
    pub names: u64,
    /// Lines (in OBO, clauses) that are not of the format, and were left out.
    pub bad_lines: u64,
    /// The numbers of the first of them, from 1 on.
    pub bad_lines_first: Vec<u64>,
}

/// What came of reading a file of relations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelationsReport {
    /// The file.
    pub path: PathBuf,
    /// Relations that were taken.
    pub relations: u64,
    /// Lines that are not of the format, and were left out.
    pub bad_lines: u64,
    /// The numbers of the first of them, from 1 on.
    pub bad_lines_first: Vec<u64>,
}

/// A file of which one line is in memory at a time.
#[derive(Debug)]
pub struct Lines {
    what: &'static str,
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    bad: u64,
    bad_first: Vec<u64>,
}

impl Lines {
    /// Opens a file; `what` it is stands in errors: `the vocabulary`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path, what: &'static str) -> Result<Lines, ConceptError> {
        let file = File::open(path).map_err(|source| ConceptError::File { path: path.to_owned(), source })?;
        let reader = BufReader::with_capacity(1 << 16, file);
        Ok(Lines { what, path: path.to_owned(), reader, line: Vec::new(), number: 0, bad: 0, bad_first: Vec::new() })
    }

    /// The next line without its end; a line that is not UTF-8 is counted and passed over.
    ///
    /// # Errors
    /// When the file cannot be read on, or has a line of over a mebibyte.
    pub fn next_line(&mut self) -> Result<Option<&str>, ConceptError> {
        loop {
            self.line.clear();
            let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
            let read = read.map_err(|source| ConceptError::File { path: self.path.clone(), source })?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 == LINE_BYTES_MAX && !self.line.ends_with(b"\n") {
                return Err(self.refused("has a line of over a mebibyte", "give a text file"));
            }
            if std::str::from_utf8(&self.line).is_ok() {
                break;
            }
            self.bad();
        }
        let line = std::str::from_utf8(&self.line).expect("the loop has just looked");
        let line = if self.number == 1 { line.trim_start_matches('\u{feff}') } else { line };
        Ok(Some(line.trim_end_matches(['\n', '\r'])))
    }

    /// Counts the line as bad.
    pub(crate) fn bad(&mut self) {
        self.bad += 1;
        if self.bad_first.len() < BAD_LINES_NAMED_MAX {
            self.bad_first.push(self.number);
        }
    }

    /// The file is not what it should be.
    pub fn refused(&self, reason: &str, remedy: &str) -> ConceptError {
        let (reason, remedy) = (reason.to_owned(), remedy.to_owned());
        ConceptError::Format { what: self.what, path: self.path.clone(), reason, line: self.number, remedy }
    }

    /// What came of a file of names.
    pub(super) fn names(self, names: u64) -> Result<VocabularyReport, ConceptError> {
        self.check("name", names, "correct format, kinds or tags of the source")?;
        Ok(VocabularyReport { path: self.path, names, bad_lines: self.bad, bad_lines_first: self.bad_first })
    }

    /// What came of a file of relations.
    pub(super) fn relations(self, relations: u64) -> Result<RelationsReport, ConceptError> {
        self.check("relation", relations, "name the relations of this vocabulary, or none")?;
        Ok(RelationsReport { path: self.path, relations, bad_lines: self.bad, bad_lines_first: self.bad_first })
    }

    /// A file of which nothing was taken, or with more bad lines than others, is refused.
    fn check(&self, unit: &str, taken: u64, remedy: &str) -> Result<(), ConceptError> {
        if taken == 0 {
            let reason = format!("has no {unit} to take and {} lines that are not of its format", self.bad);
            return Err(self.refused(&reason, remedy));
        }
        if 2 * self.bad > self.number {
            let lines = self.bad_first.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            let reason = format!("has {} bad lines, first in lines {lines}", self.bad);
            return Err(self.refused(&reason, "correct the file or the format of the source"));
        }
        if self.bad > 0 {
            let path = self.path.display();
            tracing::warn!(%path, bad_lines = self.bad, first = ?self.bad_first, "lines of a vocabulary were left out");
        }
        Ok(())
    }
}
