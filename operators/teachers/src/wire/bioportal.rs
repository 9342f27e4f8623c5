//! BioPortal's annotator, which answers with places instead of words.
//!
//! Format: <https://data.bioontology.org/documentation#nav_annotator>. The server (github.com/ncbo/ncbo_annotator, `mgrep`) upper-cases
//! the text in Ruby, turns line ends into spaces, and takes `text` of each annotation out of *that* string by `from` and `to`, 1-based
//! and inclusive, in code points. A character whose upper case is longer (`ß`, `ﬁ`) thus shifts all that follow, so what is sent holds
//! none: every code point is sent as exactly one whose upper case is one. Nothing outside the basic plane is sent either, so that it
//! does not matter whether a server counts code points or UTF-16 units.

use super::{Answer, Fault, Found, base};
use crate::{Profile, Usage};
use serde::Deserialize;
use serde_json::{Value, json};
use stillroom_schemas::{Span, Task};

/// BioPortal's own base URL.
const BASE: &str = "https://data.bioontology.org";

/// How far from where it should be an annotation is looked for at most, in code points. A server that drops or doubles a few
/// characters shifts by a few; much farther away, another mention of the same would be hit.
const ANCHOR_CHARS_MAX: usize = 32;

/// Stands for a character outside the basic plane: no letter, so that words end beside it as they do beside an emoji.
const OUTSIDE_BMP: char = '\u{25A1}';

/// What is asked for beside the text, the ontologies and the semantic types. Numbers and names of one or two letters are noise in
/// notes; synonyms are what makes an ontology a teacher.
const FIXED: [(&str, &str); 8] = [
    ("longest_only", "true"),
    ("exclude_numbers", "true"),
    ("whole_word_only", "true"),
    ("exclude_synonyms", "false"),
    ("minimum_match_length", "3"),
    ("include", "prefLabel,cui,semanticType"),
    ("display_context", "false"),
    ("display_links", "false"),
];

pub(crate) fn url(profile: &Profile) -> String {
    format!("{}/annotator", base(profile, BASE))
}

/// The form without the text.
fn settings(profile: &Profile) -> Vec<(&'static str, String)> {
    let mut form = vec![("ontologies", profile.model.clone())];
    if !profile.semantic_types.is_empty() {
        form.push(("semantic_types", profile.semantic_types.join(",")));
    }
    form.extend(FIXED.map(|(name, value)| (name, value.to_owned())));
    form
}

pub(crate) fn parameters(profile: &Profile) -> Value {
    Value::Object(settings(profile).into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect())
}

pub(crate) fn form(profile: &Profile, text: &str) -> Vec<(&'static str, String)> {
    let mut form = settings(profile);
    form.push(("text", text.chars().map(substitute).collect()));
    form
}

/// What is sent in place of a character: one code point whose upper case is one code point.
fn substitute(c: char) -> char {
    if c.is_control() {
        return ' ';
    }
    if c > '\u{FFFF}' {
        return OUTSIDE_BMP;
    }
    match c.to_uppercase().len() {
        1 => c,
        // The first letter of a longer upper case keeps the word a word: `ß` becomes `S`, `ﬁ` becomes `F`.
        _ => upper(c),
    }
}

/// The first code point of the upper case, which is all of it for what is sent.
fn upper(c: char) -> char {
    c.to_uppercase().next().unwrap_or(c)
}

#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    from: i64,
    to: i64,
    #[serde(default)]
    text: String,
}

pub(crate) fn answer(profile: &Profile, text: &str, bytes: &[u8]) -> Answer {
    let usage = Some(Usage { requests: 1, ..Usage::default() });
    let Some(task) = profile.tasks.first().copied() else { unreachable!("a client of BioPortal has one task") };
    let annotated: Vec<Annotated> = match serde_json::from_slice(bytes) {
        Ok(annotated) => annotated,
        Err(error) => return Answer { found: Err(Fault::malformed(super::deviation(&error))), usage },
    };
    Answer { found: Ok(anchor_all(text, task, &annotated)), usage }
}

fn anchor_all(text: &str, task: Task, annotated: &[Annotated]) -> Found {
    let sent: Vec<char> = text.chars().map(|c| upper(substitute(c))).collect();
    let mut ungrounded = 0;
    let mut spans = Vec::new();
    for annotation in annotated.iter().flat_map(|class| &class.annotations) {
        match anchor(&sent, annotation) {
            Some((start, end)) => spans.push(Span { task, start: start as u32, end: end as u32 }),
            None => ungrounded += 1,
        }
    }
    // Several classes annotate one place.
    spans.sort_unstable();
    spans.dedup();
    Found::Spans { spans, ungrounded }
}

/// Where an annotation is: where it says, if its text stands there, else at the nearest place where it stands.
fn anchor(sent: &[char], annotation: &Annotation) -> Option<(usize, usize)> {
    let words: Vec<char> = annotation.text.chars().map(upper).collect();
    if words.is_empty() || words.len() > sent.len() {
        return None;
    }
    let last = sent.len() - words.len();
    let stated = annotation.from.saturating_sub(1);
    let is_at = |start: usize| start <= last && sent[start..start + words.len()] == words[..];
    let is_word = |start: usize| {
        let letter = |at: usize| sent.get(at).is_some_and(|c| c.is_alphanumeric());
        let joined = |at: usize| letter(at) && letter(at + 1);
        !start.checked_sub(1).is_some_and(joined) && !joined(start + words.len() - 1)
    };
    // A text that does not have the length of its place is one of several signs that the places have shifted.
    let fits = annotation.to.checked_sub(stated).is_some_and(|chars| chars == words.len() as i64);
    match usize::try_from(stated) {
        Ok(start) if fits && is_at(start) => return Some((start, start + words.len())),
        _ => {}
    }
    let mut places =
        (0..=ANCHOR_CHARS_MAX as i64).flat_map(|far| [stated.saturating_sub(far), stated.saturating_add(far)]);
    let start = places.find_map(|at| usize::try_from(at).ok().filter(|start| is_at(*start) && is_word(*start)))?;
    Some((start, start + words.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the server sees and says: it upper-cases as Ruby does, with longer upper cases.
    fn served(form: &[(&str, String)]) -> Vec<char> {
        let text = &form.iter().find(|(name, _)| *name == "text").unwrap().1;
        text.to_uppercase().replace('\n', " ").chars().collect()
    }

    fn check(text: &str, annotations: &[(i64, i64, &str)], expected: &[&str], lost: u32) {
        let annotations: Vec<_> =
            annotations.iter().map(|(from, to, text)| json!({ "from": from, "to": to, "text": text })).collect();
        let body = json!([{ "annotatedClass": { "@id": "x" }, "annotations": annotations }]).to_string();
        let answer = answer(&Profile::built_in("rxnorm").unwrap(), text, body.as_bytes());
        let Ok(Found::Spans { spans, ungrounded }) = answer.found else { panic!("{answer:?}") };
        let chars: Vec<char> = text.chars().collect();
        let words: Vec<String> =
            spans.iter().map(|span| chars[span.start as usize..span.end as usize].iter().collect()).collect();
        assert_eq!(
            (words.iter().map(String::as_str).collect::<Vec<_>>(), ungrounded),
            (expected.to_vec(), lost),
            "{text}"
        );
    }

    #[test]
    fn the_form_has_what_the_profile_says() {
        let form = form(&Profile::built_in("snomedct").unwrap(), "a\nb\tc");
        let value = |name: &str| form.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
        assert_eq!(value("ontologies"), "SNOMEDCT");
        assert_eq!(value("semantic_types"), "T047,T048,T191,T037,T046,T019");
        assert_eq!(value("text"), "a b c");
        assert_eq!(value("display_context"), "false");
    }

    #[test]
    fn places_are_one_based_and_inclusive() {
        check("take aspirin", &[(6, 12, "ASPIRIN"), (6, 12, "ASPIRIN")], &["aspirin"], 0);
        check("aspirin", &[(1, 7, "ASPIRIN")], &["aspirin"], 0);
        check("naïve aspirin", &[(7, 13, "ASPIRIN")], &["aspirin"], 0);
    }

    #[test]
    fn wrong_places_are_corrected_or_dropped() {
        check("ß ß take aspirin", &[(12, 18, "ASPIRIN")], &["aspirin"], 0);
        check("aspirin and aspirin", &[(15, 21, "ASPIRIN")], &["aspirin"], 0);
        check("take aspirin", &[(6, 12, "IBUPROFEN")], &[], 1);
        check("take aspirin", &[(-9, 0, "ASPIRIN")], &["aspirin"], 0);
        check("take aspirin", &[(i64::MAX, i64::MIN, "ASPIRIN"), (i64::MIN, i64::MAX, "ASPIRIN")], &[], 2);
        check("take aspirin", &[(6, 12, ""), (0, 0, "")], &[], 2);
        check("", &[(1, 3, "ABC")], &[], 1);
        check("the superaspirin", &[(5, 11, "ASPIRIN")], &[], 1);
        check(&format!("aspirin{}", " ".repeat(90)), &[(80, 86, "ASPIRIN")], &[], 1);
    }

    #[test]
    fn what_the_server_would_shift_is_sent_otherwise() {
        let rxnorm = Profile::built_in("rxnorm").unwrap();
        for text in ["Straße ﬁbrates aspirin", "😀😀 aspirin", "İı ŉ ΐ aspirin", "\r\n\u{85} aspirin", "ᾳ ǅ ᾼ aspirin"]
        {
            let served = served(&form(&rxnorm, text));
            assert_eq!(served.len(), text.chars().count(), "{text}");
            let at =
                served.windows(7).position(|window| window.iter().collect::<String>() == "ASPIRIN").unwrap() as i64;
            check(text, &[(at + 1, at + 7, "ASPIRIN")], &["aspirin"], 0);
        }
    }

    #[test]
    fn every_character_stays_one() {
        for c in '\0'..=char::MAX {
            let sent = substitute(c);
            assert_eq!(sent.to_uppercase().count(), 1, "{c:?} is sent as {sent:?}");
            assert_eq!(sent.len_utf16(), 1, "{c:?} is sent as {sent:?}");
        }
    }

    proptest! {
        #[test]
        fn what_the_server_says_of_any_text_is_found(text in "\\PC{1,60}", from in 0usize..60, length in 1usize..20) {
            let rxnorm = Profile::built_in("rxnorm").unwrap();
            let served = served(&form(&rxnorm, &text));
            let from = from % served.len();
            let to = (from + length).min(served.len());
            let words: String = served[from..to].iter().collect();
            let annotation = Annotation { from: from as i64 + 1, to: to as i64, text: words };
            let sent: Vec<char> = text.chars().map(|c| upper(substitute(c))).collect();
            prop_assert_eq!(anchor(&sent, &annotation), Some((from, to)));
        }
    }
}
