//! RxNorm: names in `RXNCONSO.RRF`, in full or its prescribable subset, and relations in `RXNREL.RRF`.
//!
//! The file of names has 18 fields a line, each with a bar behind it (RxNorm technical documentation, section 12.4). A name of RxNorm
//! itself in English that is not suppressed is taken when its term type is: ingredients (`IN`, `PIN`, `MIN`) and brands (`BN`), and where
//! products are asked for drugs with strength and dose form too. Notes hardly ever write these that way. A synonym (`SY`, `TMSY`,
//! `PSN`) has the type of no concept, so the file is read twice, and those of the concepts that were taken are.
//!
//! The file of relations has 16 fields a line (section 12.5), and a row in either direction of each relation: `RELA` is what the second
//! concept is to the first.

use super::{Counted, Lines, Name, Reading, RelationKind, Sink, Standing, VOCABULARY};
use std::collections::HashSet;

const FIELDS: usize = 18;
const RELATION_FIELDS: usize = 16;
const TYPES: [&str; 4] = ["IN", "PIN", "MIN", "BN"];
const SYNONYMS: [&str; 2] = ["SY", "TMSY"];
const PRODUCT_SYNONYMS: [&str; 3] = ["SY", "TMSY", "PSN"];

/// The types of concepts, in the order in which they take a name that several have. Dose forms are no drugs.
const ORDER: [&str; 17] = [
    "IN", "PIN", "BN", "MIN", "SCD", "SBD", "GPCK", "BPCK", "SCDC", "SBDC", "SCDF", "SBDF", "SCDFP", "SBDFP", "SCDG",
    "SBDG", "SCDGP",
];

/// What a second concept is to a first one that is nearer to the ingredient, and what such a first one is to it.
const TOWARDS_INGREDIENTS: [(&str, &str); 10] = [
    ("tradename_of", "has_tradename"),
    ("has_ingredient", "ingredient_of"),
    ("has_ingredients", "ingredients_of"),
    ("has_precise_ingredient", "precise_ingredient_of"),
    ("consists_of", "constitutes"),
    ("contains", "contained_in"),
    ("form_of", "has_form"),
    ("has_part", "part_of"),
    ("isa", "inverse_isa"),
    ("quantified_form_of", "has_quantified_form"),
];

/// What is read of a line.
struct Row<'a> {
    concept: &'a str,
    kind: &'a str,
    name: &'a str,
}

/// Where a term type comes among the types.
pub(super) fn order(kind: &str) -> u8 {
    ORDER.iter().position(|known| *known == kind).map_or(u8::MAX, |at| at as u8)
}

fn types(reading: &Reading) -> &'static [&'static str] {
    if reading.products { &ORDER } else { &TYPES }
}

/// Reads the names of the term types that `reading` takes.
pub(super) fn read<S: Sink>(reading: &Reading, lines: &mut Lines, sink: &mut Counted<'_, S>) -> Result<(), S::Error> {
    let concepts = concepts(reading)?;
    let synonyms: &[&str] = if reading.products { &PRODUCT_SYNONYMS } else { &SYNONYMS };
    let mut is_first = true;
    while let Some(line) = lines.next_line()? {
        if line.trim().is_empty() {
            continue;
        }
        match row(line) {
            Ok(Some(Row { concept, kind, name })) => {
                let is_synonym = synonyms.contains(&kind)
                    && reading.kinds.is_empty()
                    && concept.parse().is_ok_and(|concept: u64| concepts.contains(&concept));
                if is_synonym || reading.takes(kind, types(reading)) {
                    let order = order(kind);
                    let standing = if order == u8::MAX { Standing::Exact } else { Standing::Preferred };
                    sink.name(Name { concept, name, standing, order, is_ingredient: kind == "IN" })?;
                }
            }
            Ok(None) => {}
            Err(Malformed) if is_first => {
                let what = "is not RXNCONSO.RRF: a line has 18 fields, each with a bar behind it";
                return Err(lines.refused(what, "give that file, or set the format of the source").into());
            }
            Err(Malformed) => lines.bad(),
        }
        is_first = false;
    }
    Ok(())
}

/// The concepts with a name of a type that is taken.
fn concepts(reading: &Reading) -> Result<HashSet<u64>, crate::ConceptError> {
    let mut concepts = HashSet::new();
    let mut lines = Lines::open(&reading.path, VOCABULARY)?;
    while let Some(line) = lines.next_line()? {
        if let Ok(Some(row)) = row(line)
            && reading.takes(row.kind, types(reading))
        {
            concepts.extend(row.concept.parse::<u64>().ok());
        }
    }
    Ok(concepts)
}

struct Malformed;

/// The fields of a line, each with a bar behind it.
fn fields<const COUNT: usize>(line: &str) -> Result<[&str; COUNT], Malformed> {
    let mut fields = [""; COUNT];
    let mut count = 0;
    for field in line.strip_suffix('|').ok_or(Malformed)?.split('|') {
        *fields.get_mut(count).ok_or(Malformed)? = field;
        count += 1;
    }
    if count == COUNT { Ok(fields) } else { Err(Malformed) }
}

/// The line's name; none when it is another vocabulary's, suppressed, or not in English.
fn row(line: &str) -> Result<Option<Row<'_>>, Malformed> {
    let [concept, language, .., vocabulary, kind, _, name, _, suppressed, _] = fields::<FIELDS>(line)?;
    if concept.is_empty() || name.trim().is_empty() {
        return Err(Malformed);
    }
    let is_taken = language == "ENG" && vocabulary == "RXNORM" && suppressed == "N";
    Ok(is_taken.then_some(Row { concept, kind, name: name.trim() }))
}

/// Reads the relations of RxNorm itself that lead from brands and products towards ingredients.
pub(super) fn read_relations<S: Sink>(lines: &mut Lines, sink: &mut Counted<'_, S>) -> Result<(), S::Error> {
    let mut is_first = true;
    while let Some(line) = lines.next_line()? {
        if line.trim().is_empty() {
            continue;
        }
        match fields::<RELATION_FIELDS>(line) {
            Ok([first, _, _, _, second, _, _, kind, _, _, vocabulary, _, _, _, suppressed, _]) => {
                // Relations between atoms, and to the Metathesaurus, have no concept on one side.
                let is_taken = vocabulary == "RXNORM"
                    && !["O", "Y", "E"].contains(&suppressed)
                    && [first, second].iter().all(|concept| concept.parse::<u64>().is_ok());
                let ends = TOWARDS_INGREDIENTS.iter().find_map(|(forth, back)| match () {
                    () if kind == *forth => Some((second, first)),
                    () if kind == *back => Some((first, second)),
                    () => None,
                });
                if let Some((from, to)) = ends.filter(|_| is_taken) {
                    sink.relation(from, to, RelationKind::Broader)?;
                }
            }
            Err(Malformed) if is_first => {
                let what = "are not RXNREL.RRF: a line has 16 fields, each with a bar behind it";
                return Err(lines.refused(what, "give that file, or leave relations out").into());
            }
            Err(Malformed) => lines.bad(),
        }
        is_first = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::reading::tests::{read_relations, read_text};
    use crate::reading::{Standing, VocabularyFormat};

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
        assert_eq!(names.text(), "1191=aspirin\n1191=acetylsalicylic acid\n202554=Ecotrin");
        assert_eq!((report.names, report.bad_lines), (3, 0));
        assert_eq!(names.standings(), [Standing::Preferred, Standing::Exact, Standing::Preferred]);
        assert_eq!(names.orders(), [0, u8::MAX, 2]);
        assert_eq!(names.ingredients(), ["1191"]);
    }

    #[test]
    fn products_are_read_where_they_are_asked_for() {
        let (names, _) = read_text("RXNCONSO.RRF", TEXT.as_bytes(), |reading| reading.products = true).unwrap();
        assert_eq!(
            names.text(),
            "1191=aspirin\n1191=acetylsalicylic acid\n202554=Ecotrin\n212033=aspirin 325 MG Oral Tablet\n212033=ASA 325 MG Oral Tablet"
        );
    }

    #[test]
    fn kinds_are_chosen() {
        let kinds = |kind: &str| {
            let read =
                read_text("RXNCONSO.RRF", TEXT.as_bytes(), |reading| reading.kinds = vec![kind.to_owned()]).unwrap();
            read.0.text()
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

    /// A line of the file of relations: what the second concept is to the first.
    fn row(first: &str, second: &str, kind: &str, rest: (&str, &str)) -> String {
        format!("{first}||CUI|RO|{second}||CUI|{kind}|1||{0}|{0}||||{1}|\n", rest.0, rest.1)
    }

    #[test]
    fn relations_lead_towards_ingredients() {
        let rows = [
            row("1191", "202554", "tradename_of", ("RXNORM", "")),
            row("202554", "1191", "has_tradename", ("RXNORM", "4096")),
            row("1191", "315431", "has_ingredient", ("RXNORM", "")),
            row("315431", "212033", "consists_of", ("RXNORM", "")),
            row("212033", "315431", "constitutes", ("RXNORM", "")),
            row("317541", "212033", "dose_form_of", ("RXNORM", "")),
            row("1191", "9", "has_ingredient", ("MTHSPL", "")),
        ];
        let text = rows.concat();
        let (relations, report) = read_relations(VocabularyFormat::Rxnorm, &text).unwrap();
        assert_eq!(relations, "202554>1191\n202554>1191\n315431>1191\n212033>315431\n212033>315431");
        assert_eq!((report.relations, report.bad_lines), (5, 0));
        let (_, report) = read_relations(VocabularyFormat::Rxnorm, &format!("{text}1|2|\n")).unwrap();
        assert_eq!((report.bad_lines, report.bad_lines_first), (1, vec![8]));
        let error = read_relations(VocabularyFormat::Rxnorm, "1|2\n").unwrap_err().to_string();
        assert!(error.contains("are not RXNREL.RRF: a line has 16 fields"), "{error}");
    }
}
