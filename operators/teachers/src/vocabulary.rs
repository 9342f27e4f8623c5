//! A teacher that runs here: it finds the names of vocabularies.
//!
//! In flow files of names and texts, out flow spans with the concept that each name belongs to. All names, in all the forms that
//! [`VocabularyRules`] derive from them, are one Aho-Corasick automaton over the folded text, so that the time for a text does not
//! depend on the number of names. Of the names of one task that overlap, the leftmost and then the longest is a mention; tasks do not
//! see each other. Nothing is kept between texts.
//!
//! Names that are more often something else (`blood pressure`, gene symbols that are also a disease's) are excluded by a list that
//! comes with the program (`vocabulary/exclusions.tsv`) and by the user's own; names that the public vocabularies lack (classes of
//! drugs, general words for findings) are in `vocabulary/names.tsv`. Both were made on the training splits of public corpora.

mod index;
mod matching;
mod rules;
mod source;

pub use rules::VocabularyRules;
pub use source::VocabularySource;
pub use stillroom_concepts::reading::{VocabularyFormat, VocabularyReport};

use crate::TeacherError;
use index::{Builder, Index};
use matching::Note;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use source::Names;
use std::collections::HashSet;
use std::path::PathBuf;
use stillroom_concepts::fold::fold;
use stillroom_concepts::reading::Lines;
use stillroom_schemas::{Span, Task, TaskSet};

/// To be raised when the rules find other spans with the same names.
const RULES_VERSION: u32 = 1;

const EXCLUSIONS: &str = include_str!("../vocabulary/exclusions.tsv");
const NAMES: &str = include_str!("../vocabulary/names.tsv");
const MODIFIERS: &str = include_str!("../vocabulary/modifiers.txt");

/// Which names are looked for, and how. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabularyConfig {
    /// The files of names, one at least.
    pub sources: Vec<VocabularySource>,
    /// Files of names that are not looked for: a name a line, behind a tab the task where it is for one only; lines that begin with
    /// `#` are comments. Default none.
    #[serde(default)]
    pub exclusions: Vec<PathBuf>,
    /// Whether the exclusions that come with the program apply. Default true.
    #[serde(default = "default_true")]
    pub own_exclusions: bool,
    /// Whether the names that come with the program are looked for, of the tasks that `sources` have. Default true.
    #[serde(default = "default_true")]
    pub own_names: bool,
    /// How names and texts may differ. Default all rules.
    #[serde(default)]
    pub rules: VocabularyRules,
    /// Characters that a name has at least, spaces not counted. Default 3.
    #[serde(default = "default_characters_min")]
    pub characters_min: usize,
    /// Names of all sources at most; each takes about 1.2 KB while loading and 0.4 KB then. Default 2000000.
    #[serde(default = "default_names_max")]
    pub names_max: usize,
}

fn default_true() -> bool {
    true
}

fn default_characters_min() -> usize {
    3
}

fn default_names_max() -> usize {
    2_000_000
}

impl VocabularyConfig {
    /// These files, with all defaults.
    pub fn new(sources: Vec<VocabularySource>) -> VocabularyConfig {
        VocabularyConfig {
            sources,
            exclusions: Vec::new(),
            own_exclusions: true,
            own_names: true,
            rules: VocabularyRules::default(),
            characters_min: default_characters_min(),
            names_max: default_names_max(),
        }
    }
}

/// A mention and what it is a mention of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VocabularyMention<'a> {
    /// Where.
    pub span: Span,
    /// The concept's id in its vocabulary, as the file has it: `DOID:2841`; of RxNorm the RXCUI, of SNOMED CT the SCTID.
    pub concept: &'a str,
}

/// Finds the names of vocabularies in texts. It can be shared by threads.
#[derive(Debug)]
pub struct Vocabulary {
    index: Index,
    modifiers: HashSet<String>,
    rules: VocabularyRules,
    reports: Vec<VocabularyReport>,
    version: String,
}

impl Vocabulary {
    /// Loads the files, one line at a time.
    ///
    /// ```
    /// use stillroom_schemas::{Span, Task};
    /// use stillroom_teachers::vocabulary::{Vocabulary, VocabularyConfig, VocabularySource};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("symptoms.tsv");
    /// std::fs::write(&path, "id\tsynonym\nSYMP:0000504\theadache\n")?;
    /// let vocabulary = Vocabulary::load(&VocabularyConfig::new(vec![VocabularySource::new(Task::Symptom, path)]))?;
    /// let spans = vocabulary.label("Severe Headaches.", &[Task::Symptom].into());
    /// assert_eq!(spans, [Span { task: Task::Symptom, start: 7, end: 16 }]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read or is not of its format, when there is none, or when they have too many names. Single bad lines are
    /// left out and counted in [`Vocabulary::reports`].
    pub fn load(config: &VocabularyConfig) -> Result<Vocabulary, TeacherError> {
        if config.sources.is_empty() {
            let reason = "has no sources; name a file of names and its task".to_owned();
            return Err(TeacherError::Config { object: "the vocabulary".to_owned(), reason });
        }
        let mut builder = Builder::new(config.rules, config.characters_min, config.names_max);
        exclude(config, &mut builder)?;
        let mut reports = Vec::new();
        for source in &config.sources {
            reports.push(source.read(&mut Names { builder: &mut builder, task: source.task })?);
        }
        if config.own_names {
            let tasks: TaskSet = config.sources.iter().map(|source| source.task).collect();
            for (concept, task, name) in own_names().filter(|(_, task, _)| tasks.contains(task)) {
                builder.add(task, concept, name)?;
            }
        }
        let index = builder.build()?;
        let modifiers = match config.rules.modifiers {
            true => MODIFIERS.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect(),
            false => HashSet::new(),
        };
        let version = version(&index, &config.rules);
        Ok(Vocabulary { index, modifiers, rules: config.rules, reports, version })
    }

    /// The mentions in `text`, in code points, by task and position. Mentions of one task do not overlap.
    pub fn label(&self, text: &str, tasks: &TaskSet) -> Vec<Span> {
        self.mentions(text, tasks).into_iter().map(|mention| mention.span).collect()
    }

    /// As [`Vocabulary::label`], with the concept of each mention.
    pub fn mentions(&self, text: &str, tasks: &TaskSet) -> Vec<VocabularyMention<'_>> {
        let folded = fold(text, self.rules.spelling);
        let note = Note { text, folded: &folded };
        let mut found = matching::longest(&note, &self.index, tasks);
        if self.rules.modifiers {
            matching::take_modifiers(&note, &self.modifiers, &mut found);
        }
        if self.rules.explained {
            matching::add_explained(&note, &mut found);
        }
        let mention = |found: matching::Found| {
            let (start, end) = (folded.words[found.first].points.start, folded.words[found.last - 1].points.end);
            let span = Span { task: found.task, start, end };
            VocabularyMention { span, concept: self.index.concept(found.concept) }
        };
        found.into_iter().map(mention).collect()
    }

    /// The tasks that it has names of.
    pub fn tasks(&self) -> &TaskSet {
        &self.index.tasks
    }

    /// What came of each source, in their order.
    pub fn reports(&self) -> &[VocabularyReport] {
        &self.reports
    }

    /// Forms of names that are looked for.
    pub fn forms(&self) -> usize {
        self.index.forms()
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.index.bytes()
    }

    /// Changes when the names or the rules do, and only then: a part of the key that labels are kept under.
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn version(index: &Index, rules: &VocabularyRules) -> String {
    let mut hash = Sha256::new();
    hash.update(index.hash);
    hash.update(format!("{RULES_VERSION} {rules:?} {MODIFIERS}"));
    let digest: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("vocabulary-{digest}")
}

/// Reads the lists of exclusions.
fn exclude(config: &VocabularyConfig, builder: &mut Builder) -> Result<(), TeacherError> {
    let rules = builder.rules;
    if config.own_exclusions {
        for line in EXCLUSIONS.lines() {
            let (task, name) = exclusion(line).expect("a test reads the exclusions that come with the program");
            builder.exclusions.add(task, name, &rules);
        }
    }
    for path in &config.exclusions {
        let mut lines = Lines::open(path, "the vocabulary")?;
        while let Some(line) = lines.next_line()?.map(str::to_owned) {
            let Some((task, name)) = exclusion(&line) else {
                let refused = lines.refused("excludes for an unknown task", "write disease, medication or symptom");
                return Err(refused.into());
            };
            builder.exclusions.add(task, name, &rules);
        }
    }
    Ok(())
}

/// Task and name of a line; the name is empty where the line is or is a comment.
fn exclusion(line: &str) -> Option<(Option<Task>, &str)> {
    match line.split_once('\t') {
        _ if line.starts_with('#') => Some((None, "")),
        None => Some((None, line)),
        Some((name, task)) => Some((Some(task_named(task.trim())?), name)),
    }
}

fn task_named(name: &str) -> Option<Task> {
    Task::ALL.into_iter().find(|task| task.name() == name)
}

/// Concept, task and name of each name that comes with the program.
fn own_names() -> impl Iterator<Item = (&'static str, Task, &'static str)> {
    NAMES.lines().skip(1).map(|line| {
        let mut fields = line.split('\t');
        let mut field = || fields.next().expect("a test reads the names that come with the program");
        let (concept, task, name) = (field(), field(), field());
        (concept, task_named(task).expect("a test reads the names that come with the program"), name)
    })
}
