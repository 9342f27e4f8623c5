//! From a name of a vocabulary to the forms that texts have it in.

use serde::{Deserialize, Serialize};
use stillroom_concepts::fold::fold;
use stillroom_concepts::words::{SALTS, plurals, singular};
use stillroom_schemas::Task;

/// A name of more code points than this is left out: nobody writes it, and it costs memory.
pub(super) const NAME_CHARACTERS_MAX: usize = 200;

/// A name with fewer letters than this, or the first capital alone, is no abbreviation.
const ABBREVIATION_CAPITALS_MIN: usize = 2;

/// A longer name in capitals is a name that someone shouted.
const ABBREVIATION_CHARACTERS_MAX: usize = 6;

/// Which rules apply to names and texts; all by default. Unknown fields are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VocabularyRules {
    /// The last word of a name may be in the plural, or in the singular where the name has the plural. Default true.
    pub plurals: bool,
    /// A short name with two capitals or more (`ALL`, `vWD`) is an abbreviation, and is found where the text has as many. Default true.
    pub capitals: bool,
    /// `diabetes mellitus, type 2` is found as `type 2 diabetes mellitus`. Default true.
    pub inversions: bool,
    /// British spellings are found as American ones and the other way round. Default true.
    pub spelling: bool,
    /// Words that stand for each other at the end of a disease's name do so: cancer, carcinoma, tumor, neoplasm; disease, disorder,
    /// syndrome. `cancer of the lung` is found where `lung cancer` is a name, and `Lesch-Nyhan` where `Lesch-Nyhan syndrome` is.
    /// Default true.
    pub heads: bool,
    /// A medication is found without its salt: `heparin` where `heparin sodium` is a name. Default true.
    pub salts: bool,
    /// An abbreviation that a text explains in brackets behind a name stands for that name in this text. Default true.
    pub explained: bool,
    /// A disease takes in the words before it that say of which kind it is: `hereditary`, `x-linked`. Default true.
    pub modifiers: bool,
}

impl Default for VocabularyRules {
    fn default() -> VocabularyRules {
        VocabularyRules {
            plurals: true,
            capitals: true,
            inversions: true,
            spelling: true,
            heads: true,
            salts: true,
            explained: true,
            modifiers: true,
        }
    }
}

impl VocabularyRules {
    /// No rule: a name is found in any case, with any white space and hyphens, at the boundaries of words.
    pub fn none() -> VocabularyRules {
        VocabularyRules {
            plurals: false,
            capitals: false,
            inversions: false,
            spelling: false,
            heads: false,
            salts: false,
            explained: false,
            modifiers: false,
        }
    }
}

/// A form of a name: what to look for in a folded text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form {
    /// Folded words with a space before and behind each.
    pub(super) key: String,
    /// Capitals that the text must have at least.
    pub(super) capitals: u8,
    /// Whether a rule made it; a name as the vocabulary has it goes before.
    pub(super) derived: bool,
}

/// The forms of `name`, each once, the name itself first; none where nobody could find it in a text.
pub(super) fn forms(name: &str, task: Task, rules: &VocabularyRules) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return forms;
    }
    let capitals = if rules.capitals { capitals(name) } else { 0 };
    for (nth, written) in written_forms(name, task, rules).iter().enumerate() {
        let words = folded_words(written, rules);
        let Some((last, before)) = words.split_last() else { continue };
        let endings = if rules.plurals { numbers(last) } else { Vec::new() };
        for (number, ending) in std::iter::once(last.clone()).chain(endings).enumerate() {
            let key = format!(" {} ", [before, &[ending]].concat().join(" "));
            let is_name = key.contains(|character: char| character.is_alphabetic());
            if is_name && !forms.iter().any(|form| form.key == key) {
                forms.push(Form { key, capitals, derived: nth + number > 0 });
            }
        }
    }
    forms
}

fn folded_words(name: &str, rules: &VocabularyRules) -> Vec<String> {
    let folded = fold(name, rules.spelling);
    (0..folded.words.len()).map(|index| folded.word(index).to_owned()).collect()
}

/// Capitals that a text must have where `name` is an abbreviation; else 0.
fn capitals(name: &str) -> u8 {
    let capitals = name.chars().filter(|character| character.is_uppercase()).count();
    let is_word = !name.contains(char::is_whitespace) && name.chars().count() <= ABBREVIATION_CHARACTERS_MAX;
    if is_word && capitals >= ABBREVIATION_CAPITALS_MIN { capitals as u8 } else { 0 }
}

const TUMORS: [&str; 5] = ["cancer", "carcinoma", "tumor", "neoplasm", "tumour"];
const DISORDERS: [&str; 3] = ["disease", "disorder", "syndrome"];

/// The ways to write `name`, itself first.
fn written_forms(name: &str, task: Task, rules: &VocabularyRules) -> Vec<String> {
    let mut forms = vec![name.to_owned()];
    if rules.inversions {
        inversions(name, &mut forms);
    }
    if rules.heads && task == Task::Disease {
        heads(name, &mut forms);
    }
    if rules.salts && task == Task::Medication {
        // Only the salt of a name of one word: `sodium phosphate` without its first word is another substance.
        if let Some((base, salt)) = name.split_once(' ')
            && SALTS.contains(&salt.to_lowercase().as_str())
        {
            forms.push(base.to_owned());
        }
    }
    forms
}

fn inversions(name: &str, forms: &mut Vec<String>) {
    match name.split(", ").collect::<Vec<_>>()[..] {
        [head, kind] => forms.push(format!("{kind} {head}")),
        [head, kind, more] => forms.extend([format!("{more} {kind} {head}"), format!("{kind} {more} {head}")]),
        _ => {}
    }
}

fn heads(name: &str, forms: &mut Vec<String>) {
    for written in forms.clone() {
        let Some((kind, head)) = written.rsplit_once(' ') else { continue };
        for family in [&TUMORS[..], &DISORDERS[..]] {
            if family.contains(&head) {
                forms.extend(family.iter().filter(|other| **other != head).map(|other| format!("{kind} {other}")));
            }
        }
    }
    for written in forms.clone() {
        if let Some((kind, head)) = written.split_once(' ')
            && kind.chars().all(char::is_lowercase)
            && (TUMORS.contains(&head) || head == "disease")
        {
            forms.extend([format!("{head} of {kind}"), format!("{head} of the {kind}")]);
        }
    }
    let Some((kind, head)) = name.rsplit_once(' ') else { return };
    // Who described a disease may stand for it where there are two of them; a single name is also a person's or a place's.
    let kind = kind.strip_suffix("'s").unwrap_or(kind);
    let last = kind.rsplit_once([' ', '-']).map_or("", |(_, last)| last);
    let is_person = last.starts_with(|first: char| first.is_uppercase())
        && last.chars().count() > 1
        && last.chars().skip(1).all(char::is_lowercase);
    if DISORDERS.contains(&head) && is_person {
        forms.push(kind.to_owned());
    }
}

/// What `word` may be the plural of; its plurals where it is none.
fn numbers(word: &str) -> Vec<String> {
    singular(word).map_or_else(|| plurals(word), |singular| vec![singular])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms of a name, joined by `|`; a number before a form says how many capitals it needs.
    fn check(task: Task, name: &str, expected: &str) {
        let show = |form: &Form| match form.capitals {
            0 => form.key.trim().to_owned(),
            capitals => format!("{capitals} {}", form.key.trim()),
        };
        let found: Vec<String> = forms(name, task, &VocabularyRules::default()).iter().map(show).collect();
        assert_eq!(found.join("|"), expected, "{name}");
    }

    #[test]
    fn plurals_go_both_ways() {
        check(Task::Symptom, "Headaches", "headaches|headache");
        check(Task::Symptom, "allergy", "allergy|allergies");
        check(Task::Symptom, "metastasis", "metastasis|metastasises|metastases");
        check(Task::Symptom, "lipoma", "lipoma|lipomas|lipomata");
        check(Task::Symptom, "rash", "rash|rashes");
        check(Task::Symptom, "loss of 7", "loss of 7");
    }

    #[test]
    fn abbreviations_keep_their_capitals() {
        check(Task::Disease, "ALL", "3 all|3 alls");
        check(Task::Disease, "vWD", "2 vwd|2 vwds");
        check(Task::Disease, "Lupus", "lupus|lupuses");
        check(Task::Disease, "ASTHMATIC", "asthmatic|asthmatics");
    }

    #[test]
    fn diseases_have_other_heads() {
        check(
            Task::Disease,
            "Lesch-Nyhan syndrome",
            "lesch nyhan syndrome|lesch nyhan syndromes|lesch nyhan disease|lesch nyhan diseases|lesch nyhan disorder|lesch nyhan disorders|lesch nyhan|lesch nyhans",
        );
        let forms = forms("lung cancer", Task::Disease, &VocabularyRules::default());
        assert!(forms.iter().any(|form| form.key == " carcinoma of the lung "));
        assert!(forms.iter().all(|form| form.key != " lung "));
        check(Task::Symptom, "eye disease", "eye disease|eye diseases");
    }

    #[test]
    fn inverted_names_are_turned_round() {
        let check = |name: &str, expected: &str| {
            let forms = forms(name, Task::Symptom, &VocabularyRules::default());
            assert!(forms.iter().any(|form| form.key.trim() == expected && form.derived), "{name}: {forms:?}");
        };
        check("Diabetes mellitus, type 2", "type 2 diabetes mellitus");
        check("pain, back, lower", "lower back pain");
    }

    #[test]
    fn salts_may_be_missing() {
        check(Task::Medication, "heparin sodium", "heparin sodium|heparin sodiums|heparin|heparins");
        check(Task::Medication, "sodium chloride 0.9", "sodium chloride 0 . 9");
    }

    #[test]
    fn what_nobody_writes_is_left_out() {
        check(Task::Disease, "...", "");
        check(Task::Disease, "12-3", "");
        check(Task::Disease, &"a".repeat(NAME_CHARACTERS_MAX + 1), "");
    }
}
