//! Tables that users give: CSV with a header, of which some columns are read.

use crate::FormatError;
use csv::{Reader, ReaderBuilder, StringRecord};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// How a file parts its fields.
pub(super) enum Dialect {
    /// By commas, with quotes where a field has one.
    Commas,
    /// By tabs and without quotes, as Athena writes its vocabularies.
    Tabs,
}

/// A file that is read row by row.
pub(super) struct Table<const N: usize> {
    path: PathBuf,
    reader: Reader<File>,
    columns: [usize; N],
    record: StringRecord,
}

impl<const N: usize> Table<N> {
    /// The columns of `names` in the file at `path`, whatever else it has; case is ignored.
    ///
    /// # Errors
    /// When the file cannot be read or lacks a column.
    pub(super) fn open(path: &Path, dialect: Dialect, names: [&str; N]) -> Result<Table<N>, FormatError> {
        let file = File::open(path).map_err(FormatError::file("read", path))?;
        let mut builder = ReaderBuilder::new();
        builder.flexible(true);
        if let Dialect::Tabs = dialect {
            builder.delimiter(b'\t').quoting(false);
        }
        let mut reader = builder.from_reader(file);
        let header = reader.headers().map_err(io::Error::from).map_err(FormatError::file("read", path))?;
        let mut columns = [0; N];
        for (column, name) in columns.iter_mut().zip(names) {
            // Programs of offices write a byte order mark before the first name.
            let is_it = |field: &str| field.trim_start_matches('\u{feff}').trim().eq_ignore_ascii_case(name);
            *column = header.iter().position(is_it).ok_or_else(|| FormatError::Row {
                path: path.to_owned(),
                line: 1,
                reason: format!(
                    "the column {name} is missing; the first line must name the columns {}",
                    names.join(", ")
                ),
            })?;
        }
        Ok(Table { path: path.to_owned(), reader, columns, record: StringRecord::new() })
    }

    /// The fields of the next row, trimmed; empty where the row is too short. `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read on.
    pub(super) fn row(&mut self) -> Result<Option<[&str; N]>, FormatError> {
        let read = self.reader.read_record(&mut self.record).map_err(io::Error::from);
        if !read.map_err(FormatError::file("read", &self.path))? {
            return Ok(None);
        }
        let record = &self.record;
        Ok(Some(self.columns.map(|column| record.get(column).unwrap_or("").trim())))
    }

    /// The error that the last row is wrong.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> FormatError {
        let line = self.record.position().map_or(1, |position| position.line());
        FormatError::Row { path: self.path.clone(), line, reason: reason.into() }
    }
}

/// Reads which number stands for each name: the columns of `columns`, in this order.
///
/// # Errors
/// When the file cannot be read, a number is none above 0, or a name has two; with `is_one_to_one` also when a number has two names.
pub(super) fn numbers_of_names(
    path: &Path,
    columns: [&str; 2],
    is_one_to_one: bool,
) -> Result<HashMap<String, i64>, FormatError> {
    let mut table = Table::open(path, Dialect::Commas, columns)?;
    let (mut numbers, mut taken) = (HashMap::new(), HashMap::new());
    while let Some([name, number]) = table.row()? {
        let (name, number) = (name.to_owned(), number.parse::<i64>());
        let number = match number {
            Ok(number) if number > 0 => number,
            _ => return Err(table.wrong(format!("{} must be a whole number above 0", columns[1]))),
        };
        if numbers.insert(name.clone(), number).is_some_and(|earlier| earlier != number) {
            return Err(table.wrong(format!("the same {} has another {} above; keep one", columns[0], columns[1])));
        }
        if is_one_to_one && taken.insert(number, name.clone()).is_some_and(|earlier| earlier != name) {
            return Err(table.wrong(format!("the same {} stands for two; give each its own", columns[1])));
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_one_to_one: bool, expected: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let said = match numbers_of_names(file.path(), ["patient_id", "person_id"], is_one_to_one) {
            Ok(numbers) => {
                let mut numbers: Vec<_> = numbers.iter().map(|(name, number)| format!("{name}={number}")).collect();
                numbers.sort();
                numbers.join(" ")
            }
            Err(error) => error.to_string().replace(file.path().to_str().unwrap(), "file"),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn names_and_their_numbers() {
        check("patient_id,person_id\np1,1\n\"p,2\",2\n", false, "p,2=2 p1=1");
        check("\u{feff}Patient_ID,site,PERSON_ID\r\np1,north,7\r\np2,north,7\r\np1,south,7\r\n", false, "p1=7 p2=7");
        check("patient_id,person_id\n", true, "");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let header = "patient_id,person_id\np1,1\n";
        check(
            "patient,person\n",
            false,
            "file, line 1: the column patient_id is missing; the first line must name the columns patient_id, person_id",
        );
        check(&format!("{header}p2,x\n"), false, "file, line 3: person_id must be a whole number above 0");
        check(&format!("{header}p2,-4\n"), false, "file, line 3: person_id must be a whole number above 0");
        check(&format!("{header}p2\n"), false, "file, line 3: person_id must be a whole number above 0");
        check(
            &format!("{header}p1,2\n"),
            false,
            "file, line 3: the same patient_id has another person_id above; keep one",
        );
        check(&format!("{header}p2,1\n"), true, "file, line 3: the same person_id stands for two; give each its own");
    }
}
