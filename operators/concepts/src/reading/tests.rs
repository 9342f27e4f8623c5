//! Files that are written for a test, and what is read of them.

use super::*;

/// What a file had.
#[derive(Debug, Default)]
pub(super) struct Read {
    lines: Vec<String>,
    names: Vec<(Standing, u8)>,
    ingredients: Vec<String>,
    relations: Vec<String>,
}

impl Read {
    /// Names as `concept=name`, a line each.
    pub(super) fn text(&self) -> String {
        self.lines.join("\n")
    }

    pub(super) fn standings(&self) -> Vec<Standing> {
        self.names.iter().map(|(standing, _)| *standing).collect()
    }

    pub(super) fn orders(&self) -> Vec<u8> {
        self.names.iter().map(|(_, order)| *order).collect()
    }

    /// The concepts that their names call ingredients.
    pub(super) fn ingredients(&self) -> Vec<&str> {
        self.ingredients.iter().map(String::as_str).collect()
    }

    /// Relations as `from>to`, a line each.
    pub(super) fn relations(&self) -> String {
        self.relations.join("\n")
    }
}

impl Sink for Read {
    type Error = ConceptError;

    fn name(&mut self, name: Name<'_>) -> Result<(), ConceptError> {
        self.lines.push(format!("{}={}", name.concept, name.name));
        self.names.push((name.standing, name.order));
        self.ingredients.extend(name.is_ingredient.then(|| name.concept.to_owned()));
        Ok(())
    }

    fn preferred(&mut self, concept: &str, name: &str) -> Result<(), ConceptError> {
        self.lines.push(format!("{concept}={name} preferred"));
        Ok(())
    }

    fn relation(&mut self, Relation { from, to, kind }: Relation<'_>) -> Result<(), ConceptError> {
        let kind = if kind == RelationKind::Ingredient { " ingredient" } else { "" };
        self.relations.push(format!("{from}>{to}{kind}"));
        Ok(())
    }
}

/// Reads `text` as a file of this name, with these changes to how it is read.
pub(super) fn read_text(
    file: &str,
    text: &[u8],
    change: impl Fn(&mut Reading),
) -> Result<(Read, VocabularyReport), ConceptError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    std::fs::write(&path, text).unwrap();
    let (format, kinds, tags) = (VocabularyFormat::of(&path)?, Vec::new(), Vec::new());
    let mut reading = Reading { path, format, kinds, tags, products: false, concepts: None };
    change(&mut reading);
    let mut read = Read::default();
    let report = reading.read(&mut read)?;
    Ok((read, report))
}

/// Reads `text` as the relations of a vocabulary, as `from>to` lines.
pub(super) fn read_relations(format: VocabularyFormat, text: &str) -> Result<(String, RelationsReport), ConceptError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relations");
    std::fs::write(&path, text).unwrap();
    let (kinds, tags) = (Vec::new(), Vec::new());
    let reading = Reading { path: path.clone(), format, kinds, tags, products: false, concepts: None };
    let mut read = Read::default();
    let report = reading.read_relations(&path, &mut read)?;
    Ok((read.relations(), report))
}

#[test]
fn a_file_tells_its_format() {
    let error = VocabularyFormat::of(Path::new("a/names.csv")).unwrap_err().to_string();
    assert_eq!(
        error,
        "the vocabulary a/names.csv has a name that tells no format; set format to rxnorm, snomed, obo or tsv"
    );
    assert_eq!(VocabularyFormat::of(Path::new("RXNCONSO.RRF")).unwrap(), VocabularyFormat::Rxnorm);
}

#[test]
fn lines_without_end_and_other_texts_are_refused() {
    let text = [b"id\tsynonym\n1\t".as_slice(), &[b'a'; 2 << 20]].concat();
    let error = read_text("names.tsv", &text, |_| {}).unwrap_err();
    assert!(error.to_string().contains("has a line of over a mebibyte (line 2)"), "{error}");
    let error = read_text("names.tsv", b"id\tsynonym\n1\n2\n3\ta\n\xff\n", |_| {}).unwrap_err();
    assert!(error.to_string().contains("has 3 bad lines, first in lines 2, 3, 5"), "{error}");
}

#[test]
fn a_file_without_names_and_a_format_without_relations_are_refused() {
    let error = read_text("names.tsv", b"id\tsynonym\n", |_| {}).unwrap_err().to_string();
    assert!(error.contains("names.tsv has no name to take and 0 lines that are not of its format (line 1)"), "{error}");
    let error = read_relations(VocabularyFormat::Obo, "").unwrap_err().to_string();
    assert!(error.contains("has its relations beside its names; leave relations out"), "{error}");
}
