//! Dropout (Srivastava et al., JMLR 15, 2014) from a seed, so that a run that is repeated or resumed drops the same, and a backward
//! pass draws again what it would otherwise have to keep. Burn's own draws a `Bernoulli` an element from one generator for all
//! threads, which took a sixth of the time of a training step.

use crate::config::BertConfig;
use burn::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use std::cell::RefCell;
use stillroom_encoder::training::Kept;

/// The lowest rate above none: a byte of randomness decides over an element.
pub(crate) const RATE_MIN: f64 = 1.0 / 256.0;

/// The rates for hidden states and for attention weights: `rate`, or those of `config`.
pub(crate) fn rates(config: &BertConfig, rate: Option<f64>) -> [f64; 2] {
    [config.hidden_dropout_prob, config.attention_probs_dropout_prob].map(|own| rate.unwrap_or(own))
}

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

    /// For training, at `rate`, or the rates of `config`.
    pub(crate) fn seeded(config: &BertConfig, rate: Option<f64>, seed: u64) -> Dropout {
        let random = RefCell::new(SmallRng::seed_from_u64(seed));
        let [hidden, attention] = rates(config, rate);
        Dropout(Some(Active { hidden, attention, random }))
    }

    /// The next mask, for embeddings or for what a block adds to its input.
    pub(crate) fn hidden(&self) -> Mask {
        self.0.as_ref().map_or(Mask::ALL, |active| active.mask(active.hidden))
    }

    /// The next mask, for attention weights.
    pub(crate) fn attention(&self) -> Mask {
        self.0.as_ref().map_or(Mask::ALL, |active| active.mask(active.attention))
    }
}

impl Active {
    fn mask(&self, rate: f64) -> Mask {
        let limit = ((1.0 - rate) * 256.0).round().clamp(1.0, 256.0) as u16;
        Mask { seed: self.random.borrow_mut().next_u64(), limit }
    }
}

/// Which elements are kept, as a function of a seed. A byte of randomness decides over an element, so rates are multiples of
/// 1/256; what is kept is scaled up accordingly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    seed: u64,
    /// Of 256.
    limit: u16,
}

impl Mask {
    /// Keeps everything.
    pub(crate) const ALL: Mask = Mask { seed: 0, limit: 256 };

    /// Whether nothing is dropped.
    pub(crate) fn keeps_all(self) -> bool {
        self.limit == 256
    }

    /// The mask of one of several blocks of elements.
    pub(crate) fn block(self, index: usize) -> Mask {
        Mask { seed: self.seed.wrapping_add(index as u64), ..self }
    }

    /// For `count` elements, in `bytes`.
    pub(crate) fn kept(self, count: usize, bytes: &mut Vec<u8>) -> Kept<'_> {
        bytes.resize(count, 0);
        if !self.keeps_all() {
            SmallRng::seed_from_u64(self.seed).fill_bytes(bytes);
        }
        Kept { bytes, limit: self.limit, scale: 256.0 / f32::from(self.limit) }
    }

    /// `x` with elements dropped and the rest scaled.
    pub(crate) fn apply<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        if self.keeps_all() {
            return x;
        }
        let factors =
            Tensor::from_data(TensorData::new(self.factors(x.shape().num_elements()), x.shape()), &x.device());
        x * factors
    }

    /// What each of `count` elements is multiplied by.
    pub(crate) fn factors(self, count: usize) -> Vec<f32> {
        let mut bytes = Vec::new();
        let kept = self.kept(count, &mut bytes);
        kept.bytes.iter().map(|&byte| if u16::from(byte) < kept.limit { kept.scale } else { 0.0 }).collect()
    }
}
