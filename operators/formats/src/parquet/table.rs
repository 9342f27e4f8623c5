//! A table in folders by date, whose rows wait in memory until there are enough of them.

use super::columns::{Column, batch_of, schema_of};
use super::part::Part;
use crate::FormatError;
use arrow_schema::SchemaRef;
use std::collections::HashMap;
use std::path::PathBuf;
use time::Date;
use time::macros::date;

/// Bytes of rows that wait in one table at most; a row that is larger alone is written at once.
pub(super) const BUFFERED_BYTES_MAX: usize = 32 << 20;

/// Files of one table that are open at once.
pub(super) const OPEN_MAX: usize = 128;

/// Row groups of a file at most.
pub(super) const ROW_GROUPS_MAX: usize = 8;

/// A row of a table.
pub(super) trait Row: Sized {
    /// The columns of `rows`: the same ones, whatever the rows, and for none.
    fn columns(rows: &[Self]) -> Vec<Column>;

    /// About how many bytes it takes up in memory.
    fn bytes(&self) -> usize;
}

/// A table.
pub(super) struct Table<R> {
    folder: PathBuf,
    schema: SchemaRef,
    bounds: Bounds,
    dates: HashMap<Option<Date>, Waiting<R>>,
    bytes: usize,
    /// Files that are open.
    open: usize,
    /// Files that were begun.
    parts: usize,
    /// Whether one of them is of a date.
    is_dated: bool,
    /// Row groups that were written: the time by which the file that has rested longest is found.
    appended: u64,
}

/// What a table may hold.
#[derive(Clone, Copy)]
struct Bounds {
    buffered_bytes_max: usize,
    open_max: usize,
    row_groups_max: usize,
}

/// The rows of a date that are not written yet, and the file that they go to if one is open.
struct Waiting<R> {
    rows: Vec<R>,
    bytes: usize,
    part: Option<Part>,
    appended: u64,
}

impl<R: Row> Table<R> {
    /// The table whose files are below `folder`.
    pub(super) fn new(folder: PathBuf) -> Table<R> {
        let bounds =
            Bounds { buffered_bytes_max: BUFFERED_BYTES_MAX, open_max: OPEN_MAX, row_groups_max: ROW_GROUPS_MAX };
        Table::bounded(folder, bounds)
    }

    /// The same with bounds that a test can reach.
    #[cfg(test)]
    pub(super) fn small(folder: PathBuf, buffered_bytes_max: usize, open_max: usize) -> Table<R> {
        Table::bounded(folder, Bounds { buffered_bytes_max, open_max, row_groups_max: 2 })
    }

    fn bounded(folder: PathBuf, bounds: Bounds) -> Table<R> {
        let schema = schema_of(&R::columns(&[]));
        Table {
            folder,
            schema,
            bounds,
            dates: HashMap::new(),
            bytes: 0,
            open: 0,
            parts: 0,
            is_dated: false,
            appended: 0,
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, date: Option<Date>, row: R) -> Result<(), FormatError> {
        let bytes = row.bytes();
        let waiting = self.dates.entry(date).or_insert_with(Waiting::new);
        waiting.rows.push(row);
        waiting.bytes += bytes;
        self.bytes += bytes;
        if self.bytes <= self.bounds.buffered_bytes_max {
            return Ok(());
        }
        let mut largest: Vec<(usize, Option<Date>)> =
            self.dates.iter().map(|(date, waiting)| (waiting.bytes, *date)).collect();
        largest.sort_unstable_by(|one, other| other.cmp(one));
        for (_, date) in largest {
            if self.bytes <= self.bounds.buffered_bytes_max / 2 {
                break;
            }
            self.append(date)?;
        }
        // A date of which nothing is left is forgotten, or there would be no bound to their number.
        self.dates.retain(|_, waiting| !waiting.rows.is_empty() || waiting.part.is_some());
        Ok(())
    }

    /// Completes every file.
    pub(super) fn finish(mut self) -> Result<(), FormatError> {
        let mut dates: Vec<Option<Date>> = self.dates.keys().copied().collect();
        dates.sort_unstable();
        for date in dates {
            self.append(date)?;
            self.complete(date)?;
        }
        // From folders without a date Arrow infers no type for it and reads nothing, and from no files nobody reads any columns.
        if !self.is_dated {
            self.begin(Some(date!(1970 - 01 - 01)))?.complete()?;
        }
        Ok(())
    }

    /// Writes the rows of `date` as a row group.
    fn append(&mut self, date: Option<Date>) -> Result<(), FormatError> {
        let Some(waiting) = self.dates.get_mut(&date) else { return Ok(()) };
        let rows = std::mem::take(&mut waiting.rows);
        self.bytes -= std::mem::take(&mut waiting.bytes);
        if rows.is_empty() {
            return Ok(());
        }
        let mut part = match waiting.part.take() {
            Some(part) => {
                self.open -= 1;
                part
            }
            None => {
                self.make_room()?;
                self.begin(date)?
            }
        };
        part.append(&batch_of(&self.schema, R::columns(&rows)))?;
        if part.row_groups() >= self.bounds.row_groups_max {
            return part.complete();
        }
        self.open += 1;
        self.appended += 1;
        let appended = self.appended;
        if let Some(waiting) = self.dates.get_mut(&date) {
            (waiting.part, waiting.appended) = (Some(part), appended);
        }
        Ok(())
    }

    /// Begins the next file of `date`.
    fn begin(&mut self, date: Option<Date>) -> Result<Part, FormatError> {
        let folder = match date {
            Some(date) => format!("signed_date={date}"),
            // What Hive calls the partition of null.
            None => "signed_date=__HIVE_DEFAULT_PARTITION__".to_owned(),
        };
        let path = self.folder.join(folder).join(format!("part-{:05}.parquet", self.parts));
        self.parts += 1;
        self.is_dated |= date.is_some();
        Part::create(path, self.schema.clone())
    }

    /// Completes the file that has rested longest, where no other may be opened.
    fn make_room(&mut self) -> Result<(), FormatError> {
        if self.open < self.bounds.open_max {
            return Ok(());
        }
        let open = self.dates.iter().filter(|(_, waiting)| waiting.part.is_some());
        let rested = open.min_by_key(|(_, waiting)| waiting.appended).map(|(date, _)| *date);
        rested.map_or(Ok(()), |date| self.complete(date))
    }

    /// Completes the file of `date`, if one is open.
    fn complete(&mut self, date: Option<Date>) -> Result<(), FormatError> {
        match self.dates.get_mut(&date).and_then(|waiting| waiting.part.take()) {
            Some(part) => {
                self.open -= 1;
                part.complete()
            }
            None => Ok(()),
        }
    }
}

impl<R> Waiting<R> {
    fn new() -> Waiting<R> {
        Waiting { rows: Vec::new(), bytes: 0, part: None, appended: 0 }
    }
}
