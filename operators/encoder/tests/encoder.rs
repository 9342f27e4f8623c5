//! The whole encoder against BERT written down plainly in `f32`, and what it refuses.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::collections::BTreeMap;
use stillroom_encoder::{Encoder, EncoderConfig, EncoderError, Kernel, Levels, Scratch};

const OUTPUTS: usize = 6;

fn config() -> EncoderConfig {
    EncoderConfig {
        hidden: 64,
        layers: 2,
        heads: 4,
        intermediate: 200,
        layer_norm_eps: 1e-12,
        vocabulary: 50,
        positions: 130,
    }
}

type Tensors = BTreeMap<String, Vec<f32>>;

/// Random tensors for [`config`], of the spread that trained ones have.
fn tensors() -> Tensors {
    let EncoderConfig { hidden, layers, intermediate, vocabulary, positions, .. } = config();
    let mut random = SmallRng::seed_from_u64(7);
    let mut values =
        |count: usize, middle: f32| (0..count).map(|_| middle + random.random_range(-0.2f32..0.2)).collect::<Vec<_>>();
    let mut tensors = Tensors::new();
    for (name, rows) in [("word", vocabulary), ("position", positions), ("token_type", 2)] {
        tensors.insert(format!("bert.embeddings.{name}_embeddings.weight"), values(rows * hidden, 0.0));
    }
    let mut norms = vec!["bert.embeddings".to_owned()];
    let mut linear = vec![("classifier".to_owned(), [OUTPUTS, hidden])];
    for layer in (0..layers).map(|layer| format!("bert.encoder.layer.{layer}")) {
        norms.extend([format!("{layer}.attention.output"), format!("{layer}.output")]);
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            linear.push((format!("{layer}.attention.{part}"), [hidden, hidden]));
        }
        linear.push((format!("{layer}.intermediate.dense"), [intermediate, hidden]));
        linear.push((format!("{layer}.output.dense"), [hidden, intermediate]));
    }
    for name in norms {
        tensors.insert(format!("{name}.LayerNorm.weight"), values(hidden, 1.0));
        tensors.insert(format!("{name}.LayerNorm.bias"), values(hidden, 0.0));
    }
    for (name, [outputs, inputs]) in linear {
        tensors.insert(format!("{name}.weight"), values(outputs * inputs, 0.0));
        tensors.insert(format!("{name}.bias"), values(outputs, 0.0));
    }
    tensors
}

fn encoder(tensors: &Tensors) -> Result<Encoder, EncoderError> {
    Encoder::new(config(), OUTPUTS, |name| tensors.get(name).cloned())
}

fn ids(tokens: usize) -> Vec<u32> {
    (0..tokens as u32).map(|i| i * i * 31 % 50).collect()
}

/// The rows of `x` by a linear layer.
fn linear(tensors: &Tensors, name: &str, x: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let (weights, bias) = (&tensors[&format!("{name}.weight")], &tensors[&format!("{name}.bias")]);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let row = |x: &Vec<f32>| weights.chunks(x.len()).zip(bias).map(|(weights, bias)| dot(x, weights) + bias).collect();
    x.iter().map(row).collect()
}

/// The rows of `x + y`, normalised.
fn add_norm(tensors: &Tensors, name: &str, x: &[Vec<f32>], y: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let (weight, bias) = (&tensors[&format!("{name}.LayerNorm.weight")], &tensors[&format!("{name}.LayerNorm.bias")]);
    let row = |(x, y): (&Vec<f32>, &Vec<f32>)| -> Vec<f32> {
        let sum: Vec<f32> = x.iter().zip(y).map(|(x, y)| x + y).collect();
        let mean = sum.iter().sum::<f32>() / sum.len() as f32;
        let variance = sum.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / sum.len() as f32;
        let scaled = |(i, x): (usize, &f32)| (x - mean) / (variance + 1e-12).sqrt() * weight[i] + bias[i];
        sum.iter().enumerate().map(scaled).collect()
    };
    x.iter().zip(y).map(row).collect()
}

fn attention(q: &[Vec<f32>], k: &[Vec<f32>], v: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let size = config().hidden / config().heads;
    let row = |q: &Vec<f32>| -> Vec<f32> {
        let head = |first: usize| {
            let part = first..first + size;
            let score = |k: &Vec<f32>| {
                let dot: f32 = q[part.clone()].iter().zip(&k[part.clone()]).map(|(q, k)| q * k).sum();
                (dot / (size as f32).sqrt()).exp()
            };
            let weights: Vec<f32> = k.iter().map(score).collect();
            let total: f32 = weights.iter().sum();
            let feature = move |i: usize| weights.iter().zip(v).map(|(w, v)| w * v[i]).sum::<f32>() / total;
            part.clone().map(feature).collect::<Vec<f32>>()
        };
        (0..config().heads).flat_map(|index| head(index * size)).collect()
    };
    q.iter().map(row).collect()
}

/// GELU by the series of erf (Abramowitz and Stegun 7.1.6), which has no approximation in common with the one under test.
fn gelu(x: f32) -> f32 {
    let z = f64::from(x) / std::f64::consts::SQRT_2;
    let (mut term, mut sum) = (z, z);
    for n in 1..200 {
        term *= 2.0 * z * z / f64::from(2 * n + 1);
        sum += term;
    }
    let erf = std::f64::consts::FRAC_2_SQRT_PI * (-z * z).exp() * sum;
    (f64::from(x) * 0.5 * (1.0 + erf)) as f32
}

fn reference(tensors: &Tensors, ids: &[u32]) -> Vec<f32> {
    let hidden = config().hidden;
    let embedding =
        |name: &str, row: usize| &tensors[&format!("bert.embeddings.{name}.weight")][row * hidden..][..hidden];
    let rows = |row: &dyn Fn(usize) -> Vec<f32>| (0..ids.len()).map(row).collect::<Vec<_>>();
    let words = rows(&|token| embedding("word_embeddings", ids[token] as usize).to_vec());
    let positions = rows(&|token| {
        let pairs = embedding("position_embeddings", token).iter().zip(embedding("token_type_embeddings", 0));
        pairs.map(|(position, kind)| position + kind).collect()
    });
    let mut x = add_norm(tensors, "bert.embeddings", &words, &positions);
    for layer in (0..config().layers).map(|layer| format!("bert.encoder.layer.{layer}")) {
        let [q, k, v] =
            ["query", "key", "value"].map(|part| linear(tensors, &format!("{layer}.attention.self.{part}"), &x));
        let attended = linear(tensors, &format!("{layer}.attention.output.dense"), &attention(&q, &k, &v));
        x = add_norm(tensors, &format!("{layer}.attention.output"), &attended, &x);
        let mut inner = linear(tensors, &format!("{layer}.intermediate.dense"), &x);
        inner.iter_mut().flatten().for_each(|value| *value = gelu(*value));
        x = add_norm(
            tensors,
            &format!("{layer}.output"),
            &linear(tensors, &format!("{layer}.output.dense"), &inner),
            &x,
        );
    }
    linear(tensors, "classifier", &x).concat()
}

/// A weight is rounded by up to 1/254 of the largest of its row and an activation of 8 bits by up to 1/510 of its token's range, about a
/// hundredth of the typical weight or activation each. That is what the logits, of a spread of about 1, may differ by typically;
/// the worst of a thousand may differ by four times as much.
#[test]
fn logits_are_those_of_full_precision_but_for_the_rounding() {
    let tensors = tensors();
    for (levels, tokens) in
        [Levels::Bits8, Levels::Bits12].into_iter().flat_map(|l| [1, 9, 32, 97, 130].map(|t| (l, t)))
    {
        let encoder = encoder(&tensors).unwrap().with_levels(levels);
        let (ours, want) = (
            encoder.logits(&ids(tokens), &mut Scratch::default()).unwrap().to_vec(),
            reference(&tensors, &ids(tokens)),
        );
        assert_eq!(ours.len(), tokens * OUTPUTS);
        let root_mean_square =
            |values: Vec<f32>| (values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32).sqrt();
        let differences: Vec<f32> = ours.iter().zip(&want).map(|(ours, want)| ours - want).collect();
        let worst = differences.iter().fold(0f32, |worst, x| worst.max(x.abs()));
        let (typical, spread) = (root_mean_square(differences), root_mean_square(want));
        let about = format!("{tokens} word pieces differ by {typical}, at most {worst}, of a spread of {spread}");
        assert!(typical < 0.015 && worst < 0.06, "{levels:?}: {about}");
    }
}

#[test]
fn every_kernel_gives_the_same_logits_whatever_the_scratch_was_used_for() {
    let tensors = tensors();
    let want = encoder(&tensors).unwrap().logits(&ids(45), &mut Scratch::default()).unwrap().to_vec();
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
        let (encoder, mut scratch) = (encoder(&tensors).unwrap().with_kernel(kernel), Scratch::default());
        for other in [130, 0, 3] {
            encoder.logits(&ids(other), &mut scratch).unwrap();
            assert_eq!(encoder.logits(&ids(45), &mut scratch).unwrap(), want, "{kernel:?} after {other} word pieces");
        }
    }
}

#[test]
fn a_window_that_does_not_fit_is_an_error() {
    let (encoder, mut scratch) = (encoder(&tensors()).unwrap(), Scratch::default());
    let error = encoder.logits(&ids(131), &mut scratch).unwrap_err();
    assert_eq!(error, EncoderError::TooLong { tokens: 131, positions: 130 });
    let error = encoder.logits(&[3, 50, 2], &mut scratch).unwrap_err();
    assert_eq!(error, EncoderError::Vocabulary { id: 50, vocabulary: 50 });
    assert_eq!(encoder.logits(&[], &mut scratch).unwrap(), &[] as &[f32]);
}

#[test]
fn weights_that_cannot_be_used_are_named() {
    for tensor in tensors().keys() {
        let check = |change: &dyn Fn(&mut Tensors), want: EncoderError| {
            let mut tensors = tensors();
            change(&mut tensors);
            assert_eq!(encoder(&tensors).err(), Some(want));
        };
        let named = || tensor.clone();
        check(&|tensors| drop(tensors.remove(tensor)), EncoderError::Missing { tensor: named() });
        for value in [f32::NAN, f32::INFINITY] {
            let change = |tensors: &mut Tensors| *tensors.get_mut(tensor).unwrap().last_mut().unwrap() = value;
            check(&change, EncoderError::NotFinite { tensor: named() });
        }
        let values = tensors()[tensor].len() + 1;
        let expected = if tensor.contains("token_type") { config().hidden } else { values - 1 };
        let longer = |tensors: &mut Tensors| tensors.get_mut(tensor).unwrap().push(0.0);
        check(&longer, EncoderError::Length { tensor: named(), values, expected });
    }
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let check = |config: EncoderConfig| {
        let tensors = tensors();
        let error = Encoder::new(config, OUTPUTS, |name| tensors.get(name).cloned()).err();
        assert!(matches!(error, Some(EncoderError::Config(_))), "{error:?}");
    };
    check(EncoderConfig { heads: 0, ..config() });
    check(EncoderConfig { heads: 5, ..config() });
    check(EncoderConfig { hidden: 0, ..config() });
    check(EncoderConfig { layer_norm_eps: f32::NAN, ..config() });
}
