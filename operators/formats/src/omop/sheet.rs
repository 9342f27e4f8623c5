//! A table as a file for COPY: CSV in which null is nothing, and an empty text a pair of quotes. (The csv crate writes both alike.)

use super::text::storable;
use crate::FormatError;
use crate::files::{Unfinished, copy};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// A field.
pub(super) enum Field<'a> {
    /// No value.
    Null,
    /// A whole number.
    Number(i64),
    /// Another number.
    Real(f64),
    /// A text.
    Text(Cow<'a, str>),
}

impl<'a> Field<'a> {
    /// A text.
    pub(super) fn text(text: &'a str) -> Field<'a> {
        Field::Text(Cow::Borrowed(text))
    }

    /// A text that may be missing.
    pub(super) fn optional(text: Option<&'a str>) -> Field<'a> {
        text.map_or(Field::Null, Field::text)
    }
}

impl From<String> for Field<'_> {
    fn from(text: String) -> Self {
        Field::Text(Cow::Owned(text))
    }
}

/// A file of rows that appears when it is complete.
pub(super) struct Sheet {
    file: BufWriter<File>,
    unfinished: Unfinished,
    /// Bytes of the first line.
    header: u64,
    bytes: u64,
}

impl Sheet {
    /// The file `path` with these columns.
    pub(super) fn create(path: PathBuf, columns: &[&str]) -> Result<Sheet, FormatError> {
        let unfinished = Unfinished::new(path);
        let file = File::create(unfinished.beside()).map_err(FormatError::file("create", unfinished.beside()))?;
        let mut sheet = Sheet { file: BufWriter::new(file), unfinished, header: 0, bytes: 0 };
        sheet.write(&format!("{}\n", columns.join(",")))?;
        sheet.header = sheet.bytes;
        Ok(sheet)
    }

    /// Adds a row.
    pub(super) fn row(&mut self, fields: &[Field<'_>]) -> Result<(), FormatError> {
        let mut line = String::new();
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                line.push(',');
            }
            match field {
                Field::Null => {}
                Field::Number(number) => line.push_str(&number.to_string()),
                Field::Real(number) => line.push_str(&number.to_string()),
                Field::Text(text) => {
                    line.push('"');
                    line.push_str(&storable(text).replace('"', "\"\""));
                    line.push('"');
                }
            }
        }
        line.push('\n');
        self.write(&line)
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Shows it to readers, without the writes of `dropped`: `ends` has what [`Sheet::bytes`] was after each write.
    pub(super) fn complete(
        mut self,
        ends: impl Iterator<Item = Result<u64, FormatError>>,
        dropped: &HashSet<u64>,
    ) -> Result<(), FormatError> {
        let beside = self.unfinished.beside();
        self.file.flush().map_err(FormatError::file("write", beside))?;
        if dropped.is_empty() {
            return self.unfinished.complete();
        }
        // What is kept takes the place of the unfinished file.
        let kept = Unfinished::new(beside.to_owned());
        let mut from = BufReader::new(File::open(beside).map_err(FormatError::file("read", beside))?);
        let to = File::create(kept.beside()).map_err(FormatError::file("create", kept.beside()))?;
        let mut to = BufWriter::new(to);
        copy(&mut from, &mut to, self.header).map_err(FormatError::file("write", kept.beside()))?;
        let mut at = self.header;
        for (write, end) in (0..).zip(ends) {
            let length = end? - at;
            at += length;
            let copied = if dropped.contains(&write) {
                copy(&mut from, &mut io::sink(), length)
            } else {
                copy(&mut from, &mut to, length)
            };
            copied.map_err(FormatError::file("write", kept.beside()))?;
        }
        to.flush().map_err(FormatError::file("write", kept.beside()))?;
        kept.complete()?;
        self.unfinished.complete()
    }

    fn write(&mut self, text: &str) -> Result<(), FormatError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(FormatError::file("write", self.unfinished.beside()))?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

/// How long each table was after each write, in a file: as many numbers a write as there are tables.
pub(super) struct Ends<const N: usize> {
    file: BufWriter<File>,
    unfinished: Unfinished,
    writes: u64,
}

impl<const N: usize> Ends<N> {
    /// In the folder of the tables, where it is removed in the end.
    pub(super) fn create(folder: &Path) -> Result<Ends<N>, FormatError> {
        let unfinished = Unfinished::new(folder.join("ends"));
        let file = File::create(unfinished.beside()).map_err(FormatError::file("create", unfinished.beside()))?;
        Ok(Ends { file: BufWriter::new(file), unfinished, writes: 0 })
    }

    /// Notes how long the tables are after a write; gives the write's number.
    pub(super) fn push(&mut self, bytes: [u64; N]) -> Result<u64, FormatError> {
        for end in bytes {
            let written = self.file.write_all(&end.to_le_bytes());
            written.map_err(FormatError::file("write", self.unfinished.beside()))?;
        }
        self.writes += 1;
        Ok(self.writes - 1)
    }

    /// The ends of table `index`.
    pub(super) fn of(
        &mut self,
        index: usize,
    ) -> Result<impl Iterator<Item = Result<u64, FormatError>> + use<N>, FormatError> {
        let beside = self.unfinished.beside().to_owned();
        self.file.flush().map_err(FormatError::file("write", &beside))?;
        let mut file = BufReader::new(File::open(&beside).map_err(FormatError::file("read", &beside))?);
        Ok((0..self.writes).map(move |_| {
            let mut ends = [[0_u8; 8]; N];
            for end in &mut ends {
                file.read_exact(end).map_err(FormatError::file("read", &beside))?;
            }
            Ok::<u64, FormatError>(u64::from_le_bytes(ends[index]))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn null_and_the_empty_text_differ_and_quotes_are_doubled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut sheet = Sheet::create(path.clone(), &["a", "b", "c", "d"]).unwrap();
        let more = Field::from("x\r\n\"y\",\0".to_owned());
        sheet.row(&[Field::Null, Field::text(""), Field::Number(-7), more]).unwrap();
        sheet.row(&[Field::optional(None), Field::Real(0.9375), Field::Null, Field::Null]).unwrap();
        sheet.complete(std::iter::empty(), &HashSet::new()).unwrap();
        let expected = "a,b,c,d\n,\"\",-7,\"x\r\n\"\"y\"\",\u{fffd}\"\n,0.9375,,\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn what_was_replaced_is_dropped_wherever_it_stands() {
        // Rows of two tables by write, and the writes that are dropped.
        let writes: [[usize; 2]; 6] = [[1, 3], [1, 0], [0, 0], [2, 1], [0, 5], [1, 1]];
        for dropped in [vec![], vec![0], vec![1, 2], vec![3, 5], vec![0, 1, 2, 3, 4, 5]] {
            let folder = tempfile::tempdir().unwrap();
            let paths = ["a.csv", "b.csv"].map(|name| folder.path().join(name));
            let mut sheets = paths.clone().map(|path| Sheet::create(path, &["write", "row"]).unwrap());
            let mut ends = Ends::<2>::create(folder.path()).unwrap();
            let mut expected = ["write,row\n"; 2].map(str::to_owned);
            for (write, counts) in writes.iter().enumerate() {
                for (table, count) in counts.iter().enumerate() {
                    for row in 0..*count {
                        let text = format!("row\n{row}");
                        sheets[table].row(&[Field::Number(write as i64), Field::text(&text)]).unwrap();
                        if !dropped.contains(&(write as u64)) {
                            expected[table].push_str(&format!("{write},\"{text}\"\n"));
                        }
                    }
                }
                assert_eq!(ends.push([sheets[0].bytes(), sheets[1].bytes()]).unwrap(), write as u64);
            }
            let dropped = dropped.into_iter().collect();
            for (index, sheet) in sheets.into_iter().enumerate() {
                sheet.complete(ends.of(index).unwrap(), &dropped).unwrap();
                assert_eq!(fs::read_to_string(&paths[index]).unwrap(), expected[index]);
            }
            drop(ends);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_said_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(".a.csv.tmp")).unwrap();
        let sheet = Sheet::create(folder.path().join("a.csv"), &["a"]).unwrap();
        let error = sheet.complete(std::iter::empty(), &HashSet::new()).unwrap_err();
        let FormatError::File { action: "write", source, .. } = error else { panic!("{error:?}") };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
