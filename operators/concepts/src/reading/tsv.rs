//! Tab-separated values with a line of column names.

use super::{Counted, Lines, Name, Reading, RelationKind, Sink, Standing, rxnorm};

/// Where the columns are.
struct Columns {
    count: usize,
    id: usize,
    name: usize,
    kind: Option<usize>,
    preferred: Option<usize>,
    related: [(Option<usize>, RelationKind); 2],
}

impl Columns {
    /// The columns that a first line names.
    fn of(header: &str) -> Option<Columns> {
        let header: Vec<&str> = header.split('\t').collect();
        let column = |name: &str| header.iter().position(|column| *column == name);
        Some(Columns {
            count: header.len(),
            id: column("id")?,
            name: column("synonym")?,
            kind: column("kind"),
            preferred: column("preferred_name"),
            related: [(column("parents"), RelationKind::Broader), (column("ingredients"), RelationKind::Ingredient)],
        })
    }
}

/// Reads the columns `id`, `synonym` and, where there are such, `kind`, `preferred_name`, `parents` and `ingredients`.
pub(super) fn read<S: Sink>(reading: &Reading, lines: &mut Lines, sink: &mut Counted<'_, S>) -> Result<(), S::Error> {
    let Some(columns) = Columns::of(lines.next_line()?.unwrap_or_default()) else {
        let what = "does not begin with a line of column names, id and synonym among them";
        return Err(lines.refused(what, "add it, or set the format of the source").into());
    };
    if columns.kind.is_none() && !reading.kinds.is_empty() {
        return Err(lines.refused("has no column kind", "leave kinds out of the source").into());
    }
    while let Some(line) = lines.next_line()? {
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let field = |index: usize| fields.get(index).map(|field| field.trim()).filter(|field| !field.is_empty());
        match (field(columns.id), field(columns.name), columns.kind.map_or(Some(""), field)) {
            (Some(concept), Some(name), Some(kind)) if fields.len() == columns.count => {
                if !reading.takes(kind, &[kind]) {
                    continue;
                }
                let preferred = columns.preferred.and_then(field);
                let standing = if preferred == Some(name) { Standing::Preferred } else { standing(kind) };
                if let Some(preferred) = preferred.filter(|preferred| *preferred != name) {
                    sink.sink.preferred(concept, preferred)?;
                }
                sink.name(Name { concept, name, standing, order: rxnorm::order(kind), is_ingredient: false })?;
                for (column, kind) in columns.related {
                    let ids = column.and_then(field).unwrap_or_default().split('|').map(str::trim);
                    ids.filter(|id| !id.is_empty()).try_for_each(|id| sink.relation(concept, id, kind))?;
                }
            }
            _ => lines.bad(),
        }
    }
    Ok(())
}

/// How a name of this kind stands to its concept; the kinds are the scopes of OBO, or say nothing of it.
fn standing(kind: &str) -> Standing {
    match kind {
        "narrow" => Standing::Narrow,
        "related" => Standing::Related,
        "broad" => Standing::Broad,
        _ => Standing::Exact,
    }
}

#[cfg(test)]
mod tests {
    use crate::reading::Standing;
    use crate::reading::tests::read_text;

    const TEXT: &str = "id\tpreferred_name\tsynonym\tkind\tsource\tlicence\r\n\
        SYMP:1\tcough\tcough\tlabel\tx\tCC0\r\n\
        SYMP:1\tcough\ttussis\texact\tx\tCC0\r\n\
        \r\n\
        broken\r\n\
        SYMP:2\tfever\t\tlabel\tx\tCC0\n";

    #[test]
    fn names_are_read_and_bad_lines_counted() {
        let (names, report) = read_text("a.tsv", TEXT.as_bytes(), |_| {}).unwrap();
        assert_eq!(names.text(), "SYMP:1=cough\nSYMP:1=cough preferred\nSYMP:1=tussis");
        assert_eq!((report.names, report.bad_lines, report.bad_lines_first), (2, 2, vec![5, 6]));
    }

    #[test]
    fn kinds_are_chosen() {
        let (names, _) = read_text("a.tsv", TEXT.replace("broken\r\n", "").as_bytes(), |reading| {
            reading.kinds = vec!["exact".to_owned()];
        })
        .unwrap();
        assert_eq!(names.text(), "SYMP:1=cough preferred\nSYMP:1=tussis");
    }

    #[test]
    fn columns_of_concepts() {
        let text = "id\tpreferred_name\tsynonym\tkind\tparents\tingredients\n\
            1\taspirin\taspirin\tIN\t\t\n\
            2\tEcotrin\tecotrin EC\tBN\t9|10\t1\n\
            2\tEcotrin\tenteric aspirin\tnarrow\t| \t\n";
        let (names, report) = read_text("a.tsv", text.as_bytes(), |_| {}).unwrap();
        assert_eq!(
            names.text(),
            "1=aspirin\n2=Ecotrin preferred\n2=ecotrin EC\n2=Ecotrin preferred\n2=enteric aspirin"
        );
        assert_eq!(names.standings(), [Standing::Preferred, Standing::Exact, Standing::Narrow]);
        assert_eq!(names.orders(), [0, 2, u8::MAX]);
        assert_eq!(names.relations(), "2>9\n2>10\n2>1 ingredient");
        assert_eq!((report.names, report.bad_lines), (3, 0));
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
