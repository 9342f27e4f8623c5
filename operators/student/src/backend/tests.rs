//! Every operation beside Burn's: outputs, and gradients by Burn's own graph of plain operations.

use super::{Attending, Norm, StudentBackend, plain};
use crate::bert::Packed;
use crate::config::BertConfig;
use crate::dropout::{Dropout, Mask};
use burn::backend::{Autodiff, Flex};
use burn::optim::{AdamWConfig, SimpleOptimizer};
use burn::prelude::*;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stillroom_encoder::training::AdamW;

type Graph = Autodiff<Flex>;

/// Held by a test while it computes gradients twice from the same tensors. Burn 0.21 keeps the graphs of all threads in one registry, and
/// a backward pass of another thread may clear away what the second pass needs. A training step makes its tensors anew.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random<B: Backend>(shape: [usize; 2], seed: u64) -> Tensor<B, 2> {
    let mut random = SmallRng::seed_from_u64(seed);
    let values = (0..shape[0] * shape[1]).map(|_| random.random_range(-1.5..1.5)).collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, shape), &Default::default())
}

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().into_vec().unwrap()
}

fn assert_near(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() <= tolerance * (1.0 + theirs.abs()), "{what}: {ours} is not {theirs}");
    }
}

/// Dropout at a tenth, for hidden states and attention.
fn masks() -> [Mask; 2] {
    let config = BertConfig::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny")).unwrap();
    let dropout = Dropout::seeded(&config, Some(0.1), 3);
    [dropout.hidden(), dropout.attention()]
}

/// An operation of `N` inputs, as ours and in plain operations.
fn check<const N: usize>(
    what: &str,
    shapes: [[usize; 2]; N],
    ours: impl Fn([Tensor<Graph, 2>; N]) -> Tensor<Graph, 2>,
    theirs: impl Fn([Tensor<Graph, 2>; N]) -> Tensor<Graph, 2>,
) {
    let inputs: [Tensor<Graph, 2>; N] =
        std::array::from_fn(|index| random::<Graph>(shapes[index], index as u64).require_grad());
    let run = |operation: &dyn Fn([Tensor<Graph, 2>; N]) -> Tensor<Graph, 2>| {
        let output = operation(inputs.clone());
        let weights = random::<Graph>(output.dims(), 99);
        let gradients = (output.clone() * weights).sum().backward();
        (values(output), inputs.clone().map(|input| values(input.grad(&gradients).unwrap())))
    };
    let ((ours, our_gradients), (theirs, their_gradients)) = (run(&ours), run(&theirs));
    assert_near(&format!("{what}: output"), &ours, &theirs, 1e-5);
    for (index, (ours, theirs)) in our_gradients.iter().zip(&their_gradients).enumerate() {
        assert_near(&format!("{what}: gradient of input {index}"), ours, theirs, 1e-4);
    }
}

fn row<B: Backend>(x: &Tensor<B, 2>) -> Tensor<B, 1> {
    x.clone().squeeze_dim(0)
}

#[test]
fn dense_layers_and_gelu_are_those_of_burn() {
    let _alone = alone();
    for [tokens, from, to] in [[1, 3, 2], [7, 48, 70], [33, 70, 48]] {
        let shapes = [[tokens, from], [from, to], [1, to]];
        check(
            "dense",
            shapes,
            |[x, weight, bias]| Graph::dense(x, weight, row(&bias)),
            |[x, weight, bias]| plain::dense(x, weight, row(&bias)),
        );
        check(
            "bias and GELU",
            [[tokens, to], [1, to]],
            |[x, bias]| Graph::bias_gelu(x, row(&bias)),
            |[x, bias]| plain::bias_gelu(x, row(&bias)).1,
        );
    }
}

#[test]
fn residual_connections_with_their_normalisation_are_those_of_burn() {
    let _alone = alone();
    for mask in [Mask::ALL, masks()[0]] {
        for [tokens, features] in [[1, 4], [9, 48], [5, 131]] {
            let norm = |weight: &Tensor<Graph, 2>, bias: &Tensor<Graph, 2>| Norm {
                weight: row(weight),
                bias: row(bias),
                eps: 1e-12,
            };
            check(
                "residual and normalisation",
                [[tokens, features], [tokens, features], [1, features], [1, features]],
                |[x, residual, weight, bias]| Graph::add_norm(x, residual, mask, &norm(&weight, &bias)),
                |[x, residual, weight, bias]| plain::add_norm(x, residual, mask, &norm(&weight, &bias))[1].clone(),
            );
            check("dropout", [[tokens, features]], |[x]| Graph::drop_out(x, mask), |[x]| mask.apply(x));
        }
    }
}

/// Texts of several lengths, of which some are alike.
fn attending(mask: Mask) -> (usize, Attending) {
    let texts = [vec![1; 9], vec![2; 5], vec![3; 5], vec![4; 1], vec![5; 33]];
    let packed = Packed::new(texts.iter().map(Vec::as_slice));
    (packed.tokens(), Attending { runs: packed.runs().to_vec(), heads: 3, mask })
}

#[test]
fn attention_is_that_of_burn() {
    let _alone = alone();
    for mask in [Mask::ALL, masks()[1]] {
        let (tokens, by) = attending(mask);
        check("attention", [[tokens, 12]; 3], |qkv| Graph::attend(qkv, &by), |qkv| plain::attend(qkv, &by));
    }
}

#[test]
fn gradients_in_plain_operations_are_those_of_the_processor() {
    let (tokens, by) = attending(masks()[1]);
    let qkv = [1, 2, 3].map(|seed| random::<Flex>([tokens, 12], seed));
    let grad = random::<Flex>([tokens, 12], 4);
    let (ours, theirs) =
        (Flex::attend_backward(qkv.clone(), grad.clone(), &by), plain::attend_backward(qkv.clone(), grad.clone(), &by));
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        assert_near("attention", &values(ours), &values(theirs), 1e-5);
    }
    let [x, weight, bias] = [qkv[0].clone(), random([1, 12], 5), random([1, 12], 6)];
    let norm = Norm { weight: row(&weight), bias: row(&bias), eps: 1e-12 };
    let (ours, our_parameters) = Flex::norm_backward(x.clone(), grad.clone(), &norm);
    let (theirs, their_parameters) = plain::norm_backward(x.clone(), grad.clone(), &norm);
    assert_near("normalisation", &values(ours), &values(theirs), 1e-4);
    for (ours, theirs) in our_parameters.into_iter().zip(their_parameters) {
        assert_near("its parameters", &values(ours), &values(theirs), 1e-4);
    }
    let (ours, theirs) = (Flex::bias_gelu_backward(x.clone(), grad.clone()), plain::bias_gelu_backward(x, grad));
    assert_near("GELU", &values(ours), &values(theirs), 1e-5);
}

/// Large enough for several threads.
const LARGE: [usize; 2] = [300, 700];

#[test]
fn steps_of_adamw_are_those_of_burn() {
    let (rate, weight_decay) = (3e-3, 0.1);
    let theirs = AdamWConfig::new().with_weight_decay(weight_decay).with_epsilon(1e-8).build();
    let mut plain_state = [
        random::<Flex>(LARGE, 0),
        Tensor::zeros(LARGE, &Default::default()),
        Tensor::zeros(LARGE, &Default::default()),
    ];
    let mut state = plain_state.clone();
    let (mut expected, mut moments) = (state[0].clone(), None);
    for time in 1..=6 {
        let gradient = random::<Flex>(LARGE, 10 + time as u64);
        let step = AdamW { rate, beta_1: 0.9, beta_2: 0.999, eps: 1e-8, weight_decay, gradient_scale: 0.5, time };
        state = Flex::adamw(state, gradient.clone(), step);
        plain_state = plain::adamw(plain_state, gradient.clone(), step);
        (expected, moments) = theirs.step(rate, expected, gradient * 0.5, moments);
    }
    let expected = values(expected);
    for ours in [state, plain_state] {
        assert_near("AdamW", &values(ours[0].clone()), &expected, 1e-6);
    }
}

#[test]
fn sums_are_those_of_burn() {
    let [a, b] = [0, 1].map(|seed| random::<Flex>(LARGE, seed));
    let squares = values(a.clone()).into_iter().map(|x| f64::from(x).powi(2)).sum::<f64>();
    assert!((Flex::squares(a.clone()) / squares - 1.0).abs() < 1e-6);
    assert_near("sum", &values(Flex::add(a.clone(), b.clone())), &values(a.clone() + b.clone()), 0.0);
    let half = values((a.clone() + b.clone()) * 0.5);
    assert_near("half way", &values(Flex::approach(a.clone(), b, 0.5)), &half, 1e-6);
    assert_near("rows", &values(Flex::sum_rows(a.clone())), &values(a.sum_dim(0)), 1e-4);
}
