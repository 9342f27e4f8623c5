//! A step of the optimizer: every thread of a processor works on a part of the batch, a GPU on all of it.

use super::run::Run;
use crate::StudentError;
use crate::backend::StudentBackend;
use crate::bert::{Bert, Packed};
use crate::dropout::Dropout;
use crate::examples::Example;
use crate::manifest::Distillation;
use crate::parameters::{self, Tensors};
use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::activation::log_softmax;

impl<B: StudentBackend> Run<'_, B> {
    /// One step of the optimizer on the examples of `batch`; the mean loss of a labelled word piece.
    pub(super) fn step(&mut self, batch: &[usize], rate: f64) -> Result<f32, StudentError> {
        let examples: Vec<&Example> = batch.iter().map(|&index| &self.examples[index]).collect();
        let labelled: usize = examples.iter().map(|example| example.labelled()).sum();
        let step = self.state.epoch * self.steps_per_pass() + self.state.step;
        let (mean, gradients) = match &self.padded {
            Some(padded) => {
                // Dropout on a device is drawn by its own generator.
                B::seed(&self.device, self.config.recipe.seed.wrapping_add(step as u64));
                let texts: Vec<&[u32]> = examples.iter().map(|example| example.window.ids.as_slice()).collect();
                let by = self.config.recipe.distillation;
                padded.gradients(self.learner.network(), &texts, |logits| loss(logits, &examples, by) / labelled as f64)
            }
            None => self.packed_gradients(examples, labelled, step)?,
        };
        self.learner.step(gradients, (rate, step + 1), &self.config.recipe)?;
        Ok(mean)
    }

    /// The mean loss over `labelled` labels and its gradients, each thread with a part of the examples.
    ///
    /// # Errors
    /// When a parameter that is learned has no gradient.
    fn packed_gradients(
        &self,
        examples: Vec<&Example>,
        labelled: usize,
        step: usize,
    ) -> Result<(f32, Tensors), StudentError> {
        let parts = balanced(examples, self.pools.len());
        let (freeze, by) = (self.config.recipe.freeze, self.config.recipe.distillation);
        let dropout_of = |part: usize| {
            let seed = self.config.recipe.seed.wrapping_add((step * self.pools.len() + part) as u64);
            Dropout::seeded(&self.architecture, self.config.recipe.dropout, seed)
        };
        let results: Vec<(f32, Tensors)> = std::thread::scope(|scope| {
            let workers: Vec<_> = parts
                .iter()
                .zip(&self.pools)
                .enumerate()
                .map(|(index, (part, pool))| {
                    let dropout = dropout_of(index);
                    // Not one clone for all: a clone of the plain network forgets that it is to be differentiated.
                    let network = self.learner.network().valid();
                    scope.spawn(move || pool.install(|| gradients(network, part, (labelled, by), (freeze, dropout))))
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let (losses, gradients): (Vec<f32>, Vec<Tensors>) = results.into_iter().unzip();
        // Burn keeps the graphs of all threads in one registry. What would be lost there must not pass for a gradient of zero.
        if gradients.iter().any(|part| part.len() != self.learner.learned(freeze)) {
            let cause = format!("a gradient of step {} is missing; start again, and the run goes on", step + 1);
            return Err(StudentError::Data(cause));
        }
        Ok((losses.into_iter().sum(), parameters::sum(self.learner.network(), gradients)))
    }
}

/// The share of the gradient that `part` contributes to the mean loss over `labelled` labels.
fn gradients<B: StudentBackend>(
    network: Bert<B>,
    part: &[&Example],
    (labelled, by): (usize, Option<Distillation>),
    (freeze, dropout): (usize, Dropout),
) -> (f32, Tensors) {
    let device = &network.classifier.weight.device();
    let texts = Packed::new(part.iter().map(|example| example.window.ids.as_slice()));
    // What is frozen is computed outside of the graph: no gradient, and nothing kept for one.
    let frozen = (freeze > 0).then(|| {
        let embedded = network.embed(&texts, device, &dropout);
        network.layers(embedded, &texts, (0..freeze, &dropout))
    });
    let network = network.train::<Autodiff<B>>();
    let x = frozen.map_or_else(|| network.embed(&texts, device, &dropout), Tensor::from_inner);
    let logits = network.forward_from(x, &texts, (freeze, &dropout));
    let loss = loss(logits, part, by) / labelled as f64;
    let value = loss.clone().into_scalar().elem::<f32>();
    (value, GradientsParams::from_grads(loss.backward(), &network))
}

/// The sum over word pieces and tasks of the cross-entropy with the annotations, soft labels included, and of the divergence from
/// what students say that are distilled, each by its part; `logits` are `[tokens, 2 tasks]`.
fn loss<B: Backend>(logits: Tensor<B, 2>, part: &[&Example], by: Option<Distillation>) -> Tensor<B, 1> {
    let [tokens, outputs] = logits.dims();
    let (shape, device) = ([tokens, outputs / 2, 2], logits.device());
    let logits = logits.reshape(shape);
    let tensor = |values: Vec<f32>| Tensor::<B, 3>::from_data(TensorData::new(values, shape), &device);
    let marked = tensor(part.iter().flat_map(|example| example.marked()).flatten().collect());
    let share = by.map_or(0.0, |by| by.share);
    let annotated = (log_softmax(logits.clone(), 2) * marked).sum() * (share - 1.0);
    let Some(by) = by else { return annotated };
    let distilled: Vec<f32> = part.iter().flat_map(|example| example.distilled()).flatten().collect();
    let entropy: f64 = distilled.iter().filter(|p| **p > 0.0).map(|&p| -f64::from(p) * f64::from(p).ln()).sum();
    let crossed = (log_softmax(logits / by.temperature, 2) * tensor(distilled)).sum() * -1.0;
    annotated + (crossed - entropy) * (by.share * by.temperature * by.temperature)
}

/// Deals the examples out by falling length, each to the part with the fewest word pieces; empty parts are left out.
fn balanced(mut examples: Vec<&Example>, parts: usize) -> Vec<Vec<&Example>> {
    examples.sort_by_key(|example| std::cmp::Reverse(example.window.ids.len()));
    let mut dealt: Vec<(usize, Vec<&Example>)> = vec![(0, Vec::new()); parts];
    for example in examples {
        if let Some((tokens, part)) = dealt.iter_mut().min_by_key(|(tokens, _)| *tokens) {
            *tokens += example.window.ids.len();
            part.push(example);
        }
    }
    dealt.into_iter().map(|(_, part)| part).filter(|part| !part.is_empty()).collect()
}
