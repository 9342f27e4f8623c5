//! PubTator: titles, abstracts and annotations, a line each.

use super::annotated::{Annotated, Mark};
use super::labels::is_label;
use super::list::CorpusFile;
use super::{CorpusProblem, Parsed};
use crate::LogError;
use crate::files::lines::{Line, Lines};
use std::collections::VecDeque;
use std::time::Duration;

/// The documents of a file. A document begins with its title and ends where the next begins.
pub(super) struct PubTator {
    file: CorpusFile,
    lines: Lines,
    open: Option<Annotated>,
    /// Whether the document's text cannot be read, so that its other lines are passed over.
    is_lost: bool,
    /// What was found and not asked for: of one line, so at most a document and a problem.
    found: VecDeque<Parsed>,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
enum Row<'a> {
    Title(&'a str, &'a str),
    Abstract(&'a str, &'a str),
    Mark {
        id: &'a str,
        label: &'a str,
        start: u32,
        end: u32,
        quote: &'a str,
    },
    /// Of two concepts; nothing that is read.
    Relation,
    Wrong(&'static str),
}

impl PubTator {
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open(file: &CorpusFile) -> Result<PubTator, LogError> {
        let lines = Lines::of_file(file.path.clone())?;
        Ok(PubTator { file: file.clone(), lines, open: None, is_lost: false, found: VecDeque::new() })
    }

    fn take(&mut self, number: u64, value: Vec<u8>) {
        let line = match String::from_utf8(value) {
            Ok(line) => line,
            Err(error) => return self.lose(number, &String::from_utf8_lossy(error.as_bytes())),
        };
        let row = row(&line);
        if self.is_lost && !matches!(row, Row::Title(..)) {
            return;
        }
        match (row, &mut self.open) {
            (Row::Title(id, title), open) => {
                self.found.extend(open.take().map(Parsed::Document));
                let (id, text) = (id.to_owned(), title.to_owned());
                let (path, part) = (self.file.path.clone(), self.file.part);
                (self.open, self.is_lost) = (Some(Annotated { path, id, text, part, marks: Vec::new() }), false);
            }
            (Row::Relation, _) => {}
            (Row::Wrong(what), _) => self.complain(number, what),
            (Row::Abstract(id, text), Some(open)) if open.id == id => {
                open.text.push(' ');
                open.text.push_str(text);
            }
            (Row::Mark { id, label, start, end, quote }, Some(open)) if open.id == id => {
                let (label, quote) = (label.to_owned(), quote.to_owned());
                open.marks.push(Mark { line: number, label, fragments: vec![(start, end)], quote });
            }
            (Row::Abstract(..) | Row::Mark { .. }, _) => {
                self.complain(number, "belongs to no document that was begun by a title; left out");
            }
        }
    }

    /// Leaves out the document of a line that is not UTF-8, which may be the title of the next one.
    fn lose(&mut self, number: u64, line: &str) {
        let begins = matches!(row(line), Row::Title(..));
        let open = self.open.take();
        if begins || open.is_some() {
            self.found.extend(open.filter(|_| begins).map(Parsed::Document));
            self.complain(number, "is not UTF-8; its document is left out");
        }
        self.is_lost = true;
    }

    fn complain(&mut self, line: u64, what: &str) {
        let (path, line, what) = (self.file.path.clone(), Some(line), what.to_owned());
        self.found.push_back(Parsed::Problem(CorpusProblem { path, line, what }));
    }
}

impl Iterator for PubTator {
    type Item = Result<Parsed, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found.is_empty() {
            match self.lines.next(Duration::ZERO) {
                Ok(Line::Read { number, value }) => self.take(number, value),
                Ok(Line::NotYet | Line::End) => return self.open.take().map(|open| Ok(Parsed::Document(open))),
                Err(error) => return Some(Err(error)),
            }
        }
        self.found.pop_front().map(Ok)
    }
}

fn row(line: &str) -> Row<'_> {
    let mut parts = line.splitn(3, '|');
    if let (Some(id), Some(kind @ ("t" | "a")), Some(text)) = (parts.next(), parts.next(), parts.next())
        && is_id(id)
    {
        return if kind == "t" { Row::Title(id, text) } else { Row::Abstract(id, text) };
    }
    let columns: Vec<&str> = line.split('\t').collect();
    match columns.as_slice() {
        [_, relation, _, _] if relation.parse::<u32>().is_err() => Row::Relation,
        [id, start, end, quote, label, ..] => match (start.parse(), end.parse()) {
            (Ok(start), Ok(end)) if is_label(label) => Row::Mark { id, label, start, end, quote },
            (Ok(_), Ok(_)) => Row::Wrong("its fifth column is no label; left out"),
            _ => Row::Wrong("its second and third column are no offsets; left out"),
        },
        _ => Row::Wrong("is neither title, abstract, annotation nor relation; left out"),
    }
}

/// Whether this can be the id of a document: a number, or what stillroom writes of an id, escaped as in URLs. What is none may be text
/// that slipped to the beginning of a line.
fn is_id(id: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.' | '%');
    !id.is_empty() && id.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(row("7|t|One | two"), Row::Title("7", "One | two"));
        assert_eq!(row("7|a|"), Row::Abstract("7", ""));
        assert_eq!(row("ward/n%201|a|b"), Row::Abstract("ward/n%201", "b"));
        let mark = Row::Mark { id: "7", label: "Disease", start: 0, end: 4, quote: "gout" };
        assert_eq!(row("7\t0\t4\tgout\tDisease\tD1|D2\tgout|a|b"), mark);
        assert_eq!(row("7\t0\t4\tgout\tDisease"), mark);
        assert_eq!(row("7\tCID\tD1\tD2"), Row::Relation);
        assert_eq!(row("7\t0\t4\tgout"), Row::Wrong("is neither title, abstract, annotation nor relation; left out"));
        assert_eq!(row("7\t0\tgout\t4\tDisease"), Row::Wrong("its second and third column are no offsets; left out"));
        assert_eq!(row("7\t0\t4\tgout\tof the foot"), Row::Wrong("its fifth column is no label; left out"));
    }
}
