//! What triggers and headings there are: the lexicon of the program, and what users add to it, replace in it and remove
//! from it.
//!
//! A lexicon is a map by the folded text of a trigger or heading. A file is read into it as a whole: what it removes
//! goes first, then each of its texts takes the place of the same text of the files before it, whatever that said.
//! Within a file a text stands once for each direction. The lexicon of the program is in `lexicon/`, whose files are
//! one.

mod file;

pub(crate) use file::{AXES, Says, Scope};

use crate::AssertionError;
use crate::words::{Words, key};
use file::{Direction, LexiconFile, RuleEntry, SectionEntry, TriggerEntry};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use stillroom_schemas::{Task, TaskSet};

/// The lexicon of the program, in the order in which its parts are one file.
const SHIPPED: [&str; 9] = [
    include_str!("../lexicon/classes.toml"),
    include_str!("../lexicon/negated.toml"),
    include_str!("../lexicon/pseudo.toml"),
    include_str!("../lexicon/uncertain.toml"),
    include_str!("../lexicon/temporality.toml"),
    include_str!("../lexicon/experiencer.toml"),
    include_str!("../lexicon/medications.toml"),
    include_str!("../lexicon/chronic.toml"),
    include_str!("../lexicon/sections.toml"),
];

/// Texts that one text with classes may stand for.
const EXPANDED_MAX: usize = 20_000;

/// Words and signs of the longest heading.
pub(crate) const HEADING_WORDS_MAX: usize = 8;

/// Triggers, headings, and words of chronic diseases.
#[derive(Clone, Debug, Default)]
pub struct Lexicon {
    classes: BTreeMap<String, Vec<String>>,
    pub(crate) triggers: BTreeMap<String, Trigger>,
    pub(crate) chronic: BTreeSet<String>,
    pub(crate) headings: BTreeMap<String, Heading>,
    pub(crate) sections: BTreeMap<String, Vec<SectionRule>>,
}

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// As the lexicon writes it, with the words of classes in their places.
    pub(crate) text: String,
    /// What it does; nothing where it only looks like a trigger.
    pub(crate) sides: Vec<Side>,
}

/// What a trigger does in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) aim: Aim,
    /// Of which tasks, by [`Task::index`].
    pub(crate) tasks: [bool; Task::ALL.len()],
    /// Whose scopes it ends.
    pub(crate) ends: BTreeSet<Says>,
    /// Whether its clause must end behind it.
    pub(crate) is_last: bool,
}

/// Whether a side has a scope, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Forward(Saying),
    Backward(Saying),
    /// It only ends scopes.
    Nowhere,
}

/// What is said in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saying {
    pub(crate) says: Says,
    pub(crate) scope: Scope,
    /// Words between trigger and entity at most.
    pub(crate) words_max: u32,
    pub(crate) spares_chronic: bool,
}

/// A heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    /// As the lexicon writes it.
    pub(crate) text: String,
    /// Its section.
    pub(crate) section: String,
    /// The sections that it ends; empty where it ends all.
    pub(crate) ends: BTreeSet<String>,
}

/// What a section says of the entities in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionRule {
    pub(crate) says: Says,
    pub(crate) tasks: [bool; Task::ALL.len()],
    pub(crate) spares_chronic: bool,
}

impl Lexicon {
    /// The lexicon that comes with the program.
    ///
    /// # Panics
    /// When it is not one, which a test would tell.
    pub fn shipped() -> Lexicon {
        let mut lexicon = Lexicon::default();
        let read = lexicon.extend("of the program", &SHIPPED.concat());
        read.expect("a test reads the lexicon that comes with the program");
        lexicon
    }

    /// Reads a file into it.
    ///
    /// # Errors
    /// When it cannot be read or is not a lexicon. Names the file, the entry and the remedy.
    pub fn extend_from(&mut self, path: &Path) -> Result<(), AssertionError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| AssertionError::File { path: path.to_owned(), source })?;
        self.extend(&path.display().to_string(), &text)
    }

    /// Reads a lexicon in TOML into it, calling it `file` in errors.
    ///
    /// ```
    /// let mut lexicon = stillroom_assertion::Lexicon::shipped();
    /// let before = lexicon.triggers();
    /// lexicon.extend("mine", r#"
    ///     remove = ["doubt"]
    ///     [[triggers]]
    ///     says = "negated"
    ///     direction = "forward"
    ///     texts = ["not a trace of", "no whiff of"]
    /// "#)?;
    /// assert_eq!(lexicon.triggers(), before - 1 + 2);
    /// # Ok::<(), stillroom_assertion::AssertionError>(())
    /// ```
    ///
    /// # Errors
    /// When it has unknown keys, empty or doubled texts, or entries that contradict themselves, or removes what is not
    /// there. Names the entry and the remedy. Then the lexicon is as it was.
    pub fn extend(&mut self, file: &str, text: &str) -> Result<(), AssertionError> {
        let parsed: LexiconFile = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            let reason = format!("cannot be read: {}; correct it", error.message().trim_end());
            AssertionError::Lexicon { file: file.to_owned(), entry: format!("line {line}"), reason }
        })?;
        let mut extended = self.clone();
        extended.take(parsed).map_err(|Refused { entry, reason }| AssertionError::Lexicon {
            file: file.to_owned(),
            entry,
            reason,
        })?;
        *self = extended;
        Ok(())
    }

    /// How many triggers there are, each spelling counted.
    pub fn triggers(&self) -> usize {
        self.triggers.len()
    }

    /// How many headings there are.
    pub fn headings(&self) -> usize {
        self.headings.len()
    }

    fn take(&mut self, file: LexiconFile) -> Result<(), Refused> {
        self.take_classes(file.classes)?;
        for text in &file.remove {
            for text in expanded(text, &self.classes).map_err(refused(|| format!("remove {text:?}")))? {
                if self.triggers.remove(&key(&text)).is_none() {
                    return Err(Refused::new(format!("remove {text:?}"), "is no trigger before it; leave it out"));
                }
            }
        }
        let triggers = read_triggers(&file.triggers, &self.classes)?;
        self.triggers.extend(triggers);
        for text in &file.chronic.remove {
            if !self.chronic.remove(&key(text)) {
                return Err(Refused::new(format!("[chronic] remove {text:?}"), "is not there before it; leave it out"));
            }
        }
        self.chronic.extend(distinct("[chronic]", &file.chronic.texts)?.into_keys());
        self.take_sections(&file.sections)
    }

    fn take_classes(&mut self, classes: BTreeMap<String, Vec<String>>) -> Result<(), Refused> {
        for (name, words) in classes {
            let entry = format!("[classes] {name}");
            if let Some(word) = words.iter().find(|word| word.contains(['{', '}'])) {
                return Err(Refused::new(entry, format!("has the word {word:?}; write it without braces")));
            }
            distinct(&entry, &words)?;
            self.classes.insert(name, words);
        }
        Ok(())
    }

    fn take_sections(&mut self, entries: &[SectionEntry]) -> Result<(), Refused> {
        let (mut names, mut headings) = (BTreeSet::new(), BTreeMap::new());
        for (number, section) in (1..).zip(entries) {
            let entry = format!("[[sections]] {number} ({:?})", section.name);
            if section.name.trim().is_empty() || !names.insert(&section.name) {
                return Err(Refused::new(entry, "has no name of its own; give it one, and a section one entry"));
            }
            for text in &section.remove {
                if self.headings.remove(&key(text)).is_none() {
                    return Err(Refused::new(
                        entry,
                        format!("removes {text:?}, which is no heading before it; leave it out"),
                    ));
                }
            }
            for (key, text) in distinct(&entry, &section.headings)? {
                let words = Words::of(&text).len();
                let (name, ends) = (section.name.clone(), section.ends.clone());
                let heading = Heading { text: text.clone(), section: name, ends };
                if words > HEADING_WORDS_MAX {
                    let reason =
                        format!("has a heading of {words} words, {text:?}; {HEADING_WORDS_MAX} are looked for at most");
                    return Err(Refused::new(entry, reason));
                }
                if headings.insert(key, heading).is_some() {
                    return Err(Refused::new(entry, format!("has {text:?}, as a section before it; keep one of them")));
                }
            }
            if let Some(rules) = &section.rules {
                let rules = rules.iter().map(section_rule).collect::<Result<Vec<_>, String>>();
                self.sections.insert(section.name.clone(), rules.map_err(refused(|| entry))?);
            } else {
                self.sections.entry(section.name.clone()).or_default();
            }
        }
        self.headings.extend(headings);
        Ok(())
    }
}

/// What a lexicon is refused for.
struct Refused {
    entry: String,
    reason: String,
}

impl Refused {
    fn new(entry: String, reason: impl Into<String>) -> Refused {
        Refused { entry, reason: reason.into() }
    }
}

/// What makes a refusal of a reason.
fn refused(entry: impl FnOnce() -> String) -> impl FnOnce(String) -> Refused {
    move |reason| Refused { entry: entry(), reason }
}

/// The triggers of one file, by their keys.
fn read_triggers(
    entries: &[TriggerEntry],
    classes: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, Trigger>, Refused> {
    let mut triggers: BTreeMap<String, Trigger> = BTreeMap::new();
    for (number, entry) in (1..).zip(entries) {
        let name = |text: &str| format!("[[triggers]] {number} ({text:?})");
        let first = entry.texts.first().map_or("", String::as_str);
        let sides = sides(entry).map_err(refused(|| name(first)))?;
        if entry.texts.is_empty() {
            return Err(Refused::new(name(first), "has no texts; write one, or leave the entry out"));
        }
        for text in &entry.texts {
            for text in expanded(text, classes).map_err(refused(|| name(text)))? {
                let key = key(&text);
                if key.is_empty() {
                    return Err(Refused::new(name(&text), "has an empty text; write it, or leave it out"));
                }
                match triggers.get_mut(&key) {
                    None => {
                        triggers.insert(key, Trigger { text, sides: sides.clone() });
                    }
                    Some(there) if are_apart(&there.sides, &sides) => there.sides.extend(sides.iter().cloned()),
                    Some(_) => {
                        let reason = "stands in this file twice; keep one of them, or give one the other direction";
                        return Err(Refused::new(name(&text), reason));
                    }
                }
            }
        }
    }
    Ok(triggers)
}

/// Whether one says something forward alone and the other backward alone.
fn are_apart(some: &[Side], others: &[Side]) -> bool {
    match (some, others) {
        ([one], [other]) => {
            matches!((&one.aim, &other.aim), (Aim::Forward(_), Aim::Backward(_)) | (Aim::Backward(_), Aim::Forward(_)))
        }
        _ => false,
    }
}

/// What the triggers of an entry do.
fn sides(entry: &TriggerEntry) -> Result<Vec<Side>, String> {
    let has_scope =
        entry.scope.is_some() || entry.words_max.is_some() || entry.spares.is_some() || entry.says.is_some();
    let ends = entry.ends.clone();
    let side = |aim: Aim, ends: BTreeSet<Says>| -> Result<Side, String> {
        Ok(Side { aim, tasks: of_tasks(entry.tasks.as_ref())?, ends, is_last: entry.last })
    };
    match (entry.direction, entry.says) {
        (Direction::Pseudo | Direction::Terminate, _) if has_scope || entry.last => {
            Err("has no scope; leave out says, scope, words_max, last and spares, or choose another direction"
                .to_owned())
        }
        (Direction::Pseudo, _) if ends.is_some() || entry.tasks.is_some() => {
            Err("ends nothing; leave out ends and tasks, or make it a terminate".to_owned())
        }
        (Direction::Pseudo, _) => Ok(Vec::new()),
        (Direction::Terminate, _) => Ok(vec![side(Aim::Nowhere, ends.unwrap_or_else(|| Says::ALL.into()))?]),
        (_, None) => Err("says nothing; write what it says, such as says = \"negated\"".to_owned()),
        (direction, Some(says)) => {
            let saying = |default| Saying {
                says,
                scope: entry.scope.unwrap_or(default),
                words_max: entry.words_max.unwrap_or(u32::MAX),
                spares_chronic: entry.spares.is_some(),
            };
            let (forward, backward) = (Aim::Forward(saying(Scope::Sentence)), Aim::Backward(saying(Scope::List)));
            let aims = match direction {
                Direction::Forward => vec![forward],
                Direction::Backward => vec![backward],
                _ => vec![forward, backward],
            };
            aims.into_iter().map(|aim| side(aim, ends.clone().unwrap_or_default())).collect()
        }
    }
}

fn section_rule(rule: &RuleEntry) -> Result<SectionRule, String> {
    let tasks = of_tasks(rule.tasks.as_ref())?;
    Ok(SectionRule { says: rule.says, tasks, spares_chronic: rule.spares.is_some() })
}

fn of_tasks(tasks: Option<&TaskSet>) -> Result<[bool; Task::ALL.len()], String> {
    match tasks {
        None => Ok([true; Task::ALL.len()]),
        Some(tasks) if tasks.is_empty() => Err("has no tasks; name one, or leave tasks out for all".to_owned()),
        Some(tasks) => Ok(Task::ALL.map(|task| tasks.contains(&task))),
    }
}

/// The keys of texts that are neither empty nor the same, with the texts.
fn distinct(entry: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Refused> {
    let mut keys = BTreeMap::new();
    for text in texts {
        let key = key(text);
        if key.is_empty() {
            return Err(Refused::new(entry.to_owned(), "has an empty text; write it, or leave it out"));
        }
        if keys.insert(key, text.clone()).is_some() {
            return Err(Refused::new(entry.to_owned(), format!("has {text:?} twice; keep one of them")));
        }
    }
    Ok(keys)
}

/// A text with each word of its classes in their places.
fn expanded(text: &str, classes: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>, String> {
    let (mut texts, mut rest) = (vec![String::new()], text);
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, behind)) = behind.split_once('}') else {
            return Err("has a { without a }; close it".to_owned());
        };
        let Some(words) = classes.get(name) else {
            return Err(format!("has the class {name:?}, which no lexicon has; write it under [classes]"));
        };
        if texts.len() * words.len() > EXPANDED_MAX {
            return Err(format!("stands for more than {EXPANDED_MAX} texts; use fewer classes"));
        }
        let with = |text: &String| words.iter().map(|word| format!("{text}{before}{word}")).collect::<Vec<_>>();
        texts = texts.iter().flat_map(with).collect();
        rest = behind;
    }
    texts.iter_mut().for_each(|text| text.push_str(rest));
    Ok(texts)
}
