//! How well a student does on annotated documents, at which temperatures its probabilities are what they say, and from which
//! probability on a word is best tagged.

use crate::calibration::{Calibration, Word, best_temperature, calibrated, calibration_error};
use crate::examples::words_inside;
use crate::manifest::Manifest;
use crate::{Corpus, Device, Document, Student, StudentError, files};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use stillroom_dataflow::{Probabilities, Tagger, Tokenizer, Words, score_spans, spans_of};
use stillroom_schemas::{Counts, Span, Task};

/// Thresholds that are tried, in hundredths. Low ones too: a student of soft labels gives a word that one of many teachers marks that
/// teacher's share.
const THRESHOLDS: std::ops::RangeInclusive<u8> = 5..=95;

/// A document with what a tagger says of each of its words.
pub(crate) struct Tagged<'a> {
    document: &'a Document,
    words: Words,
    probabilities: Probabilities,
}

/// Thresholds whose F1 differ by less are taken to do equally well: that is less than a few words of any dev set.
const F1_NOISE: f64 = 1e-3;

/// What is chosen on annotated documents, and how well a student does with it.
pub(crate) struct Measured {
    pub(crate) thresholds: BTreeMap<Task, f32>,
    pub(crate) calibration: BTreeMap<Task, Calibration>,
    pub(crate) counts: BTreeMap<String, BTreeMap<Task, Counts>>,
}

/// Chooses temperatures, then thresholds, on `dev`.
///
/// # Errors
/// When the student cannot be run, or a document cannot be read.
pub(crate) fn measure(student: &Student, dev: &[Corpus], threads: usize) -> Result<Measured, StudentError> {
    let mut taggers = Student::taggers(&[student.uncalibrated()], Device::default(), threads)?;
    let files = dev.iter().map(|corpus| tag_documents(&mut taggers, student.tokenizer(), &corpus.documents));
    let mut files = files.collect::<Result<Vec<_>, _>>()?;
    let of_task = |&task: &Task| Some((task, TaskWords::new(&files, task)?));
    let words: BTreeMap<Task, TaskWords> = student.tasks().iter().filter_map(of_task).collect();
    let temperatures: BTreeMap<Task, f32> =
        words.iter().map(|(&task, words)| (task, best_temperature(&words.all()))).collect();
    for row in files.iter_mut().flatten().flat_map(|tagged| &mut tagged.probabilities) {
        temperatures.iter().for_each(|(task, &at)| row[task.index()] = calibrated(row[task.index()], at));
    }
    let thresholds = best_thresholds(&files, student.tasks());
    let calibration =
        words.iter().map(|(task, words)| (*task, words.calibration(temperatures[task], thresholds[task])));
    let by_index = Task::ALL.map(|task| thresholds.get(&task).copied().unwrap_or(f32::INFINITY));
    let counts = dev.iter().zip(&files).map(|(corpus, file)| (corpus.file.name.clone(), word_counts(file, &by_index)));
    Ok(Measured { calibration: calibration.collect(), counts: counts.collect(), thresholds })
}

/// Chooses temperatures and thresholds of a student anew, on other documents than it was trained with, and writes them to its
/// manifest.
///
/// # Errors
/// When the folder holds no student that stillroom trained, none of the documents was annotated for a task of it, or the manifest
/// cannot be written.
pub fn calibrate(folder: &Path, dev: &[Corpus], threads: usize) -> Result<Manifest, StudentError> {
    let student = Student::load(folder)?;
    let path = folder.join("manifest.json");
    let Some(manifest) = student.manifest() else {
        let cause =
            "there is none, so stillroom did not train this student; train it, or one that starts from it".into();
        return Err(StudentError::Unsupported { path, cause });
    };
    let is_annotated = |task: &Task| dev.iter().flat_map(|corpus| &corpus.documents).any(|it| it.tasks.contains(task));
    if let Some(task) = student.tasks().iter().find(|task| !is_annotated(task)) {
        let task = task.name();
        return Err(StudentError::Data(format!(
            "no document was annotated for {task}, which the student has a head for"
        )));
    }
    let Measured { thresholds, calibration, counts } = measure(&student, dev, threads)?;
    let dev = dev.iter().map(|corpus| corpus.file.clone()).collect();
    let manifest = Manifest { thresholds, calibration, dev_counts: counts, dev, ..manifest.clone() };
    files::write_json(&path, &manifest)?;
    Ok(manifest)
}

/// The words of the documents that were annotated for a task, by halves of the documents; files count alike.
struct TaskWords([Vec<Word>; 2]);

impl TaskWords {
    /// Nothing when no document was annotated for the task.
    fn new(files: &[Vec<Tagged<'_>>], task: Task) -> Option<TaskWords> {
        let (mut halves, mut documents) = ([Vec::new(), Vec::new()], 0);
        for file in files {
            let annotated: Vec<_> = file.iter().filter(|tagged| tagged.document.tasks.contains(&task)).collect();
            let weight = 1.0 / annotated.iter().map(|tagged| tagged.words.len()).sum::<usize>().max(1) as f64;
            for tagged in annotated {
                let inside = words_inside(&tagged.words, tagged.document, task);
                let word = |(row, is_inside): (&[f32; Task::ALL.len()], bool)| Word {
                    probability: row[task.index()],
                    is_inside,
                    weight,
                };
                halves[documents % 2].extend(tagged.probabilities.iter().zip(inside).map(word));
                documents += 1;
            }
        }
        halves.iter().any(|half| !half.is_empty()).then_some(TaskWords(halves))
    }

    fn all(&self) -> Vec<Word> {
        self.0.concat()
    }

    /// Every word as the network says it, and at the temperature that was fitted on the other half.
    fn crossed(&self) -> Vec<(Word, Word)> {
        let [first, second] = &self.0;
        let at = |words: &[Word], temperature: f32| -> Vec<(Word, Word)> {
            let at = |&word: &Word| (word, Word { probability: calibrated(word.probability, temperature), ..word });
            words.iter().map(at).collect()
        };
        [at(first, best_temperature(second)), at(second, best_temperature(first))].concat()
    }

    /// `threshold` is one of probabilities at `temperature`.
    fn calibration(&self, temperature: f32, threshold: f32) -> Calibration {
        let words = self.crossed();
        let is_tagged = |(word, _): &&(Word, Word)| calibrated(word.probability, temperature) >= threshold;
        let tagged = || words.iter().filter(is_tagged);
        Calibration {
            temperature,
            ece: calibration_error(words.iter().map(|words| words.1)),
            ece_uncalibrated: calibration_error(words.iter().map(|words| words.0)),
            ece_tagged: calibration_error(tagged().map(|words| words.1)),
            ece_tagged_uncalibrated: calibration_error(tagged().map(|words| words.0)),
        }
    }
}

/// Tags every document, one thread a tagger; in the order of the documents.
pub(crate) fn tag_documents<'a>(
    taggers: &mut [Box<dyn Tagger>],
    tokenizer: &Tokenizer,
    documents: &'a [Document],
) -> Result<Vec<Tagged<'a>>, StudentError> {
    let next = AtomicUsize::new(0);
    let tagged = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = taggers
            .iter_mut()
            .map(|tagger| {
                scope.spawn(|| -> Result<(), StudentError> {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(document) = documents.get(index) else { return Ok(()) };
                        let done = tag_document(tagger.as_mut(), tokenizer, document)?;
                        tagged.lock().unwrap_or_else(PoisonError::into_inner).insert(index, done);
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(tagged.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
}

fn tag_document<'a>(
    tagger: &mut dyn Tagger,
    tokenizer: &Tokenizer,
    document: &'a Document,
) -> Result<Tagged<'a>, StudentError> {
    let text = tokenizer.tokenize(&document.text)?;
    let mut probabilities = Vec::with_capacity(text.words.len());
    for window in &text.windows {
        let answer = tagger.tag(&[window]).map_err(|error| StudentError::Data(error.to_string()))?;
        probabilities.extend(answer.into_iter().flatten());
    }
    Ok(Tagged { document, words: text.words, probabilities })
}

/// Word-level counts for every task that the documents were annotated for.
pub(crate) fn word_counts(tagged: &[Tagged<'_>], thresholds: &[f32; Task::ALL.len()]) -> BTreeMap<Task, Counts> {
    let mut totals: BTreeMap<Task, Counts> = BTreeMap::new();
    for one in tagged {
        let spans: Vec<Span> =
            spans_of(&one.words, &one.probabilities, thresholds).into_iter().map(|(span, _)| span).collect();
        for &task in &one.document.tasks {
            let [words, ..] = score_spans(&one.words, task, &spans, &one.document.spans);
            *totals.entry(task).or_default() += words;
        }
    }
    totals
}

/// For each of `tasks` the threshold with the best word-level F1, averaged over the files that were annotated for it; of those that do
/// as well the one nearest to one half.
pub(crate) fn best_thresholds(files: &[Vec<Tagged<'_>>], tasks: &[Task]) -> BTreeMap<Task, f32> {
    let mean_f1 = |task: Task, threshold: f32| {
        let counts = files.iter().filter_map(|file| word_counts(file, &[threshold; Task::ALL.len()]).remove(&task));
        let f1: Vec<f64> = counts.map(|counts| counts.f1()).collect();
        f1.iter().sum::<f64>() / f1.len().max(1) as f64
    };
    let candidates: Vec<f32> = THRESHOLDS.map(|hundredths| f32::from(hundredths) / 100.0).collect();
    let best = |task: Task| {
        let scored: Vec<(f64, f32)> =
            candidates.iter().map(|&threshold| (mean_f1(task, threshold), threshold)).collect();
        let most = scored.iter().fold(0.0, |most: f64, (f1, _)| most.max(*f1));
        let as_good = scored.into_iter().filter(|(f1, _)| *f1 >= most - F1_NOISE);
        // The one nearest to one half is the least fitted.
        as_good.min_by(|a, b| (a.1 - 0.5).abs().total_cmp(&(b.1 - 0.5).abs()).then(b.0.total_cmp(&a.0)))
    };
    tasks.iter().filter_map(|&task| Some((task, best(task)?.1))).collect()
}
