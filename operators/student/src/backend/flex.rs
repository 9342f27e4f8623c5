//! The operations of a student on the processor.

mod attention;
mod product;

use super::{Attending, Norm, StudentBackend};
use crate::dropout::Mask;
use burn::backend::Flex;
use burn::prelude::*;
use burn::tensor::TensorPrimitive;
use burn_flex::FlexTensor;
use product::{Matrix, Target, product};
use rayon::prelude::*;
use stillroom_encoder::training::{self, AdamW, LayerNorm};

/// Elements that one thread works on at a time, where several share a tensor.
const CHUNK: usize = 1 << 16;

impl StudentBackend for Flex {
    fn dense(x: Tensor<Self, 2>, weight: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        let ([tokens, inputs], [_, outputs]) = (x.dims(), weight.dims());
        let (x, weight, bias) = (Read::new(x), Read::new(weight), Read::new(bias));
        let mut output = Vec::with_capacity(tokens * outputs);
        (0..tokens).for_each(|_| output.extend_from_slice(bias.slice()));
        let (x, weight) = (Matrix::new(x.slice(), inputs), Matrix::new(weight.slice(), outputs));
        product(Target { values: &mut output, stride: outputs }, (x, weight), 1.0, true);
        of(output, [tokens, outputs])
    }

    fn bias_gelu(x: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        in_place(x, |x| stillroom_encoder::bias_gelu(x, Read::new(bias).slice()))
    }

    fn bias_gelu_forward(x: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> (Tensor<Self, 2>, Tensor<Self, 2>) {
        let (shape, x, bias) = (x.dims(), Read::new(x), Read::new(bias));
        let mut outputs = [(); 2].map(|()| vec![0.0; x.slice().len()]);
        let [sum, output] = &mut outputs;
        training::bias_gelu(x.slice(), bias.slice(), [sum, output]);
        let [sum, output] = outputs.map(|values| of(values, shape));
        (sum, output)
    }

    fn bias_gelu_backward(x: Tensor<Self, 2>, grad: Tensor<Self, 2>) -> Tensor<Self, 2> {
        in_place(grad, |grad| stillroom_encoder::gelu_backward(grad, Read::new(x).slice()))
    }

    fn attend(qkv: [Tensor<Self, 2>; 3], by: &Attending) -> Tensor<Self, 2> {
        attention::forward(qkv, by)
    }

    fn attend_backward(qkv: [Tensor<Self, 2>; 3], grad: Tensor<Self, 2>, by: &Attending) -> [Tensor<Self, 2>; 3] {
        attention::backward(qkv, grad, by)
    }

    fn add_norm_forward(
        x: Tensor<Self, 2>,
        residual: Tensor<Self, 2>,
        mask: Mask,
        norm: &Norm<Self>,
    ) -> [Tensor<Self, 2>; 2] {
        let (shape, x, residual, mut bytes) = (x.dims(), Read::new(x), Read::new(residual), Vec::new());
        let (weight, bias) = (Read::new(norm.weight.clone()), Read::new(norm.bias.clone()));
        let norm = LayerNorm { weight: weight.slice(), bias: bias.slice(), eps: norm.eps as f32 };
        let mut outputs = [(); 2].map(|()| vec![0.0; x.slice().len()]);
        let [sum, output] = &mut outputs;
        let kept = mask.kept(x.slice().len(), &mut bytes);
        training::add_norm(x.slice(), (residual.slice(), kept), norm, [sum, output]);
        outputs.map(|values| of(values, shape))
    }

    fn norm_backward(
        x: Tensor<Self, 2>,
        grad: Tensor<Self, 2>,
        norm: &Norm<Self>,
    ) -> (Tensor<Self, 2>, [Tensor<Self, 1>; 2]) {
        let (features, x) = (x.dims()[1], Read::new(x));
        let (weight, bias) = (Read::new(norm.weight.clone()), Read::new(norm.bias.clone()));
        let norm = LayerNorm { weight: weight.slice(), bias: bias.slice(), eps: norm.eps as f32 };
        let mut parameters = [vec![0.0; features], vec![0.0; features]];
        let grad = in_place(grad, |grad| {
            let [weight, bias] = &mut parameters;
            training::norm_backward(grad, x.slice(), norm, [weight, bias]);
        });
        (grad, parameters.map(|sums| of(sums, [features])))
    }

    fn sum_rows(x: Tensor<Self, 2>) -> Tensor<Self, 1> {
        let mut sums = vec![0.0; x.dims()[1]];
        training::add_rows(Read::new(x).slice(), &mut sums);
        let features = sums.len();
        of(sums, [features])
    }

    fn drop_out(x: Tensor<Self, 2>, mask: Mask) -> Tensor<Self, 2> {
        if mask.keeps_all() {
            return x;
        }
        let mut bytes = Vec::new();
        in_place(x, |x| {
            let kept = mask.kept(x.len(), &mut bytes);
            training::drop_out(x, kept);
        })
    }

    fn squares<const D: usize>(x: Tensor<Self, D>) -> f64 {
        // The parts are added in their order, so that the sum is the same whatever thread is first.
        let parts: Vec<f32> = Read::new(x).slice().par_chunks(CHUNK).map(training::squares).collect();
        parts.into_iter().map(f64::from).sum()
    }

    fn add<const D: usize>(a: Tensor<Self, D>, b: Tensor<Self, D>) -> Tensor<Self, D> {
        let b = Read::new(b);
        in_place(a, |a| {
            let chunks = a.par_chunks_mut(CHUNK).zip(b.slice().par_chunks(CHUNK));
            chunks.for_each(|(a, b)| training::add_rows(b, a));
        })
    }

    fn approach<const D: usize>(from: Tensor<Self, D>, to: Tensor<Self, D>, share: f64) -> Tensor<Self, D> {
        let to = Read::new(to);
        in_place(from, |from| {
            let chunks = from.par_chunks_mut(CHUNK).zip(to.slice().par_chunks(CHUNK));
            chunks.for_each(|(from, to)| training::approach(from, to, share as f32));
        })
    }

    fn adamw<const D: usize>(state: [Tensor<Self, D>; 3], grad: Tensor<Self, D>, step: AdamW) -> [Tensor<Self, D>; 3] {
        let grad = Read::new(grad);
        let mut state = state.map(|tensor| tensor.into_data());
        let [parameters, first, second] = state.each_mut().map(values);
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let chunks = parameters.par_chunks_mut(CHUNK).zip(moments).zip(grad.slice().par_chunks(CHUNK));
        chunks.for_each(|((parameters, (first, second)), grad)| {
            training::adamw(parameters, [first, second], grad, step);
        });
        state.map(|data| Tensor::from_data(data, &Default::default()))
    }
}

/// A tensor to be read. Nothing is copied unless it is a view that is not contiguous.
struct Read(FlexTensor);

impl Read {
    fn new<const D: usize>(tensor: Tensor<Flex, D>) -> Read {
        Read(tensor.into_primitive().tensor().to_contiguous())
    }

    fn slice(&self) -> &[f32] {
        match self.0.as_slice() {
            Some(values) => values,
            None => unreachable!("a student on the processor computes in f32, and the tensor is contiguous"),
        }
    }
}

fn values(data: &mut TensorData) -> &mut [f32] {
    match data.as_mut_slice() {
        Ok(values) => values,
        Err(_) => unreachable!("a student on the processor computes in f32"),
    }
}

/// `kernel` on the tensor's memory; nothing is copied when the tensor is uniquely owned.
fn in_place<const D: usize>(tensor: Tensor<Flex, D>, kernel: impl FnOnce(&mut [f32])) -> Tensor<Flex, D> {
    let mut data = tensor.into_data();
    kernel(values(&mut data));
    Tensor::from_data(data, &Default::default())
}

fn of<const D: usize>(values: Vec<f32>, shape: impl Into<Shape>) -> Tensor<Flex, D> {
    let data = TensorData::new(values, shape);
    Tensor::from_primitive(TensorPrimitive::Float(FlexTensor::from_data(data)))
}
