//! Tab-separated values with a line of column names.

use super::lines::Lines;
use super::source::{Sink, VocabularySource};
use crate::TeacherError;

/// Reads the columns `id`, `synonym` and, where there is one, `kind`.
pub(super) fn read(source: &VocabularySource, lines: &mut Lines, sink: &mut Sink) -> Result<(), TeacherError> {
    let header: Vec<String> = lines.next()?.unwrap_or_default().split('\t').map(str::to_owned).collect();
    let column = |name: &str| header.iter().position(|column| column == name);
    let (Some(id), Some(name)) = (column("id"), column("synonym")) else {
        let what = "does not begin with a line of column names, id and synonym among them";
        return Err(lines.refused(what, "add it, or set the format of the source"));
    };
    let kind = column("kind");
    if kind.is_none() && !source.kinds.is_empty() {
        return Err(lines.refused("has no column kind", "leave kinds out of the source"));
    }
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let field = |index: usize| fields.get(index).map(|field| field.trim()).filter(|field| !field.is_empty());
        match (field(id), field(name), kind.map_or(Some(""), field)) {
            (Some(id), Some(name), Some(kind)) if fields.len() == header.len() => {
                if source.takes(kind, &[kind]) {
                    sink.put(id, name)?;
                }
            }
            _ => lines.bad(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::vocabulary::source::read_text;

    const TEXT: &str = "id\tpreferred_name\tsynonym\tkind\tsource\tlicence\r\n\
        SYMP:1\tcough\tcough\tlabel\tx\tCC0\r\n\
        SYMP:1\tcough\ttussis\texact\tx\tCC0\r\n\
        \r\n\
        broken\r\n\
        SYMP:2\tfever\t\tlabel\tx\tCC0\n";

    #[test]
    fn names_are_read_and_bad_lines_counted() {
        let (names, report) = read_text("a.tsv", TEXT.as_bytes(), |_| {}).unwrap();
        assert_eq!(names, "SYMP:1=cough\nSYMP:1=tussis");
        assert_eq!((report.names, report.bad_lines, report.bad_lines_first), (2, 2, vec![5, 6]));
    }

    #[test]
    fn kinds_are_chosen() {
        let (names, _) = read_text("a.tsv", TEXT.replace("broken\r\n", "").as_bytes(), |source| {
            source.kinds = vec!["exact".to_owned()];
        })
        .unwrap();
        assert_eq!(names, "SYMP:1=tussis");
    }

    #[test]
    fn other_files_are_refused() {
        let error = read_text("a.tsv", b"fever\ncough\n", |_| {}).unwrap_err().to_string();
        assert!(
            error.contains("does not begin with a line of column names, id and synonym among them (line 1)"),
            "{error}"
        );
        let error = read_text("a.tsv", b"", |_| {}).unwrap_err().to_string();
        assert!(error.contains("a.tsv does not begin with"), "{error}");
    }
}
