//! The student behind the dataflow's trait, in 8 bits: what a processor does best.

use crate::calibration::Head;
use crate::tagger::{names_and_thresholds, words_of_pieces};
use crate::{Student, StudentError};
use std::sync::Arc;
use stillroom_dataflow::{Probabilities, Tagger, TaggerError, Window};
use stillroom_encoder::{Encoder, EncoderError, Scratch};
use stillroom_schemas::{ModelId, Task};

/// Networks that together have a head for every task that they serve. It computes on the thread that calls it, one window after
/// the other.
pub(crate) struct EightBitTagger {
    model: ModelId,
    thresholds: [f32; Task::ALL.len()],
    networks: Arc<[(Encoder, Vec<Head>)]>,
    scratch: Scratch,
    /// The probabilities of class I, `[pieces, heads]`.
    inside: Vec<f32>,
}

impl EightBitTagger {
    /// # Errors
    /// When the weights of a student cannot be used.
    pub(crate) fn new(students: &[Student]) -> Result<Self, StudentError> {
        let network = |student: &Student| Ok((student.encoder()?, student.heads()));
        let networks = students.iter().map(network).collect::<Result<_, StudentError>>()?;
        let (model, thresholds) = names_and_thresholds(students);
        Ok(EightBitTagger { model, thresholds, networks, scratch: Scratch::default(), inside: Vec::new() })
    }

    /// Taggers that share the weights.
    pub(crate) fn several(&self, count: usize) -> Vec<Box<dyn Tagger>> {
        let one = |_| {
            let (model, networks) = (self.model.clone(), Arc::clone(&self.networks));
            let (scratch, inside) = (Scratch::default(), Vec::new());
            Box::new(EightBitTagger { model, thresholds: self.thresholds, networks, scratch, inside })
                as Box<dyn Tagger>
        };
        (0..count).map(one).collect()
    }

    /// The mean over a word's pieces of the probability of class I, for every word of a window.
    fn probabilities(&mut self, window: &Window) -> Result<Probabilities, EncoderError> {
        let mut words = vec![[0.0; Task::ALL.len()]; window.words.len()];
        for (network, heads) in self.networks.iter() {
            let (pairs, _) = network.logits(&window.ids, &mut self.scratch)?.as_chunks::<2>();
            self.inside.clear();
            // Softmax over two classes.
            self.inside.extend(pairs.iter().map(|[outside, inside]| 1.0 / (1.0 + (outside - inside).exp())));
            words_of_pieces(window, (heads, &self.inside), &mut words);
        }
        Ok(words)
    }
}

impl Tagger for EightBitTagger {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn thresholds(&self) -> [f32; Task::ALL.len()] {
        self.thresholds
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        let answers = windows.iter().map(|window| self.probabilities(window)).collect::<Result<_, _>>();
        answers.map_err(|error: EncoderError| TaggerError {
            model: self.model.0.clone(),
            windows: windows.len(),
            cause: error.to_string(),
        })
    }
}
