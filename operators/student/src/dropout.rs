//! Dropout (Srivastava et al., JMLR 15, 2014) from a seed, so that a run that is repeated or resumed drops the same. Burn's own
//! draws a `Bernoulli` an element from one generator for all threads, which took a sixth of the time of a training step.

use crate::config::BertConfig;
use burn::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use std::cell::RefCell;

/// The dropout of one forward pass.
pub(crate) struct Dropout(Option<Active>);

struct Active {
    hidden: f64,
    attention: f64,
    random: RefCell<SmallRng>,
}

impl Dropout {
    /// For inference.
    pub(crate) fn none() -> Dropout {
        Dropout(None)
    }

    /// For training, at the rates of `config`.
    pub(crate) fn seeded(config: &BertConfig, seed: u64) -> Dropout {
        let random = RefCell::new(SmallRng::seed_from_u64(seed));
        let (hidden, attention) = (config.hidden_dropout_prob, config.attention_probs_dropout_prob);
        Dropout(Some(Active { hidden, attention, random }))
    }

    /// On embeddings and on what a block adds to its input.
    pub(crate) fn hidden<B: Backend, const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        self.0.as_ref().map_or_else(|| x.clone(), |active| active.apply(x.clone(), active.hidden))
    }

    /// On attention weights.
    pub(crate) fn attention<B: Backend, const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        self.0.as_ref().map_or_else(|| x.clone(), |active| active.apply(x.clone(), active.attention))
    }
}

impl Active {
    /// A byte of randomness decides over an element, so rates are multiples of 1/256; what is kept is scaled up accordingly.
    fn apply<B: Backend, const D: usize>(&self, x: Tensor<B, D>, rate: f64) -> Tensor<B, D> {
        let kept = ((1.0 - rate) * 256.0).round().max(1.0);
        let mut bytes = vec![0u8; x.shape().num_elements()];
        self.random.borrow_mut().fill_bytes(&mut bytes);
        let (limit, scale) = (kept as u16, (256.0 / kept) as f32);
        let mask: Vec<f32> = bytes.into_iter().map(|byte| if u16::from(byte) < limit { scale } else { 0.0 }).collect();
        let mask = Tensor::from_data(TensorData::new(mask, x.shape()), &x.device());
        x * mask
    }
}
