//! The operations as nodes of the graph.

use super::{Attending, Norm, StudentBackend};
use crate::dropout::Mask;
use burn::backend::Autodiff;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::prelude::*;
use burn::tensor::TensorPrimitive;
use burn::tensor::ops::FloatTensor;

impl<B: StudentBackend> StudentBackend for Autodiff<B> {
    fn dense(x: Tensor<Self, 2>, weight: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        let (x, weight, bias) = (primitive(x), primitive(weight), primitive(bias));
        let output = B::dense(inner(&x), inner(&weight), inner(&bias));
        let state = [x.primitive.clone(), weight.primitive.clone()];
        node(Linear, [&x, &weight, &bias], state, output)
    }

    fn bias_gelu(x: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        let (x, bias) = (primitive(x), primitive(bias));
        let (sum, output) = B::bias_gelu_forward(inner(&x), inner(&bias));
        node(BiasGelu, [&x, &bias], primitive(sum), output)
    }

    fn attend(qkv: [Tensor<Self, 2>; 3], by: &Attending) -> Tensor<Self, 2> {
        let qkv = qkv.map(primitive);
        let output = B::attend(qkv.each_ref().map(inner), by);
        let state = (qkv.each_ref().map(|x| x.primitive.clone()), by.clone());
        node(Attention, qkv.each_ref(), state, output)
    }

    fn add_norm(x: Tensor<Self, 2>, residual: Tensor<Self, 2>, mask: Mask, norm: &Norm<Self>) -> Tensor<Self, 2> {
        let (x, residual) = (primitive(x), primitive(residual));
        let (weight, bias) = (primitive(norm.weight.clone()), primitive(norm.bias.clone()));
        let norm = Norm { weight: inner(&weight), bias: inner(&bias), eps: norm.eps };
        let [sum, output] = B::add_norm_forward(inner(&x), inner(&residual), mask, &norm);
        node(AddNorm, [&x, &residual, &weight, &bias], (primitive(sum), norm, mask), output)
    }

    fn drop_out(x: Tensor<Self, 2>, mask: Mask) -> Tensor<Self, 2> {
        let x = primitive(x);
        let output = B::drop_out(inner(&x), mask);
        node(DropOut, [&x], mask, output)
    }
}

fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// The tensor without its node.
fn inner<B: Backend, const D: usize>(x: &FloatTensor<Autodiff<B>>) -> Tensor<B, D> {
    tensor(x.primitive.clone())
}

/// Enters `output` into the graph; `state` is what the backward pass will need.
fn node<B: Backend, Op: Backward<B, N>, const D: usize, const N: usize>(
    op: Op,
    parents: [&FloatTensor<Autodiff<B>>; N],
    state: Op::State,
    output: Tensor<B, D>,
) -> Tensor<Autodiff<B>, D> {
    let output = primitive(output);
    let nodes = parents.map(|parent| parent.node.clone());
    let output = match op.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

/// Hands on what a parent that wants a gradient is owed.
fn owe<B: Backend, const D: usize>(
    parent: Option<NodeId>,
    grads: &mut Gradients,
    gradient: impl FnOnce() -> Tensor<B, D>,
) {
    if let Some(parent) = parent {
        grads.register::<B>(parent, primitive(gradient()));
    }
}

/// The parents that want a gradient.
macro_rules! parents {
    ($ops:expr) => {
        $ops.parents.map(|parent| parent.map(|node| node.id))
    };
}

#[derive(Debug)]
struct Linear;

impl<B: StudentBackend> Backward<B, 3> for Linear {
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad: Tensor<B, 2> = tensor(grads.consume::<B>(&ops.node));
        let ([x_node, weight_node, bias_node], [x, weight]) = (parents!(ops), ops.state.map(tensor::<B, 2>));
        owe(x_node, grads, || grad.clone().matmul(weight.transpose()));
        owe(weight_node, grads, || x.transpose().matmul(grad.clone()));
        owe(bias_node, grads, || B::sum_rows(grad));
    }
}

#[derive(Debug)]
struct BiasGelu;

impl<B: StudentBackend> Backward<B, 2> for BiasGelu {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = tensor(grads.consume::<B>(&ops.node));
        let ([x_node, bias_node], grad) = (parents!(ops), B::bias_gelu_backward(tensor(ops.state), grad));
        owe(bias_node, grads, || B::sum_rows(grad.clone()));
        owe(x_node, grads, || grad);
    }
}

#[derive(Debug)]
struct Attention;

impl<B: StudentBackend> Backward<B, 3> for Attention {
    type State = ([FloatTensor<B>; 3], Attending);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = tensor(grads.consume::<B>(&ops.node));
        let (qkv, by) = ops.state;
        let gradients = B::attend_backward(qkv.map(tensor), grad, &by);
        for (parent, gradient) in parents!(ops).into_iter().zip(gradients) {
            owe(parent, grads, || gradient);
        }
    }
}

#[derive(Debug)]
struct AddNorm;

impl<B: StudentBackend> Backward<B, 4> for AddNorm {
    type State = (FloatTensor<B>, Norm<B>, Mask);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = tensor(grads.consume::<B>(&ops.node));
        let (sum, norm, mask) = ops.state;
        let (grad, [weight, bias]) = B::norm_backward(tensor(sum), grad, &norm);
        let [x_node, residual_node, weight_node, bias_node] = parents!(ops);
        owe(x_node, grads, || B::drop_out(grad.clone(), mask));
        owe(residual_node, grads, || grad);
        owe(weight_node, grads, || weight);
        owe(bias_node, grads, || bias);
    }
}

#[derive(Debug)]
struct DropOut;

impl<B: StudentBackend> Backward<B, 1> for DropOut {
    type State = Mask;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = tensor(grads.consume::<B>(&ops.node));
        let [parent] = parents!(ops);
        owe(parent, grads, || B::drop_out(grad, ops.state));
    }
}
