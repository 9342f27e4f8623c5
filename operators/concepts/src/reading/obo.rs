//! Ontologies in OBO (flat file format 1.2 and 1.4): the Disease Ontology, the Symptom Ontology and others.
//!
//! Of the stanzas only `[Term]` has names. Whether a term is obsolete may stand behind its names, so they are held until the stanza ends;
//! their number is bounded, and so is that of the terms that one is a kind of.

use super::{Counted, Lines, Name, Reading, RelationKind, Sink, Standing, VOCABULARY};
use crate::ConceptError;
use std::path::Path;

/// Names of one term at most, and terms above it; more are bad lines.
const TERM_NAMES_MAX: usize = 10_000;

/// A stanza as far as it is read.
#[derive(Default)]
struct Term {
    id: String,
    names: Vec<(String, Standing)>,
    parents: Vec<String>,
    is_obsolete: bool,
}

/// Reads names and synonyms of the scopes that `reading` takes, and is-a; the scope of a name is `NAME`.
pub(super) fn read<S: Sink>(reading: &Reading, lines: &mut Lines, sink: &mut Counted<'_, S>) -> Result<(), S::Error> {
    let mut term: Option<Term> = None;
    let mut is_first = true;
    while let Some(line) = lines.next_line()? {
        let line = line.trim();
        if line.is_empty() || line.starts_with('!') {
            continue;
        }
        if is_first && !line.starts_with("format-version:") && !line.starts_with('[') {
            let what = "is not OBO: it begins neither with format-version nor with a stanza";
            return Err(lines.refused(what, "give an OBO file, or set the format of the source").into());
        }
        is_first = false;
        if line.starts_with('[') {
            let is_term = line == "[Term]";
            put(term.take(), sink)?;
            term = is_term.then(Term::default);
        } else if let Some(term) = &mut term
            && clause(reading, line, term).is_err()
        {
            lines.bad();
        }
    }
    put(term, sink)
}

fn put<S: Sink>(term: Option<Term>, sink: &mut Counted<'_, S>) -> Result<(), S::Error> {
    let Some(Term { id, names, parents, .. }) = term.filter(|term| !term.is_obsolete && !term.id.is_empty()) else {
        return Ok(());
    };
    for (name, standing) in &names {
        sink.name(Name { concept: &id, name, standing: *standing, order: u8::MAX, is_ingredient: false })?;
    }
    parents.iter().try_for_each(|parent| sink.relation(&id, parent, RelationKind::Broader))
}

struct Malformed;

fn clause(reading: &Reading, line: &str, term: &mut Term) -> Result<(), Malformed> {
    let (tag, value) = line.split_once(':').ok_or(Malformed)?;
    let value = value.trim();
    let (scope, name) = match tag {
        "id" => {
            term.id = without_comment(value).to_owned();
            return Ok(());
        }
        "is_obsolete" => {
            term.is_obsolete = without_comment(value) == "true";
            return Ok(());
        }
        "is_a" => {
            let parent = without_comment(value);
            if parent.is_empty() || term.parents.len() == TERM_NAMES_MAX {
                return Err(Malformed);
            }
            term.parents.push(parent.to_owned());
            return Ok(());
        }
        "name" => ("NAME", unescaped(without_comment(value))),
        "synonym" => {
            let (name, rest) = quoted(value).ok_or(Malformed)?;
            // Without a scope it is RELATED (OBO 1.4, section 3.3).
            let scope = rest.split_whitespace().next().filter(|scope| !scope.starts_with('[')).unwrap_or("RELATED");
            (if ["EXACT", "NARROW", "BROAD"].contains(&scope) { scope } else { "RELATED" }, name)
        }
        _ => return Ok(()),
    };
    if name.is_empty() || term.names.len() == TERM_NAMES_MAX {
        return Err(Malformed);
    }
    if reading.takes(scope, &["NAME", "EXACT", "NARROW", "RELATED"]) {
        let standing = match scope {
            "NAME" => Standing::Preferred,
            "EXACT" => Standing::Exact,
            "NARROW" => Standing::Narrow,
            "BROAD" => Standing::Broad,
            _ => Standing::Related,
        };
        term.names.push((name, standing));
    }
    Ok(())
}

/// The `data-version` of an ontology, where it has one.
pub(super) fn data_version(path: &Path) -> Result<Option<String>, ConceptError> {
    let mut lines = Lines::open(path, VOCABULARY)?;
    while let Some(line) = lines.next_line()? {
        if line.starts_with('[') {
            break;
        }
        if let Some(version) = line.strip_prefix("data-version:") {
            return Ok(Some(without_comment(version.trim()).to_owned()).filter(|version| !version.is_empty()));
        }
    }
    Ok(None)
}

/// The value without the comment or the qualifiers behind it.
fn without_comment(value: &str) -> &str {
    let value = value.find(" !").map_or(value, |at| &value[..at]);
    value.find(" {").map_or(value, |at| &value[..at]).trim_end()
}

/// The text between the quotation marks that `value` begins with, and what is behind them.
fn quoted(value: &str) -> Option<(String, &str)> {
    let inside = value.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.find(|character| {
        let is_end = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    })?;
    Some((unescaped(&inside[..end]), &inside[end + 1..]))
}

fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('n' | 't' | 'W') => text.push(' '),
                Some(other) => text.push(other),
                None => {}
            },
            (other, false) => text.push(other),
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use crate::reading::Standing;
    use crate::reading::tests::read_text;

    const TEXT: &str = "format-version: 1.2
ontology: doid

[Term]
id: DOID:4
name: disease

[Term]
id: DOID:2841
name: asthma ! a comment
def: \"A bronchial disease.\" [url:http\\://x]
synonym: \"bronchial hyperreactivity\" EXACT []
synonym: \"a \\\"quoted\\\" name\" NARROW [ICD:1]
synonym: \"lung trouble\" BROAD []
synonym: \"old style\" []
is_a: DOID:4 ! disease

[Term]
id: DOID:9
name: gone
is_obsolete: true

[Typedef]
id: part_of
name: part of
";

    #[test]
    fn names_and_synonyms_of_living_terms() {
        let (names, report) = read_text("a.obo", TEXT.as_bytes(), |_| {}).unwrap();
        assert_eq!(
            names.text(),
            "DOID:4=disease\nDOID:2841=asthma\nDOID:2841=bronchial hyperreactivity\nDOID:2841=a \"quoted\" name\nDOID:2841=old style"
        );
        assert_eq!((report.names, report.bad_lines), (5, 0));
        assert_eq!(names.relations(), "DOID:2841>DOID:4");
        let (preferred, exact, narrow, related) =
            (Standing::Preferred, Standing::Exact, Standing::Narrow, Standing::Related);
        assert_eq!(names.standings(), [preferred, preferred, exact, narrow, related]);
    }

    #[test]
    fn scopes_are_chosen() {
        let (names, _) =
            read_text("a.obo", TEXT.as_bytes(), |reading| reading.kinds = vec!["BROAD".to_owned()]).unwrap();
        assert_eq!(names.text(), "DOID:2841=lung trouble");
    }

    #[test]
    fn bad_clauses_are_counted_and_other_files_refused() {
        let text = TEXT.replace("is_a: DOID:4", "synonym: \"without end\nis_a: DOID:4");
        let (_, report) = read_text("a.obo", text.as_bytes(), |_| {}).unwrap();
        assert_eq!((report.bad_lines, report.bad_lines_first), (1, vec![16]));
        let error = read_text("a.obo", b"<rdf:RDF>\n", |_| {}).unwrap_err().to_string();
        assert!(error.contains("a.obo is not OBO"), "{error}");
    }
}
