//! The network of a run between two passes on a GPU, as a tagger: windows are padded to few lengths there, as in training, while
//! each length by itself would be a kernel to compile.

use crate::backend::StudentBackend;
use crate::bert::Bert;
use crate::bert::padded::{DropoutRates, Padded, PaddedBert, Shape, padded_length};
use crate::calibration::Head;
use crate::tagger::words_of_pieces;
use burn::prelude::*;
use burn::tensor::FloatDType;
use burn::tensor::activation::sigmoid;
use stillroom_dataflow::{Probabilities, Tagger, TaggerError, Window};
use stillroom_schemas::{ModelId, Task};

/// A network that has a head for every task that it learns. It computes one window after the other.
pub(super) struct Candidate<B: Backend> {
    model: ModelId,
    network: PaddedBert<B>,
    heads: Vec<Head>,
    device: B::Device,
}

impl<B: StudentBackend> Candidate<B> {
    /// Matrices are multiplied in `precision`.
    pub(super) fn new(network: &Bert<B>, tasks: &[Task], precision: FloatDType) -> Candidate<B> {
        Candidate {
            model: ModelId("candidate".into()),
            network: PaddedBert::new(network, tasks.len(), precision),
            heads: tasks.iter().map(|&task| Head::uncalibrated(task)).collect(),
            device: network.classifier.weight.device(),
        }
    }

    /// The mean over a word's pieces of the probability of class I, for every word of a window.
    fn probabilities(&self, window: &Window) -> Result<Probabilities, String> {
        let shape = Shape { rows: 1, length: padded_length(window.ids.len()) };
        let mut ids: Vec<i32> = window.ids.iter().map(|&id| id as i32).collect();
        ids.resize(shape.pieces(), 0);
        let texts = Padded::new(shape, ids, vec![window.ids.len() as i32], &self.device);
        let inside = sigmoid(self.network.log_odds(&texts, DropoutRates::default())).try_into_data();
        let inside =
            inside.map_err(|error| error.to_string())?.into_vec::<f32>().map_err(|error| format!("{error:?}"))?;
        let mut words = vec![[0.0; Task::ALL.len()]; window.words.len()];
        words_of_pieces(window, (&self.heads, &inside), &mut words);
        Ok(words)
    }
}

impl<B: StudentBackend> Tagger for Candidate<B> {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn thresholds(&self) -> [f32; Task::ALL.len()] {
        [0.5; Task::ALL.len()]
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        let answers = windows.iter().map(|window| self.probabilities(window)).collect::<Result<_, _>>();
        answers.map_err(|cause| TaggerError { model: self.model.0.clone(), windows: windows.len(), cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Student;
    use crate::tagger::BertTagger;
    use burn::backend::Flex;
    use std::path::Path;

    #[test]
    fn a_candidate_says_padded_what_it_says_packed() {
        let student = Student::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny")).unwrap();
        let network = student.network::<Flex>(&Default::default()).unwrap();
        let vocabulary = student.tokenizer().vocabulary_size() as u32;
        let window = |length: usize| Window {
            ids: (0..length as u32).map(|at| at * 7 % vocabulary).collect(),
            words: 0..length,
            pieces: (0..=length as u16).collect(),
        };
        let windows = [1, 63, 64, 65, 200, 512].map(window);
        let windows: Vec<&Window> = windows.iter().collect();
        let mut packed = BertTagger::of_network(network.clone(), &Task::ALL, Default::default());
        let expected = packed.tag(&windows).unwrap();
        for (precision, off_max) in [(FloatDType::F32, 1e-4), (FloatDType::BF16, 0.1)] {
            let said = Candidate::new(&network, &Task::ALL, precision).tag(&windows).unwrap();
            for (said, expected) in said.iter().zip(&expected) {
                assert_eq!(said.len(), expected.len());
                let both = said.iter().flatten().zip(expected.iter().flatten());
                let off = both.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
                assert!(off <= off_max, "{precision:?}, {} words: off by {off}", said.len());
            }
        }
    }
}
