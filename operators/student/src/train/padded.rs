//! The gradients of a training step on a GPU: the batch padded to one length, so that a step is few launches of few shapes.

use super::candidate::Candidate;
use crate::backend::StudentBackend;
use crate::bert::Bert;
use crate::bert::padded::{DropoutRates, Padded, PaddedBert, Shape, padded_length};
use crate::config::BertConfig;
use crate::manifest::Recipe;
use crate::parameters::Tensors;
use crate::{Device, Precision, StudentError, dropout};
use burn::backend::Autodiff;
use burn::prelude::*;
use burn::tensor::FloatDType;
use stillroom_schemas::Task;

/// How steps are taken on a GPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct PaddedStep {
    /// In what is multiplied; weights, gradients and the optimizer's state are `f32`.
    precision: FloatDType,
    dropout: DropoutRates,
    /// Layers that stay as they are, and the embeddings with them.
    freeze: usize,
}

impl PaddedStep {
    /// Steps on `device`; nothing on a processor, where steps are packed.
    ///
    /// # Errors
    /// When the precision is one of processors, or `f16`.
    pub(super) fn of(
        device: &Device,
        config: &BertConfig,
        recipe: &Recipe,
    ) -> Result<Option<PaddedStep>, StudentError> {
        let gpu = match device {
            Device::Cpu(_) => return Ok(None),
            Device::Padded(gpu) | Device::Cuda(gpu) => gpu,
        };
        let precision = match gpu.precision {
            Precision::Auto => Precision::F32,
            // The smallest gradients are zero in it, and nothing here scales the loss.
            Precision::F16 => {
                let cause = "training in f16 loses small gradients; choose bf16 or f32".to_owned();
                return Err(StudentError::Device { device: "cuda".into(), cause });
            }
            precision => precision,
        };
        let [hidden, attention] = dropout::rates(config, recipe.dropout);
        let dropout = DropoutRates { hidden, attention };
        Ok(Some(PaddedStep { precision: precision.on_gpu()?, dropout, freeze: recipe.freeze }))
    }

    /// The network as it stands, to be measured in the precision of the steps.
    pub(super) fn candidate<B: StudentBackend>(&self, network: &Bert<B>, tasks: &[Task]) -> Candidate<B> {
        Candidate::new(network, tasks, self.precision)
    }

    /// A loss and its gradients; `loss` is given logits `[tokens, 2 · tasks]` of the texts one after the other, without padding.
    pub(super) fn gradients<B: StudentBackend>(
        &self,
        network: &Bert<Autodiff<B>>,
        texts: &[&[u32]],
        loss: impl FnOnce(Tensor<Autodiff<B>, 2>) -> Tensor<Autodiff<B>, 1>,
    ) -> (f32, Tensors) {
        let device = network.classifier.weight.device();
        let tasks = network.classifier.weight.dims()[1] / 2;
        let longest = texts.iter().map(|ids| ids.len()).max().unwrap_or(1);
        let shape = Shape { rows: texts.len(), length: padded_length(longest) };
        let mut ids = vec![0; shape.pieces()];
        let mut pieces = Vec::new();
        for (row, text) in texts.iter().enumerate() {
            let start = row * shape.length;
            ids[start..].iter_mut().zip(*text).for_each(|(place, &id)| *place = id as i32);
            pieces.extend((start..start + text.len()).map(|place| place as i32));
        }
        let lengths = texts.iter().map(|ids| ids.len() as i32).collect();
        let padded = Padded::new(shape, ids, lengths, &device);
        let network_in = PaddedBert::new(network, tasks, self.precision).frozen(self.freeze);
        let tokens = pieces.len();
        let pieces = Tensor::from_data(TensorData::new(pieces, [tokens]), &device);
        let log_odds = network_in.log_odds(&padded, self.dropout).select(0, pieces).reshape([tokens, tasks, 1]);
        // Any two logits with this difference are the same to a softmax.
        let logits = Tensor::cat(vec![log_odds.zeros_like(), log_odds], 2).reshape([tokens, 2 * tasks]);
        let loss = loss(logits);
        let value = loss.clone().into_scalar().elem::<f32>();
        (value, Tensors::from_grads(loss.backward(), network))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Student;
    use crate::bert::Packed;
    use crate::dropout::Dropout;
    use burn::backend::Flex;
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::activation::log_softmax;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use std::path::Path;

    type Gpu = Autodiff<Flex>;

    /// All gradients of a network, in the order of its parameters; nothing of those without.
    struct All<'a> {
        gradients: &'a Tensors,
        values: Vec<Option<Vec<f32>>>,
    }

    impl ModuleVisitor<Gpu> for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Gpu, D>>) {
            let gradient = self.gradients.get::<Flex, D>(param.id);
            self.values.push(gradient.map(|gradient| gradient.into_data().into_vec::<f32>().unwrap()));
        }
    }

    fn all(network: &Bert<Gpu>, gradients: &Tensors) -> Vec<Option<Vec<f32>>> {
        let mut all = All { gradients, values: Vec::new() };
        network.visit(&mut all);
        all.values
    }

    fn network() -> (Bert<Gpu>, usize) {
        let student = Student::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny")).unwrap();
        (student.network::<Gpu>(&Default::default()).unwrap(), student.tokenizer().vocabulary_size())
    }

    /// Texts, and a loss in which each piece and task is O, I, or not labelled.
    fn texts(vocabulary: usize) -> (Vec<Vec<u32>>, impl Fn(Tensor<Gpu, 2>) -> Tensor<Gpu, 1>) {
        let mut random = SmallRng::seed_from_u64(3);
        let texts: Vec<Vec<u32>> = [3, 70, 64, 129]
            .map(|length| (0..length).map(|_| random.random_range(0..vocabulary as u32)).collect())
            .into();
        let labels: Vec<f32> = (0..texts.iter().map(Vec::len).sum::<usize>() * 3)
            .flat_map(|_| [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]][random.random_range(0..3)])
            .collect();
        (texts, move |logits: Tensor<Gpu, 2>| {
            let shape = [logits.dims()[0], 3, 2];
            let labels = Tensor::<Gpu, 3>::from_data(TensorData::new(labels.clone(), shape), &logits.device());
            (log_softmax(logits.reshape(shape), 2) * labels).sum() / -200.0
        })
    }

    fn norm(values: impl Iterator<Item = f32>) -> f32 {
        values.map(|value| value * value).sum::<f32>().sqrt()
    }

    #[test]
    fn a_padded_step_is_a_packed_one() {
        let _alone = crate::backend::tests::alone();
        let (network, vocabulary) = network();
        let (texts, loss) = texts(vocabulary);
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let packed = Packed::new(texts.iter().copied());
        let of_packed = loss(network.forward(&packed, &Default::default(), &Dropout::none()));
        let expected_loss = of_packed.clone().into_scalar();
        let expected = all(&network, &Tensors::from_grads(of_packed.backward(), &network));
        for (precision, off_max) in [(FloatDType::F32, 1e-4), (FloatDType::BF16, 0.1)] {
            for freeze in [0, 1] {
                let step = PaddedStep { precision, dropout: DropoutRates::default(), freeze };
                let (value, gradients) = step.gradients(&network, &texts, &loss);
                let about = format!("{precision:?}, {freeze} layers frozen");
                assert!(
                    (value - expected_loss).abs() <= off_max * expected_loss,
                    "{about}: {value}, not {expected_loss}"
                );
                let gradients = all(&network, &gradients);
                assert_eq!(gradients.len(), expected.len());
                let both = || {
                    gradients.iter().zip(&expected).filter_map(|(one, other)| Some((one.as_ref()?, other.as_ref()?)))
                };
                let differences = both().flat_map(|(one, other)| one.iter().zip(other).map(|(one, other)| one - other));
                let off = norm(differences) / norm(both().flat_map(|(_, other)| other.iter().copied()));
                assert!(off <= off_max, "{about}: gradients are off by {off} of their norm");
                // Five of the embeddings and sixteen of each layer.
                assert_eq!(gradients.iter().filter(|one| one.is_none()).count(), freeze * (5 + 16), "{about}");
            }
        }
    }

    #[test]
    fn dropout_changes_a_step_and_a_seed_repeats_it() {
        let _alone = crate::backend::tests::alone();
        let (network, vocabulary) = network();
        let (texts, loss) = texts(vocabulary);
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let dropped = DropoutRates { hidden: 0.1, attention: 0.1 };
        let loss = |dropout, seed| {
            Flex::seed(&Default::default(), seed);
            let step = PaddedStep { precision: FloatDType::F32, dropout, freeze: 0 };
            step.gradients(&network, &texts, &loss).0
        };
        let without = loss(DropoutRates::default(), 1);
        // The generator is one for all threads, and a test beside this one may draw from it in between; not every time.
        assert!((0..20).any(|_| loss(dropped, 1) == loss(dropped, 1)));
        assert!(loss(dropped, 1) != loss(dropped, 2) && loss(dropped, 1) != without);
    }
}
