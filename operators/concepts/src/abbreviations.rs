//! What clinical abbreviations stand for.
//!
//! A table of those that hardly ever mean anything else within their task comes with the program (`vocabulary/abbreviations.tsv`,
//! written for it); users add their own, which go first. An abbreviation with several lines is looked up as each of them in turn. The
//! acronyms that a vocabulary has beside its names (`HTN - Hypertension`, `Hypertension (HTN)`) are its own.

use crate::ConceptError;
use crate::config::ConceptsConfig;
use crate::keys::Keys;
use crate::reading::Lines;
use crate::words::abbreviates;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use stillroom_schemas::Task;

const OWN: &str = include_str!("../vocabulary/abbreviations.tsv");

/// Characters of an acronym that a vocabulary's name explains.
const ACRONYM_CHARACTERS: RangeInclusive<usize> = 2..=8;

/// Capitals that it has at least.
const ACRONYM_CAPITALS_MIN: usize = 2;

/// What one abbreviation stands for.
#[derive(Debug)]
struct Expansion {
    long: String,
    /// For entities of which task; none for all.
    task: Option<Task>,
}

/// Abbreviations by their letters and digits.
#[derive(Debug, Default)]
pub(crate) struct Abbreviations(HashMap<String, Vec<Expansion>>);

impl Abbreviations {
    /// # Errors
    /// When a file cannot be read, or has a line that is none of its format.
    pub(crate) fn load(config: &ConceptsConfig) -> Result<Abbreviations, ConceptError> {
        let mut all = Abbreviations::default();
        for path in &config.abbreviations {
            let mut lines = Lines::open(path, "the abbreviations")?;
            while let Some(line) = lines.next_line()? {
                if all.add(line).is_err() {
                    let reason = "have a line without what an abbreviation stands for, or with an unknown task";
                    let remedy =
                        "write abbreviation, meaning and perhaps disease, medication or symptom, with tabs between";
                    return Err(lines.refused(reason, remedy));
                }
            }
        }
        if config.own_abbreviations {
            for line in OWN.lines() {
                all.add(line).expect("a test reads the abbreviations that come with the program");
            }
        }
        Ok(all)
    }

    /// Adds a line's abbreviation, where it has one.
    fn add(&mut self, line: &str) -> Result<(), Malformed> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let mut fields = line.split('\t').map(str::trim);
        let (short, long) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let task = match fields.next().filter(|task| !task.is_empty()) {
            Some(name) => Some(Task::ALL.into_iter().find(|task| task.name() == name).ok_or(Malformed)?),
            None => None,
        };
        if key(short).is_empty() || long.is_empty() || fields.next().is_some() {
            return Err(Malformed);
        }
        self.0.entry(key(short)).or_default().push(Expansion { long: long.to_owned(), task });
        Ok(())
    }

    /// What `words`, or the singular of them, stand for in a task.
    fn of(&self, task: Task, words: &str) -> impl Iterator<Item = &str> {
        let key = key(words);
        let found = self.0.get(&key).or_else(|| self.0.get(key.strip_suffix('s')?));
        let is_of_task = move |expansion: &&Expansion| expansion.task.is_none_or(|of| of == task);
        found.into_iter().flatten().filter(is_of_task).map(|expansion| expansion.long.as_str())
    }

    /// `words` spelt out, in the order in which to look them up: as a whole, and word by word. Empty where nothing is abbreviated.
    pub(crate) fn spell_out(&self, task: Task, words: &str) -> Vec<Keys> {
        let mut spelt_out: Vec<Keys> = self.of(task, words).map(Keys::of).collect();
        let each: Vec<&str> = words.split_whitespace().collect();
        let long: Vec<&str> = each.iter().map(|word| self.of(task, word).next().unwrap_or(word)).collect();
        if each.len() > 1 && each != long {
            spelt_out.push(Keys::of(&long.join(" ")));
        }
        spelt_out
    }
}

#[derive(Debug)]
struct Malformed;

/// The letters and digits of an abbreviation, in lower case: `N/V`, `C.O.P.D.` and `copd` are written in many ways.
pub(crate) fn key(words: &str) -> String {
    words.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The key of the acronym in a name that has one beside what it stands for.
pub(crate) fn acronym(name: &str) -> Option<String> {
    let (short, long) = match name.split_once(" - ") {
        Some((short, long)) => (short, long),
        None => {
            let (long, short) = name.strip_suffix(')')?.rsplit_once(" (")?;
            (short, long)
        }
    };
    let capitals = short.chars().filter(|character| character.is_uppercase()).count();
    let is_short = ACRONYM_CHARACTERS.contains(&short.chars().count()) && !short.contains(char::is_whitespace);
    let short = key(short);
    let stands_for = || abbreviates(&short, key(long).chars());
    (is_short && capitals >= ACRONYM_CAPITALS_MIN && stands_for()).then_some(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(mine: &str) -> Abbreviations {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.tsv");
        std::fs::write(&path, mine).unwrap();
        Abbreviations::load(&ConceptsConfig { abbreviations: vec![path], ..ConceptsConfig::default() }).unwrap()
    }

    fn check(abbreviations: &Abbreviations, task: Task, words: &str, expected: &[&str]) {
        let spelt_out = abbreviations.spell_out(task, words);
        assert_eq!(spelt_out.iter().map(|keys| keys.exact.as_str()).collect::<Vec<_>>(), expected, "{words}");
    }

    #[test]
    fn abbreviations_are_spelt_out_as_a_whole_and_word_by_word() {
        let own = loaded("");
        check(&own, Task::Disease, "HTN", &["hypertension"]);
        check(&own, Task::Disease, "htn", &["hypertension"]);
        check(&own, Task::Disease, "C.O.P.D.", &["chronic obstructive pulmonary disease"]);
        check(&own, Task::Disease, "UTIs", &["urinary tract infection"]);
        check(&own, Task::Disease, "acute MI", &["acute myocardial infarction"]);
        check(&own, Task::Disease, "acute asthma", &[]);
        check(&own, Task::Disease, "type 2 diabetes", &["type 2 diabetes mellitus"]);
        check(&own, Task::Symptom, "N/V", &["nausea and vomiting"]);
        check(&own, Task::Medication, "HTN", &[]);
    }

    #[test]
    fn those_of_users_go_first() {
        let mine = "# ours\n\nHTN\tportal hypertension\tdisease\r\nQQ\tperitonsillar abscess\n";
        let mine = loaded(mine);
        check(&mine, Task::Disease, "HTN", &["portal hypertension", "hypertension"]);
        check(&mine, Task::Disease, "QQ", &["peritonsillar abscess"]);
        check(&mine, Task::Symptom, "QQ", &["peritonsillar abscess"]);
    }

    #[test]
    fn lines_that_say_nothing_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.tsv");
        for text in ["HTN\n", "\tx\n", "HTN\tx\tdiseases\n", "HTN\tx\tdisease\ty\n"] {
            std::fs::write(&path, format!("# comment\n{text}")).unwrap();
            let config = ConceptsConfig { abbreviations: vec![path.clone()], ..ConceptsConfig::default() };
            let error = Abbreviations::load(&config).unwrap_err().to_string();
            assert!(error.contains("mine.tsv have a line without what an abbreviation stands for"), "{error}");
            assert!(error.contains("(line 2); write abbreviation, meaning"), "{error}");
        }
    }

    #[test]
    fn acronyms_beside_names() {
        assert_eq!(acronym("HTN - Hypertension").as_deref(), Some("htn"));
        assert_eq!(acronym("Chronic obstructive pulmonary disease (COPD)").as_deref(), Some("copd"));
        assert_eq!(acronym("T2DM - type 2 diabetes mellitus").as_deref(), Some("t2dm"));
        assert_eq!(acronym("XY - Hypertension"), None);
        assert_eq!(acronym("h - Hypertension"), None);
        assert_eq!(acronym("Ht - Hypertension"), None);
        assert_eq!(acronym("Asthma (disorder)"), None);
        assert_eq!(acronym("Asthma"), None);
    }
}
