//! The student behind the dataflow's trait, on Burn.

use crate::backend::StudentBackend;
use crate::bert::{Bert, Packed};
use crate::calibration::{Head, calibrated};
use crate::dropout::Dropout;
use crate::{Student, StudentError};
use burn::prelude::*;
use burn::tensor::activation;
use stillroom_dataflow::{Probabilities, Tagger, TaggerError, Window};
use stillroom_schemas::{ModelId, Task};

/// The name of students that serve together, and from which probability on each task is tagged.
pub(crate) fn names_and_thresholds(students: &[Student]) -> (ModelId, [f32; Task::ALL.len()]) {
    let names: Vec<&str> = students.iter().map(|student| student.model().0.as_str()).collect();
    let threshold = |task: Task| students.iter().map(move |student| student.thresholds()[task.index()]);
    (ModelId(names.join("+")), Task::ALL.map(|task| threshold(task).fold(f32::INFINITY, f32::min)))
}

/// Sets the columns of `heads` in a window's `words` to the means over each word's pieces of the probability of class I,
/// calibrated; `inside` is `[pieces, heads]`.
pub(crate) fn words_of_pieces(window: &Window, (heads, inside): (&[Head], &[f32]), words: &mut Probabilities) {
    for (word, pieces) in words.iter_mut().zip(window.pieces.windows(2)) {
        let (first, end) = (usize::from(pieces[0]), usize::from(pieces[1]));
        for (column, head) in heads.iter().enumerate() {
            let sum: f32 = (first..end).map(|piece| inside[piece * heads.len() + column]).sum();
            word[head.task.index()] = calibrated(sum / (end - first) as f32, head.temperature);
        }
    }
}

/// Windows in parts of at most `pieces_max` word pieces; one that is longer is a part of its own.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn at_most<'a, 'b>(windows: &'a [&'b Window], pieces_max: usize) -> impl Iterator<Item = &'a [&'b Window]> {
    let mut rest = windows;
    std::iter::from_fn(move || {
        let mut pieces = 0;
        let fits = |window: &&&Window| {
            pieces += window.ids.len();
            pieces <= pieces_max
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let part;
        (part, rest) = rest.split_at(count);
        (!part.is_empty()).then_some(part)
    })
}

/// Networks that together have a head for every task that they serve.
#[derive(Clone)]
pub(crate) struct BertTagger<B: Backend> {
    model: ModelId,
    thresholds: [f32; Task::ALL.len()],
    networks: Vec<(Bert<B>, Vec<Head>)>,
    device: B::Device,
}

impl<B: StudentBackend> BertTagger<B> {
    pub(crate) fn new(students: &[Student], device: B::Device) -> Result<Self, StudentError> {
        let networks = students
            .iter()
            .map(|student| Ok((student.network(&device)?, student.heads())))
            .collect::<Result<_, StudentError>>()?;
        let (model, thresholds) = names_and_thresholds(students);
        Ok(BertTagger { model, thresholds, networks, device })
    }

    pub(crate) fn of_network(network: Bert<B>, tasks: &[Task], device: B::Device) -> Self {
        let networks = vec![(network, tasks.iter().map(|&task| Head::uncalibrated(task)).collect())];
        BertTagger { model: ModelId("candidate".into()), thresholds: [0.5; Task::ALL.len()], networks, device }
    }

    /// Taggers that share the weights and compute on a thread of their own each: on a processor, several notes at once beat
    /// one note on several cores.
    pub(crate) fn one_thread_each(&self, count: usize) -> Result<Vec<Box<dyn Tagger>>, StudentError> {
        let one = |_| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| {
                StudentError::Device { device: "cpu".into(), cause: format!("no thread could be started: {error}") }
            })?;
            Ok(Box::new(OneThread { pool, tagger: self.clone() }) as Box<dyn Tagger>)
        };
        (0..count).map(one).collect()
    }

    /// The mean over a word's pieces of the probability of class I, for every word of every window.
    fn probabilities(&self, windows: &[&Window]) -> Result<Vec<Probabilities>, String> {
        let texts = Packed::new(windows.iter().map(|window| window.ids.as_slice()));
        let mut rows: Vec<Probabilities> =
            windows.iter().map(|window| vec![[0.0; Task::ALL.len()]; window.words.len()]).collect();
        for (network, heads) in &self.networks {
            let logits = network.forward(&texts, &self.device, &Dropout::none());
            let pairs = logits.reshape([texts.tokens(), heads.len(), 2]);
            let inside = activation::softmax(pairs, 2).slice([0..texts.tokens(), 0..heads.len(), 1..2]);
            let inside = inside.into_data().convert::<f32>().into_vec::<f32>().map_err(|error| format!("{error:?}"))?;
            let mut start = 0;
            for (window, rows) in windows.iter().zip(&mut rows) {
                let end = start + window.ids.len();
                words_of_pieces(window, (heads, &inside[start * heads.len()..end * heads.len()]), rows);
                start = end;
            }
        }
        Ok(rows)
    }
}

impl<B: StudentBackend> Tagger for BertTagger<B> {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn thresholds(&self) -> [f32; Task::ALL.len()] {
        self.thresholds
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        let failed = |cause| TaggerError { model: self.model.0.clone(), windows: windows.len(), cause };
        self.probabilities(windows).map_err(failed)
    }
}

struct OneThread<B: Backend> {
    pool: rayon::ThreadPool,
    tagger: BertTagger<B>,
}

impl<B: StudentBackend> Tagger for OneThread<B> {
    fn model(&self) -> &ModelId {
        self.tagger.model()
    }

    fn thresholds(&self) -> [f32; Task::ALL.len()] {
        self.tagger.thresholds()
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        self.pool.install(|| self.tagger.tag(windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_dealt_out_by_their_word_pieces() {
        let windows = [3, 3, 9, 1, 1, 2].map(|length| Window { ids: vec![0; length], words: 0..0, pieces: vec![0] });
        let windows: Vec<&Window> = windows.iter().collect();
        let parts = |pieces_max| at_most(&windows, pieces_max).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(parts(6), [2, 1, 3]);
        assert_eq!(parts(1), [1; 6]);
        assert_eq!(parts(100), [6]);
        assert_eq!(at_most(&[], 6).count(), 0);
    }
}
