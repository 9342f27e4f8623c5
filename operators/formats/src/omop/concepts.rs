//! The concepts of OMOP for the codes of vocabularies, from the files of an Athena download.

use super::table::{Dialect, Table};
use crate::FormatError;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use stillroom_schemas::Code;

/// Which concept a code is: 16 bytes a concept, so about 110 MB for a full download of Athena.
#[derive(Default)]
pub(super) struct Concepts {
    /// By key.
    concepts: Vec<Known>,
    /// From concept to standard concept, ascending.
    maps_to: Vec<(i32, i32)>,
}

/// A concept of CONCEPT.csv.
struct Known {
    /// Hash of vocabulary and code: the names of millions would take ten times the memory.
    key: u64,
    concept_id: i32,
    is_standard: bool,
}

/// What NOTE_NLP says of a code; 0 is OMOP's "No matching concept".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConceptIds {
    /// The standard concept that it means.
    pub(super) standard: i32,
    /// The concept that it is.
    pub(super) source: i32,
}

impl Concepts {
    /// Reads CONCEPT.csv, and CONCEPT_RELATIONSHIP.csv for what concepts that are not standard map to.
    ///
    /// # Errors
    /// When a file cannot be read or is not one of Athena's.
    pub(super) fn load(concepts: &Path, relationships: Option<&Path>) -> Result<Concepts, FormatError> {
        let columns = ["concept_id", "vocabulary_id", "concept_code", "standard_concept"];
        let mut table = Table::open(concepts, Dialect::Tabs, columns)?;
        let mut loaded = Concepts::default();
        while let Some([id, vocabulary, code, standard]) = table.row()? {
            let (key, is_standard) = (key(vocabulary, code), standard == "S");
            let Ok(concept_id) = id.parse() else { return Err(table.wrong("concept_id is not a number")) };
            loaded.concepts.push(Known { key, concept_id, is_standard });
        }
        loaded.concepts.sort_unstable_by_key(|known| known.key);
        if let Some(relationships) = relationships {
            loaded.maps_to = maps_to(relationships)?;
        }
        Ok(loaded)
    }

    /// The concepts of `code`.
    pub(super) fn of(&self, code: &Code) -> ConceptIds {
        let key = key(&code.vocabulary, &code.code);
        let first = self.concepts.partition_point(|known| known.key < key);
        let known = match &self.concepts[first..] {
            // Two with one key: it is not known which of them is meant.
            [one, two, ..] if one.key == key && two.key == key => return ConceptIds::default(),
            [one, ..] if one.key == key => one,
            _ => return ConceptIds::default(),
        };
        let source = known.concept_id;
        if known.is_standard {
            return ConceptIds { standard: source, source };
        }
        let first = self.maps_to.partition_point(|(from, _)| *from < source);
        let standard = self.maps_to.get(first).filter(|(from, _)| *from == source).map_or(0, |(_, to)| *to);
        ConceptIds { standard, source }
    }
}

/// The relationships "Maps to" that hold, ascending.
fn maps_to(path: &Path) -> Result<Vec<(i32, i32)>, FormatError> {
    let columns = ["concept_id_1", "concept_id_2", "relationship_id", "invalid_reason"];
    let mut table = Table::open(path, Dialect::Tabs, columns)?;
    let mut found = Vec::new();
    while let Some([from, to, relationship, invalid]) = table.row()? {
        if relationship != "Maps to" || !invalid.is_empty() {
            continue;
        }
        match (from.parse(), to.parse()) {
            (Ok(from), Ok(to)) => found.push((from, to)),
            _ => return Err(table.wrong("a concept_id is not a number")),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Vocabularies are called by users as they like (`rxnorm`, `snomed_ct`), and by Athena `RxNorm` and `SNOMED`.
fn key(vocabulary: &str, code: &str) -> u64 {
    let letters = vocabulary.chars().filter(|character| character.is_alphanumeric());
    let mut folded: String = letters.flat_map(char::to_lowercase).collect();
    if folded.starts_with("snomedct") {
        folded = "snomed".to_owned();
    }
    let mut hasher = DefaultHasher::new();
    (folded, code).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Made-up rows in the form of Athena's files.
    const CONCEPT: &str = "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\tvalid_start_date\tvalid_end_date\tinvalid_reason\n\
        11\tmetformin\tDrug\tRxNorm\tIngredient\tS\t6809\t19700101\t20991231\t\n\
        12\tdiabetes \"type 2\tCondition\tSNOMED\tDisorder\tS\t44054006\t19700101\t20991231\t\n\
        13\tdiabetes\tCondition\tDOID\tDisorder\t\t9352\t19700101\t20991231\t\n\
        14\tfever\tCondition\tICD10CM\t4-char\t\tR50.9\t19700101\t20991231\t\n\
        15\ttwice\tDrug\tRxNorm\tIngredient\tS\t1\t19700101\t20991231\t\n\
        16\ttwice\tDrug\tRxNorm\tIngredient\tS\t1\t19700101\t20991231\t\n";
    const RELATIONSHIP: &str = "concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\tinvalid_reason\n\
        13\t99\tIs a\t19700101\t20991231\t\n\
        13\t98\tMaps to\t19700101\t20200101\tD\n\
        13\t17\tMaps to\t19700101\t20991231\t\n\
        13\t12\tMaps to\t19700101\t20991231\t\n";

    #[test]
    fn codes_come_to_standard_concepts() {
        let folder = tempfile::tempdir().unwrap();
        let [concepts, relationships] =
            ["CONCEPT.csv", "CONCEPT_RELATIONSHIP.csv"].map(|name| folder.path().join(name));
        fs::write(&concepts, CONCEPT).unwrap();
        fs::write(&relationships, RELATIONSHIP).unwrap();
        let alone = Concepts::load(&concepts, None).unwrap();
        let both = Concepts::load(&concepts, Some(&relationships)).unwrap();
        let check = |vocabulary: &str, code: &str, with: [i32; 2], without: [i32; 2]| {
            let code = Code { vocabulary: vocabulary.to_owned(), code: code.to_owned() };
            let ids = [both.of(&code), alone.of(&code)].map(|ids| [ids.standard, ids.source]);
            assert_eq!(ids, [with, without], "{code:?}");
        };
        check("rxnorm", "6809", [11, 11], [11, 11]);
        check("snomed_ct", "44054006", [12, 12], [12, 12]);
        check("DOID", "9352", [12, 13], [0, 13]);
        check("icd10cm", "R50.9", [0, 14], [0, 14]);
        check("rxnorm", "44054006", [0, 0], [0, 0]);
        check("rxnorm", "1", [0, 0], [0, 0]);
    }

    #[test]
    fn another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CONCEPT.csv");
        fs::write(&path, "concept_id,vocabulary_id,concept_code,standard_concept\n1,RxNorm,6809,S\n").unwrap();
        assert!(matches!(Concepts::load(&path, None), Err(FormatError::Row { line: 1, .. })));
        fs::write(&path, CONCEPT.replace("\n12\t", "\ntwelve\t")).unwrap();
        assert!(matches!(Concepts::load(&path, None), Err(FormatError::Row { line: 3, .. })));
    }
}
