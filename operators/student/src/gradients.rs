//! Gradients of all parameters at once.

use crate::backend::StudentBackend;
use crate::bert::Bert;
use burn::backend::Autodiff;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;

/// Scales the gradients such that their common norm is at most `norm_max` (Pascanu et al., arXiv 1211.5063); burn clips every
/// tensor by itself.
pub(crate) fn clip_norm<B: StudentBackend>(
    network: &Bert<Autodiff<B>>,
    gradients: GradientsParams,
    norm_max: f32,
) -> GradientsParams {
    let mut squares = Squares { gradients: &gradients, sum: 0.0 };
    network.visit(&mut squares);
    let norm = squares.sum.sqrt();
    if norm <= norm_max {
        return gradients;
    }
    let mut scaled = Move { from: gradients, to: GradientsParams::new(), factor: Some(norm_max / norm) };
    network.visit(&mut scaled);
    scaled.to
}

/// The gradients of the encoder and those of the heads, which learn at another rate.
pub(crate) fn split_heads<B: StudentBackend>(
    network: &Bert<Autodiff<B>>,
    gradients: GradientsParams,
) -> (GradientsParams, GradientsParams) {
    let mut heads = Move { from: gradients, to: GradientsParams::new(), factor: None };
    network.classifier.visit(&mut heads);
    (heads.from, heads.to)
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: f32,
}

impl<B: StudentBackend> ModuleVisitor<Autodiff<B>> for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        if let Some(gradient) = self.gradients.get::<B, D>(param.id) {
            self.sum += gradient.square().sum().into_scalar().elem::<f32>();
        }
    }
}

struct Move {
    from: GradientsParams,
    to: GradientsParams,
    factor: Option<f32>,
}

impl<B: StudentBackend> ModuleVisitor<Autodiff<B>> for Move {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        if let Some(gradient) = self.from.remove::<B, D>(param.id) {
            let gradient = self.factor.map_or(gradient.clone(), |factor| gradient.clone() * factor);
            self.to.register(param.id, gradient);
        }
    }
}
