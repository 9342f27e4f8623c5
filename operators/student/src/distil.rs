//! What teachers say of the examples, once before the first step: knowledge distillation (Hinton et al., arXiv 1503.02531) from
//! students that were trained before.

use crate::calibration::calibrated;
use crate::examples::Example;
use crate::manifest::Distillation;
use crate::{Device, Student, StudentError};
use std::sync::{Mutex, PoisonError};
use stillroom_dataflow::Tagger;
use stillroom_schemas::Task;

/// Sets the soft targets of all examples: the mean over the teachers that have a head for a task of the word's probability at
/// `by.temperature`, which takes the place of the teachers' own. A word's pieces have the target of the word.
///
/// # Errors
/// When a teacher cannot be used, or no teacher has a head for one of `tasks`.
pub(crate) fn teach(
    examples: &mut [Example],
    (teachers, by): (&[Student], &Distillation),
    tasks: &[Task],
    threads: usize,
) -> Result<(), StudentError> {
    if let Some(task) = tasks.iter().find(|task| !teachers.iter().any(|teacher| teacher.tasks().contains(task))) {
        let cause = format!("no teacher has a head for {}; name one that does, or leave the task out", task.name());
        return Err(StudentError::Data(cause));
    }
    let taggers =
        teachers.iter().map(|teacher| Student::taggers(&[teacher.uncalibrated()], Device::default(), threads));
    let mut taggers = taggers.collect::<Result<Vec<_>, _>>()?;
    let queue = Mutex::new(examples.iter_mut());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                // A tagger of each teacher.
                let mut own: Vec<_> = taggers.iter_mut().filter_map(Vec::pop).zip(teachers).collect();
                scope.spawn(move || -> Result<(), StudentError> {
                    while let Some(example) = next() {
                        let words = softened(example, &mut own, tasks, by.temperature)?;
                        example.teach(&words, tasks.len());
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// For each of the window's words and each task the mean of the teachers' probabilities.
fn softened(
    example: &Example,
    teachers: &mut [(Box<dyn Tagger>, &Student)],
    tasks: &[Task],
    temperature: f64,
) -> Result<Vec<Vec<f32>>, StudentError> {
    let mut sums = vec![vec![(0.0f32, 0.0f32); tasks.len()]; example.window.words.len()];
    for (tagger, teacher) in teachers {
        let answer = tagger.tag(&[&example.window]).map_err(|error| StudentError::Data(error.to_string()))?;
        for (sums, probabilities) in sums.iter_mut().zip(answer.into_iter().flatten()) {
            for ((sum, count), task) in sums.iter_mut().zip(tasks).filter(|(_, task)| teacher.tasks().contains(task)) {
                *sum += calibrated(probabilities[task.index()], temperature as f32);
                *count += 1.0;
            }
        }
    }
    Ok(sums.into_iter().map(|word| word.into_iter().map(|(sum, count)| sum / count).collect()).collect())
}
