//! What a student needs of a Burn backend beyond the plain operations.

use burn::backend::Autodiff;
use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::prelude::*;
use burn::tensor::TensorPrimitive;
use burn::tensor::activation;
use burn::tensor::ops::FloatTensor;

/// A backend that a student runs on. The defaults are plain operations; a backend overrides what it does better.
pub(crate) trait StudentBackend: Backend {
    /// `gelu(x + bias)` with the exact GELU of BERT; `x` is `[tokens, features]`, `bias` is `[features]`.
    fn bias_gelu(x: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        activation::gelu(x + bias.unsqueeze())
    }

    /// `grad · gelu'(x)`, both `[tokens, features]`.
    fn bias_gelu_backward(x: Tensor<Self, 2>, grad: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let cdf = (x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0) * 0.5;
        let density = (x.clone().square() * -0.5).exp()
            * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2);
        grad * (cdf + x * density)
    }

    /// Softmax over the last dimension of attention scores `[texts, heads, queries, keys]`.
    fn attention_softmax(scores: Tensor<Self, 4>) -> Tensor<Self, 4> {
        activation::softmax(scores, 3)
    }
}

impl StudentBackend for Flex {
    fn bias_gelu(x: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        in_place(x, bias, stillroom_encoder::bias_gelu)
    }

    fn bias_gelu_backward(x: Tensor<Self, 2>, grad: Tensor<Self, 2>) -> Tensor<Self, 2> {
        in_place(grad, x, stillroom_encoder::gelu_backward)
    }
}

/// `kernel(target, argument)` on the tensors' memory; nothing is copied when `target` is uniquely owned.
fn in_place<const D: usize, const E: usize>(
    target: Tensor<Flex, D>,
    argument: Tensor<Flex, E>,
    kernel: fn(&mut [f32], &[f32]),
) -> Tensor<Flex, D> {
    let device = target.device();
    let argument = argument.into_data();
    let mut data = target.into_data();
    let slices = (data.as_mut_slice::<f32>(), argument.as_slice::<f32>());
    let (Ok(target), Ok(argument)) = slices else { unreachable!("a student on the CPU computes in f32") };
    kernel(target, argument);
    Tensor::from_data(data, &device)
}

#[cfg(feature = "cuda")]
impl StudentBackend for burn::backend::Cuda {}

impl<B: StudentBackend> StudentBackend for Autodiff<B> {
    fn bias_gelu(x: Tensor<Self, 2>, bias: Tensor<Self, 1>) -> Tensor<Self, 2> {
        differentiable(Gelu, x + bias.unsqueeze(), |x| {
            let zero = Tensor::zeros([x.dims()[1]], &x.device());
            let output = B::bias_gelu(x.clone(), zero);
            (x, output)
        })
    }

    fn attention_softmax(scores: Tensor<Self, 4>) -> Tensor<Self, 4> {
        differentiable(Softmax, scores, |scores| {
            let output = B::attention_softmax(scores);
            (output.clone(), output)
        })
    }
}

/// Applies `forward`, which gives what `backward` will need and the output, as one node of the graph.
fn differentiable<B: Backend, const D: usize, Op>(
    backward: Op,
    input: Tensor<Autodiff<B>, D>,
    forward: impl FnOnce(Tensor<B, D>) -> (Tensor<B, D>, Tensor<B, D>),
) -> Tensor<Autodiff<B>, D>
where
    Op: Backward<B, 1, State = FloatTensor<B>>,
{
    let input = input.into_primitive().tensor();
    let (state, output) = forward(tensor(input.primitive.clone()));
    let output = output.into_primitive().tensor();
    let output = match backward.prepare::<NoCheckpointing>([input.node.clone()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state.into_primitive().tensor(), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

#[derive(Debug)]
struct Gelu;

impl<B: StudentBackend> Backward<B, 1> for Gelu {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let x = tensor(ops.state);
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            B::bias_gelu_backward(x, tensor(grad)).into_primitive().tensor()
        });
    }
}

#[derive(Debug)]
struct Softmax;

impl<B: Backend> Backward<B, 1> for Softmax {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let y: Tensor<B, 4> = tensor(ops.state);
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            let weighted = tensor::<B, 4>(grad) * y.clone();
            let total = weighted.clone().sum_dim(3);
            (weighted - y * total).into_primitive().tensor()
        });
    }
}
