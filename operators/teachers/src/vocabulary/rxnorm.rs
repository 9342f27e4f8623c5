//! RxNorm's names: `RXNCONSO.RRF`, in full or its prescribable subset.
//!
//! The file has 18 fields a line, each with a bar behind it (RxNorm technical documentation, section 12.4). A name of RxNorm itself in
//! English that is not suppressed is taken when its term type is: ingredients (`IN`, `PIN`, `MIN`) and brands (`BN`). Drugs with strength and dose form
//! (`SCD`, `SBD`, `PSN` …) are left out: notes do not write them that way. A synonym (`SY`, `TMSY`) has the type of no concept,
//! so the file is read twice, and those of the concepts that were taken are.

use super::lines::Lines;
use super::source::{Sink, VocabularySource};
use crate::TeacherError;
use std::collections::HashSet;

const FIELDS: usize = 18;
const TYPES: [&str; 4] = ["IN", "PIN", "MIN", "BN"];
const SYNONYMS: [&str; 2] = ["SY", "TMSY"];

/// What is read of a line.
struct Row<'a> {
    concept: &'a str,
    kind: &'a str,
    name: &'a str,
}

/// Reads the names of the term types that `source` takes.
pub(super) fn read(source: &VocabularySource, lines: &mut Lines, sink: &mut Sink) -> Result<(), TeacherError> {
    let concepts = concepts(source)?;
    let mut is_first = true;
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        match row(line) {
            Ok(Some(row)) => {
                let is_synonym = SYNONYMS.contains(&row.kind)
                    && source.kinds.is_empty()
                    && row.concept.parse().is_ok_and(|concept: u64| concepts.contains(&concept));
                if is_synonym || source.takes(row.kind, &TYPES) {
                    sink.put(row.concept, row.name)?;
                }
            }
            Ok(None) => {}
            Err(Malformed) if is_first => {
                let what = "is not RXNCONSO.RRF: a line has 18 fields, each with a bar behind it";
                return Err(lines.refused(what, "give that file, or set the format of the source"));
            }
            Err(Malformed) => lines.bad(),
        }
        is_first = false;
    }
    Ok(())
}

/// The concepts with a name of a type that is taken.
fn concepts(source: &VocabularySource) -> Result<HashSet<u64>, TeacherError> {
    let mut concepts = HashSet::new();
    let mut lines = Lines::open(&source.path)?;
    while let Some(line) = lines.next()? {
        if let Ok(Some(row)) = row(line)
            && source.takes(row.kind, &TYPES)
        {
            concepts.extend(row.concept.parse::<u64>().ok());
        }
    }
    Ok(concepts)
}

struct Malformed;

/// The line's name; none when it is another vocabulary's, suppressed, or not in English.
fn row(line: &str) -> Result<Option<Row<'_>>, Malformed> {
    let mut fields = [""; FIELDS + 1];
    let mut count = 0;
    for field in line.split('|') {
        *fields.get_mut(count).ok_or(Malformed)? = field;
        count += 1;
    }
    let [concept, language, .., vocabulary, kind, _, name, _, suppressed, _, rest] = fields;
    if count != FIELDS + 1 || !rest.is_empty() || concept.is_empty() || name.trim().is_empty() {
        return Err(Malformed);
    }
    let is_taken = language == "ENG" && vocabulary == "RXNORM" && suppressed == "N";
    Ok(is_taken.then_some(Row { concept, kind, name: name.trim() }))
}

#[cfg(test)]
mod tests {
    use crate::vocabulary::source::read_text;

    const TEXT: &str = "\
1191|ENG||||||829|829|1191||RXNORM|IN|1191|aspirin||N|4096|
1191|ENG||||||830|830|1191||RXNORM|SY|1191|acetylsalicylic acid||N||
1191|ENG||||||831|831|1191||RXNORM|TMSY|1191|ASA||Y||
1191|ENG||||||832|832|1191||MTHSPL|SU|R16CO5Y76E|ASPIRIN||N||
202554|ENG||||||833|833|202554||RXNORM|BN|202554|Ecotrin||N|4096|
212033|ENG||||||834|834|212033||RXNORM|SCD|212033|aspirin 325 MG Oral Tablet||N|4096|
212033|ENG||||||835|835|212033||RXNORM|SY|212033|ASA 325 MG Oral Tablet||N||
1191|SPA||||||836|836|1191||RXNORM|IN|1191|aspirina||N||
";

    #[test]
    fn ingredients_brands_and_their_synonyms() {
        let (names, report) = read_text("RXNCONSO.RRF", TEXT.as_bytes(), |_| {}).unwrap();
        assert_eq!(names, "1191=aspirin\n1191=acetylsalicylic acid\n202554=Ecotrin");
        assert_eq!((report.names, report.bad_lines), (3, 0));
    }

    #[test]
    fn kinds_are_chosen() {
        let kinds = |kind: &str| {
            read_text("RXNCONSO.RRF", TEXT.as_bytes(), |source| source.kinds = vec![kind.to_owned()]).unwrap().0
        };
        assert_eq!(kinds("BN"), "202554=Ecotrin");
        assert_eq!(kinds("SCD"), "212033=aspirin 325 MG Oral Tablet");
    }

    #[test]
    fn bad_lines_are_counted_and_other_files_refused() {
        let (_, report) = read_text("RXNCONSO.RRF", format!("{TEXT}1|ENG|x|\n").as_bytes(), |_| {}).unwrap();
        assert_eq!((report.bad_lines, report.bad_lines_first), (1, vec![9]));
        let error = read_text("RXNCONSO.RRF", b"1191|ENG|aspirin\n", |_| {}).unwrap_err().to_string();
        assert!(error.contains("RXNCONSO.RRF is not RXNCONSO.RRF: a line has 18 fields"), "{error}");
    }
}
