//! All forms of all names in one automaton, and what each means.

use super::rules::{Form, VocabularyRules, forms};
use crate::TeacherError;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use stillroom_schemas::{Task, TaskSet};

/// What a form stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meaning {
    pub(super) task: Task,
    /// Capitals that the text must have at least.
    pub(super) capitals: u8,
    is_derived: bool,
    /// Index of the concept.
    pub(super) concept: u32,
}

/// Forms that are not looked for, of one task or of all.
#[derive(Debug, Default)]
pub(super) struct Exclusions(HashSet<(Option<Task>, String)>);

impl Exclusions {
    /// Adds a name with its plural or singular.
    pub(super) fn add(&mut self, task: Option<Task>, name: &str, rules: &VocabularyRules) {
        let rules = VocabularyRules { plurals: rules.plurals, spelling: rules.spelling, ..VocabularyRules::none() };
        self.0.extend(forms(name, Task::Symptom, &rules).into_iter().map(|form| (task, form.key)));
    }

    fn contains(&self, task: Task, key: &str) -> bool {
        // The key is cloned for the look-up, which is done while loading only.
        [None, Some(task)].into_iter().any(|task| self.0.contains(&(task, key.to_owned())))
    }
}

/// Collects forms.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) rules: VocabularyRules,
    pub(super) exclusions: Exclusions,
    pub(super) characters_min: usize,
    pub(super) names_max: usize,
    names: usize,
    forms: Vec<(Box<str>, Meaning)>,
    concepts: Vec<Box<str>>,
    index_of: HashMap<Box<str>, u32>,
}

impl Builder {
    pub(super) fn new(rules: VocabularyRules, characters_min: usize, names_max: usize) -> Builder {
        let (forms, concepts, index_of) = (Vec::new(), Vec::new(), HashMap::new());
        Builder {
            rules,
            exclusions: Exclusions::default(),
            characters_min,
            names_max,
            names: 0,
            forms,
            concepts,
            index_of,
        }
    }

    /// Adds the forms of a name.
    pub(super) fn add(&mut self, task: Task, concept: &str, name: &str) -> Result<(), TeacherError> {
        self.names += 1;
        if self.names > self.names_max {
            return Err(TeacherError::Config {
                object: "the vocabulary".to_owned(),
                reason: format!("has more than {} names; choose kinds or tags, or raise names_max", self.names_max),
            });
        }
        let forms = forms(name, task, &self.rules);
        let taken = forms.into_iter().filter(|form| {
            let characters = form.key.chars().filter(|character| *character != ' ').count();
            characters >= self.characters_min && !self.exclusions.contains(task, &form.key)
        });
        let taken: Vec<Form> = taken.collect();
        if !taken.is_empty() {
            let concept = self.concept(concept);
            let meaning = |form: &Form| Meaning { task, capitals: form.capitals, is_derived: form.derived, concept };
            self.forms.extend(taken.iter().map(|form| (form.key.as_str().into(), meaning(form))));
        }
        Ok(())
    }

    fn concept(&mut self, id: &str) -> u32 {
        if let Some(&index) = self.index_of.get(id) {
            return index;
        }
        let index = self.concepts.len() as u32;
        self.concepts.push(id.into());
        self.index_of.insert(id.into(), index);
        index
    }

    /// Builds the automaton. Of several meanings of a form for one task the one that the text need not shout for stays, then the
    /// one that the vocabulary has itself, then the one of the first source.
    pub(super) fn build(mut self) -> Result<Index, TeacherError> {
        self.index_of = HashMap::new();
        self.forms.sort_unstable();
        self.forms.dedup_by(|later, kept| later.0 == kept.0 && later.1.task == kept.1.task);
        let mut hash = Sha256::new();
        let (mut keys, mut starts, mut meanings) = (Vec::<Box<str>>::new(), Vec::new(), Vec::new());
        for (key, meaning) in self.forms {
            let Meaning { task, capitals, concept, .. } = meaning;
            let concept = &self.concepts[concept as usize];
            hash.update(format!("{key}\t{}\t{capitals}\t{concept}\n", task.name()));
            if keys.last() != Some(&key) {
                starts.push(meanings.len() as u32);
                keys.push(key);
            }
            meanings.push(meaning);
        }
        starts.push(meanings.len() as u32);
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(keys.iter().map(|key| key.as_bytes()))
            .map_err(|error| TeacherError::Config {
                object: "the vocabulary".to_owned(),
                reason: format!("is too large for one automaton ({error}); choose kinds or tags"),
            })?;
        let tasks = meanings.iter().map(|meaning| meaning.task).collect();
        Ok(Index { automaton, starts, meanings, concepts: self.concepts, tasks, hash: hash.finalize().into() })
    }
}

/// The automaton, and what its patterns mean.
#[derive(Debug)]
pub(super) struct Index {
    automaton: AhoCorasick,
    /// Where the meanings of each pattern begin, and their number.
    starts: Vec<u32>,
    meanings: Vec<Meaning>,
    concepts: Vec<Box<str>>,
    pub(super) tasks: TaskSet,
    /// Of all forms and their meanings.
    pub(super) hash: [u8; 32],
}

impl Index {
    /// Every form in the folded text, with its meanings, in the order of the ends.
    pub(super) fn matches<'a>(&'a self, folded: &'a str) -> impl Iterator<Item = (Range<usize>, &'a [Meaning])> {
        self.automaton.find_overlapping_iter(folded).map(|found| {
            let pattern = found.pattern().as_usize();
            let (from, to) = (self.starts[pattern] as usize, self.starts[pattern + 1] as usize);
            (found.range(), &self.meanings[from..to])
        })
    }

    pub(super) fn concept(&self, index: u32) -> &str {
        &self.concepts[index as usize]
    }

    /// Forms that are looked for.
    pub(super) fn forms(&self) -> usize {
        self.starts.len() - 1
    }

    /// Bytes that automaton, meanings and concepts take.
    pub(super) fn bytes(&self) -> usize {
        let concepts = self.concepts.iter().map(|concept| concept.len() + size_of::<Box<str>>());
        self.automaton.memory_usage()
            + self.starts.len() * size_of::<u32>()
            + self.meanings.len() * size_of::<Meaning>()
            + concepts.sum::<usize>()
    }
}
