//! All vocabularies of a configuration.

use crate::ConceptError;
use crate::abbreviations::{Abbreviations, key};
use crate::builder::Builder;
use crate::config::{ConceptsConfig, VocabularyConfig};
use crate::dosage::bare;
use crate::hierarchy::{Direction, Walk};
use crate::keys::Keys;
use crate::reading::{RelationsReport, VocabularyReport};
use crate::vocabulary::{About, Vocabulary};
use stillroom_schemas::{Code, Concept, Task, TaskSet, Tier};

/// Codes on a cycle that are named at most.
const CYCLIC_NAMED_MAX: usize = 5;

/// Looks entities up in vocabularies. It can be shared by threads.
///
/// A concept is looked for by one tier after the other, and in each by one vocabulary after the other, in the order of the
/// configuration; the first that finds one decides:
///
/// 1. **exact**: the words are a name, but for the case of letters and white space;
/// 2. **normalised**: they are but for plurals, British spelling, diacritics, punctuation, Roman numerals, stop words and the order of
///    words; a name with the words in the same order goes first;
/// 3. **abbreviation**: they are a name when abbreviations are spelt out, as a whole or word by word, or they are the acronym that one
///    concept alone has beside a name;
/// 4. **fuzzy**: they are nearly a name, and no name by the first two tiers in a vocabulary of other tasks; the nearest one.
///
/// The words of a medication that no name is found for by the first three are looked for by these once more without the amounts, forms
/// and routes that they end with: `Lipitor 20 mg` is what `Lipitor` is, normalised, where no name has its strength.
///
/// Where several concepts of a vocabulary have the name, it is that of the concept whose preferred name it is; then of the one for which
/// it is an exact synonym rather than a narrower, related or broader name; then by term type (`IN`, `PIN`, `BN`, `MIN`, `SCD`, …) in
/// RxNorm and by semantic tag in SNOMED CT; then of the one with the smallest code. What is in no vocabulary has no concept.
#[derive(Debug)]
pub struct Concepts {
    vocabularies: Vec<Vocabulary>,
    stats: Vec<VocabularyStats>,
    abbreviations: Abbreviations,
}

/// What a vocabulary has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VocabularyStats {
    /// What its codes are known by.
    pub name: String,
    /// The version that stands in every code.
    pub version: String,
    /// The tasks whose entities it knows.
    pub tasks: TaskSet,
    /// Names, of each concept once but for the case of letters.
    pub names: usize,
    /// Concepts that have a name.
    pub concepts: usize,
    /// Relations, each once.
    pub relations: usize,
    /// Bytes of memory that it takes.
    pub bytes: usize,
    /// Concepts that are broader than themselves, or stand between such: an error of the vocabulary. No look-up is the slower for them.
    pub cyclic: usize,
    /// The codes of the first of them.
    pub cyclic_first: Vec<String>,
    /// What came of the file of names.
    pub names_report: VocabularyReport,
    /// What came of the file of relations, where there is one.
    pub relations_report: Option<RelationsReport>,
}

impl Concepts {
    /// Loads the vocabularies, one line at a time.
    ///
    /// ```
    /// use stillroom_concepts::{Concepts, ConceptsConfig, VocabularyConfig};
    /// use stillroom_schemas::{Task, Tier};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("symptoms.tsv");
    /// std::fs::write(&path, "id\tsynonym\nSYMP:0000504\theadache\n")?;
    /// let vocabularies = vec![VocabularyConfig::new("symp", Task::Symptom, path)];
    /// let concepts = Concepts::load(&ConceptsConfig { vocabularies, ..ConceptsConfig::default() })?;
    /// let concept = concepts.find(Task::Symptom, "Headaches").unwrap();
    /// assert_eq!((concept.code.code.as_str(), concept.tier), ("SYMP:0000504", Tier::Normalised));
    /// assert_eq!(concepts.find(Task::Symptom, "ache of the heart"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a setting cannot be used, a file cannot be read or is not of its format, or there are too many names. Single bad lines are
    /// left out and counted in [`Concepts::vocabularies`].
    pub fn load(config: &ConceptsConfig) -> Result<Concepts, ConceptError> {
        config.check()?;
        let abbreviations = Abbreviations::load(config)?;
        let (mut vocabularies, mut stats, mut names_left) = (Vec::new(), Vec::new(), config.names_max);
        for source in &config.vocabularies {
            let (vocabulary, of) = load(source, config, names_left)?;
            names_left = names_left.saturating_sub(of.names);
            vocabularies.push(vocabulary);
            stats.push(of);
        }
        Ok(Concepts { vocabularies, stats, abbreviations })
    }

    /// The concept that an entity of `task` with these words names.
    pub fn find(&self, task: Task, words: &str) -> Option<Concept> {
        let asked = Keys::of(words);
        let found = self.named(task, (words, &asked), Tier::Exact);
        if found.is_some() {
            return found;
        }
        let bare = if task == Task::Medication { bare(words) } else { None };
        let bare = bare.map(|words| (words, Keys::of(words)));
        let bare = bare.as_ref().map(|(words, keys)| (*words, keys));
        bare.and_then(|bare| self.named(task, bare, Tier::Normalised))
            .or_else(|| self.nearly_named(task, &asked))
            .or_else(|| self.nearly_named(task, bare?.1))
    }

    /// The concept with a name that these words are; `exact` is the tier of one that they are as they stand.
    fn named(&self, task: Task, (words, asked): (&str, &Keys), exact: Tier) -> Option<Concept> {
        if asked.exact.is_empty() {
            return None;
        }
        self.first(task, exact, |vocabulary| Some((vocabulary.exact(asked)?, 1.0)))
            .or_else(|| self.first(task, Tier::Normalised, |vocabulary| Some((vocabulary.normalised(asked)?, 1.0))))
            .or_else(|| {
                let (spelt_out, acronym) = (self.abbreviations.spell_out(task, words), key(words));
                self.first(task, Tier::Abbreviation, |vocabulary| {
                    Some((vocabulary.abbreviated(&spelt_out, &acronym)?, 1.0))
                })
            })
    }

    /// The concept with a name that these words nearly are, unless they are a name of another task.
    fn nearly_named(&self, task: Task, asked: &Keys) -> Option<Concept> {
        if asked.exact.is_empty() || self.vocabularies.iter().any(|vocabulary| vocabulary.has(asked)) {
            return None;
        }
        self.first(task, Tier::Fuzzy, |vocabulary| vocabulary.fuzzy(asked))
    }

    /// What the first vocabulary of a task that finds a concept finds, with its score.
    fn first(&self, task: Task, tier: Tier, look: impl Fn(&Vocabulary) -> Option<(u32, f64)>) -> Option<Concept> {
        self.vocabularies.iter().filter(|vocabulary| vocabulary.about.tasks.contains(&task)).find_map(|vocabulary| {
            let (concept, score) = look(vocabulary)?;
            Some(vocabulary.concept(concept, (tier, score), task))
        })
    }

    /// The code itself, then everything that is narrower by is-a, and what a drug is made into: brands and products of an ingredient. The
    /// nearest first, each once. Of a code that no vocabulary has, itself alone.
    pub fn descendants(&self, code: &Code) -> Codes<'_> {
        self.walk(code, Direction::Down)
    }

    /// The code itself, then everything that is broader by is-a, and what a drug is made of. As [`Concepts::descendants`].
    pub fn ancestors(&self, code: &Code) -> Codes<'_> {
        self.walk(code, Direction::Up)
    }

    fn walk(&self, code: &Code, direction: Direction) -> Codes<'_> {
        match self.of(code) {
            Some((vocabulary, concept)) => Codes(Way::Known(vocabulary, vocabulary.walk(concept, direction))),
            None => Codes(Way::Unknown(Some(code.clone()))),
        }
    }

    /// The name that its vocabulary prefers for a code; none where it is not known, or known by relations alone.
    pub fn name(&self, code: &Code) -> Option<&str> {
        let (vocabulary, concept) = self.of(code)?;
        vocabulary.preferred(concept)
    }

    /// The vocabulary that has a code, and the number of the concept.
    fn of(&self, code: &Code) -> Option<(&Vocabulary, u32)> {
        let vocabulary = self.vocabularies.iter().find(|vocabulary| vocabulary.about.name == code.vocabulary)?;
        Some((vocabulary, vocabulary.codes.find(&code.code)?))
    }

    /// What was loaded, in the order of the configuration.
    pub fn vocabularies(&self) -> &[VocabularyStats] {
        &self.stats
    }

    /// Bytes of memory that all vocabularies take.
    pub fn bytes(&self) -> usize {
        self.stats.iter().map(|vocabulary| vocabulary.bytes).sum()
    }
}

/// Codes on the way up or down a vocabulary.
#[derive(Debug)]
pub struct Codes<'a>(Way<'a>);

#[derive(Debug)]
enum Way<'a> {
    Known(&'a Vocabulary, Walk<'a>),
    Unknown(Option<Code>),
}

impl Iterator for Codes<'_> {
    type Item = Code;

    fn next(&mut self) -> Option<Code> {
        match &mut self.0 {
            Way::Known(vocabulary, walk) => walk.step(|_| true).map(|concept| vocabulary.code(concept)),
            Way::Unknown(code) => code.take(),
        }
    }
}

fn load(
    source: &VocabularyConfig,
    config: &ConceptsConfig,
    names_left: usize,
) -> Result<(Vocabulary, VocabularyStats), ConceptError> {
    let reading = source.reading()?;
    let version = match &source.version {
        Some(version) => version.clone(),
        None => reading.release()?,
    };
    let about = About { name: source.name.clone(), version, tasks: source.tasks.iter().copied().collect() };
    let mut builder = Builder::new(about.clone(), config.names_max, names_left);
    let names_report = reading.read(&mut builder)?;
    let relations = source.relations(reading.format);
    let relations_report = relations.map(|path| reading.read_relations(&path, &mut builder)).transpose()?;
    let vocabulary = builder.build(config.fuzzy_score_min)?;
    let cyclic = vocabulary.hierarchy.cyclic();
    let cyclic_first: Vec<String> =
        cyclic.iter().take(CYCLIC_NAMED_MAX).map(|&concept| vocabulary.code(concept).code).collect();
    let About { name, version, tasks } = about;
    if !cyclic.is_empty() {
        let concepts = cyclic.len();
        tracing::warn!(vocabulary = %name, concepts, first = ?cyclic_first, "concepts are broader than themselves");
    }
    let stats = VocabularyStats {
        name,
        version,
        tasks,
        names: vocabulary.names.len(),
        concepts: vocabulary.names.named(),
        relations: vocabulary.hierarchy.edges(),
        bytes: vocabulary.bytes(),
        cyclic: cyclic.len(),
        cyclic_first,
        names_report,
        relations_report,
    };
    Ok((vocabulary, stats))
}
