//! Golden notes: made-up notes with the probability that a student gives each of their words, computed in `f32` on a processor when
//! the student is put into the registry.
//!
//! They travel with the student, as `golden.json`. Whoever is about to let it serve runs them on the device and in the precision
//! that will serve, and so learns that what runs there is this student and nothing that only loads. They hold no text of a patient:
//! the notes are the [`generator`]'s.

use crate::engine::EngineConfig;
use crate::generator;
use crate::runtime::StudentConfig;
use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use stillroom_dataflow::{Probabilities, Tagger, TokenizedText, Tokenizer};
use stillroom_schemas::{ModelId, Task};
use stillroom_student::{Device, Precision, Student};

/// The file, in the folder of a student.
pub(crate) const FILE: &str = "golden.json";

/// So many notes, of this seed: all types of note are among them, and two that are read in several windows.
const NOTES: u64 = 12;
const SEED: u64 = 2;

/// How far a probability may lie from the golden one. What moves it is the precision: 8 bits or half precision. A word whose golden
/// probability is farther than this from a threshold keeps its label.
const TOLERANCE: f32 = 0.1;

/// A student's golden notes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Golden {
    /// The student.
    model: ModelId,
    /// The notes.
    notes: Vec<GoldenNote>,
}

/// A note and what a student says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct GoldenNote {
    /// The text.
    text: String,
    /// `[words, tasks]`: the probability of class I, 0 for a task that the student has no head for.
    probabilities: Probabilities,
}

/// Loads the student of a folder that has golden notes, and holds it to them on the configured device, in the configured precision.
///
/// # Errors
/// When it cannot be loaded or run there, or says something else of the notes.
pub(crate) fn check(folder: &Path, config: &StudentConfig, engine: &EngineConfig) -> Result<Student> {
    let golden = Golden::load(folder)?;
    let student = Student::load(folder)?;
    // On GPUs there are several taggers, some for each device.
    for mut tagger in Student::taggers(std::slice::from_ref(&student), config.device(engine)?, 1)? {
        golden.check(student.tokenizer(), tagger.as_mut())?;
    }
    Ok(student)
}

impl Golden {
    /// What a student says of the notes in `f32` on the processor.
    ///
    /// # Errors
    /// When it cannot run, or what it says is no probability.
    pub(crate) fn make(student: &Student) -> Result<Golden> {
        let mut taggers = Student::taggers(std::slice::from_ref(student), Device::Cpu(Precision::F32), 1)?;
        let tagger = taggers.first_mut().context("a processor has no tagger")?;
        Golden::of(student.tokenizer(), tagger.as_mut())
    }

    fn of(tokenizer: &Tokenizer, tagger: &mut dyn Tagger) -> Result<Golden> {
        let mut golden = Golden { model: tagger.model().clone(), notes: Vec::new() };
        for text in generator::notes(SEED, NOTES).map(|note| note.text) {
            let probabilities = read(tokenizer, tagger, &text)?;
            ensure!(
                probabilities.iter().flatten().all(|probability| (0.0..=1.0).contains(probability)),
                "{} answers with what is no probability; train it anew, at a lower rate",
                golden.model.0
            );
            golden.notes.push(GoldenNote { text, probabilities });
        }
        Ok(golden)
    }

    /// The golden notes of a student's folder.
    ///
    /// # Errors
    /// When there are none, or the file is damaged.
    pub(crate) fn load(folder: &Path) -> Result<Golden> {
        let path = folder.join(FILE);
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let golden: Golden = serde_json::from_slice(&bytes)
            .map_err(|error| anyhow!("{} is no file of golden notes from line {} on", path.display(), error.line()))?;
        ensure!(!golden.notes.is_empty(), "{} has no note; put the student into the registry anew", path.display());
        Ok(golden)
    }

    /// Writes them into a student's folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let bytes = serde_json::to_vec(self).context("golden notes cannot be written as JSON")?;
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Holds a tagger to the notes.
    ///
    /// # Errors
    /// When it is of another student, cuts a note into other words, or gives a word a probability that is too far from the golden one.
    pub(crate) fn check(&self, tokenizer: &Tokenizer, tagger: &mut dyn Tagger) -> Result<()> {
        let model = tagger.model().0.clone();
        ensure!(model == self.model.0, "the golden notes are those of {}, and the student is {model}", self.model.0);
        for (number, GoldenNote { text, probabilities }) in self.notes.iter().enumerate() {
            let said = read(tokenizer, tagger, text)?;
            let (words, expected) = (said.len(), probabilities.len());
            ensure!(
                words == expected,
                "{model} fails golden note {}: it has {words} words, and had {expected}; \
                 take its tokenizer from where it was trained",
                number + 1
            );
            let pairs = said.as_flattened().iter().zip(probabilities.as_flattened());
            let worst = pairs.map(|(one, other)| distance(*one, *other)).fold(0.0, f32::max);
            ensure!(
                worst <= TOLERANCE,
                "{model} fails golden note {}: a probability is {worst:.3} away from the golden one, more than \
                 {TOLERANCE}; take another precision or device",
                number + 1
            );
        }
        Ok(())
    }
}

/// How far apart two probabilities are. What is no number is farther than any tolerance.
fn distance(one: f32, other: f32) -> f32 {
    let distance = (one - other).abs();
    if distance.is_nan() { f32::INFINITY } else { distance }
}

/// The probabilities of all words of a text; no number for a word that no window answers for.
fn read(tokenizer: &Tokenizer, tagger: &mut dyn Tagger, text: &str) -> Result<Probabilities> {
    probabilities(&tokenizer.tokenize(text)?, tagger)
}

/// The probabilities of all words of a text, window by window; no number for a word that no window answers for.
///
/// # Errors
/// When the student fails on a window.
pub(crate) fn probabilities(text: &TokenizedText, tagger: &mut dyn Tagger) -> Result<Probabilities> {
    let mut words = vec![[f32::NAN; Task::ALL.len()]; text.words.len()];
    for window in &text.windows {
        let answers = tagger.tag(&[window])?;
        let owned = words[window.words.clone()].iter_mut();
        owned.zip(answers.into_iter().flatten()).for_each(|(word, answer)| *word = answer);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_dataflow::{TaggerError, Window};

    /// Gives each word a probability by its place, plus `moved`; leaves out the last `silent` words of a window.
    struct ByPlace {
        model: ModelId,
        moved: f32,
        silent: usize,
    }

    impl Tagger for ByPlace {
        fn model(&self) -> &ModelId {
            &self.model
        }

        fn thresholds(&self) -> [f32; Task::ALL.len()] {
            [0.5; Task::ALL.len()]
        }

        fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
            let answer = |window: &&Window| -> Probabilities {
                let words = window.words.clone().take(window.words.len().saturating_sub(self.silent));
                words.map(|word| [(word % 7) as f32 / 10.0 + self.moved; Task::ALL.len()]).collect()
            };
            Ok(windows.iter().map(answer).collect())
        }
    }

    fn by_place(name: &str, moved: f32, silent: usize) -> ByPlace {
        ByPlace { model: ModelId(name.to_owned()), moved, silent }
    }

    fn check(mut tagger: ByPlace, expected: &str) {
        let tokenizer = Tokenizer::words_only();
        let golden = Golden::of(&tokenizer, &mut by_place("a", 0.0, 0)).unwrap();
        let error = golden.check(&tokenizer, &mut tagger).err().map_or(String::new(), |error| error.to_string());
        assert!(if expected.is_empty() { error.is_empty() } else { error.contains(expected) }, "{error}");
    }

    #[test]
    fn who_says_something_else_fails() {
        check(by_place("a", 0.0, 0), "");
        check(by_place("a", 0.09, 0), "");
        check(by_place("a", 0.12, 0), "golden note 1: a probability is 0.120 away");
        check(by_place("a", f32::NAN, 0), "golden note 1: a probability is inf away");
        check(by_place("a", 0.0, 1), "golden note 1: a probability is inf away");
        check(by_place("b", 0.0, 0), "the golden notes are those of a, and the student is b");
    }

    #[test]
    fn the_notes_have_several_windows_and_survive_their_file() {
        let tokenizer = Tokenizer::words_only();
        let golden = Golden::of(&tokenizer, &mut by_place("a", 0.0, 0)).unwrap();
        let windows = |note: &GoldenNote| tokenizer.tokenize(&note.text).unwrap().windows.len();
        assert!(golden.notes.iter().any(|note| windows(note) > 1));
        let folder = tempfile::tempdir().unwrap();
        golden.save(folder.path()).unwrap();
        assert_eq!(Golden::load(folder.path()).unwrap(), golden);
    }

    #[test]
    fn what_is_no_probability_makes_no_golden_notes() {
        for moved in [f32::NAN, 0.5, -0.1] {
            let refused = Golden::of(&Tokenizer::words_only(), &mut by_place("a", moved, 0)).unwrap_err().to_string();
            assert!(refused.contains("a answers with what is no probability"), "{refused}");
        }
    }
}
