//! Figures as they come: a table in Markdown on stdout, and all of them in a JSON file that is whole after every row.

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Where figures go.
pub(crate) struct Report {
    path: PathBuf,
    about: Vec<String>,
    rows: Vec<Value>,
    device: String,
    is_table_open: bool,
}

impl Report {
    pub(crate) fn begin(path: &Path, device: String) -> Report {
        Report { path: path.to_owned(), about: Vec::new(), rows: Vec::new(), device, is_table_open: false }
    }

    /// A line that is no figure.
    pub(crate) fn say(&mut self, line: String) {
        if std::mem::take(&mut self.is_table_open) {
            println!();
        }
        println!("{line}");
        self.about.push(line);
    }

    /// A row: what was measured, of what, and its figures with their names and units.
    pub(crate) fn row(&mut self, what: &str, of: &str, figures: &[(&str, f64)]) {
        if !std::mem::replace(&mut self.is_table_open, true) {
            println!("\n| | | |\n|---|---|---|");
        }
        let written: Vec<String> = figures.iter().map(|(name, value)| format!("{name} {}", rounded(*value))).collect();
        println!("| {what} | {of} | {} |", written.join("; "));
        let values: Map<String, Value> =
            figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.rows.push(json!({"what": what, "of": of, "figures": values}));
        self.write();
    }

    pub(crate) fn end(&mut self) {
        if self.is_table_open {
            println!();
        }
        self.write();
    }

    fn write(&self) {
        let all = json!({"device": self.device, "about": self.about, "rows": self.rows});
        if let Err(error) = std::fs::write(&self.path, format!("{all:#}\n")) {
            eprintln!("cannot write {}: {error}", self.path.display());
        }
    }
}

/// Three digits that count, or all before the point.
fn rounded(value: f64) -> String {
    let digits = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    format!("{value:.0$}", (2.0 - digits).clamp(0.0, 6.0) as usize)
}
