//! Tensors of all parameters at once: gradients, moments and averages, kept by the parameters' ids.

use crate::backend::StudentBackend;
use crate::bert::Bert;
use burn::backend::Autodiff;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::prelude::*;

/// A tensor a parameter, by its id. Parameters may have none.
pub(crate) type Tensors = GradientsParams;

/// The values of all parameters; they share memory with the network.
pub(crate) fn values<B: StudentBackend>(network: &Bert<Autodiff<B>>) -> Tensors {
    let mut copy = Copy(Tensors::new());
    network.visit(&mut copy);
    copy.0
}

/// A network like `network` with the values of `tensors`, and zeros where there is none.
pub(crate) fn with_values<B: StudentBackend>(network: &Bert<Autodiff<B>>, tensors: &Tensors) -> Bert<Autodiff<B>> {
    network.clone().map(&mut Replace(tensors))
}

/// The ids of all parameters of a part of the network.
pub(crate) fn ids<B: Backend, M: Module<B>>(part: &M) -> Vec<ParamId> {
    let mut ids = Ids(Vec::new());
    part.visit(&mut ids);
    ids.0
}

/// The sum of the squares of all tensors.
pub(crate) fn squares<B: StudentBackend>(network: &Bert<Autodiff<B>>, tensors: &Tensors) -> f64 {
    let mut squares = Squares { tensors, sum: 0.0 };
    network.visit(&mut squares);
    squares.sum
}

/// The same sum, tensor by tensor.
pub(crate) fn sum<B: StudentBackend>(network: &Bert<Autodiff<B>>, all: Vec<Tensors>) -> Tensors {
    let mut all = all.into_iter();
    let first = all.next().unwrap_or_default();
    all.fold(first, |sum, tensors| {
        let mut add = Add { sum, tensors };
        network.visit(&mut add);
        add.sum
    })
}

struct Copy(Tensors);

impl<B: StudentBackend> ModuleVisitor<Autodiff<B>> for Copy {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        self.0.register::<B, D>(param.id, param.val().inner());
    }
}

struct Replace<'a>(&'a Tensors);

impl<B: StudentBackend> ModuleMapper<Autodiff<B>> for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<Autodiff<B>, D>>) -> Param<Tensor<Autodiff<B>, D>> {
        let (id, old, mapper) = param.consume();
        let new = self.0.get::<B, D>(id).unwrap_or_else(|| old.inner().zeros_like());
        Param::from_mapped_value(id, Tensor::from_inner(new).require_grad(), mapper)
    }
}

struct Ids(Vec<ParamId>);

impl<B: Backend> ModuleVisitor<B> for Ids {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.push(param.id);
    }
}

struct Squares<'a> {
    tensors: &'a Tensors,
    sum: f64,
}

impl<B: StudentBackend> ModuleVisitor<Autodiff<B>> for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        if let Some(tensor) = self.tensors.get::<B, D>(param.id) {
            self.sum += B::squares(tensor);
        }
    }
}

struct Add {
    sum: Tensors,
    tensors: Tensors,
}

impl<B: StudentBackend> ModuleVisitor<Autodiff<B>> for Add {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Autodiff<B>, D>>) {
        if let Some(tensor) = self.tensors.remove::<B, D>(param.id) {
            let sum = match self.sum.remove::<B, D>(param.id) {
                Some(sum) => B::add(sum, tensor),
                None => tensor,
            };
            self.sum.register(param.id, sum);
        }
    }
}
