//! What the kernels reach on this machine: the product by shape and kernel, and an encoder of MiniLM's shape by window length.
//!
//!     cargo run --release -p stillroom-encoder --example kernels [-- KERNEL]
//!
//! With `KERNEL`, `Vnni512` for example, only the encoder by that kernel. Weights are random, which changes nothing for the time. Figures are medians of several rounds.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::hint::black_box;
use std::time::Instant;
use stillroom_encoder::{After, Encoder, EncoderConfig, Kernel, Levels, Matrix, Quantised, Scratch};

const ROUNDS: usize = 7;
/// A round is at least this long.
const SECONDS_MIN: f64 = 0.1;

fn main() {
    let only = std::env::args().nth(1);
    if only.is_none() {
        products();
    }
    println!("encoder of 6 x 384, word pieces/s, one window at a time on each thread");
    println!("{:>10} {:>10} {:>10} {:>12} {:>12}", "kernel", "levels", "length", "1 thread", "2 threads");
    let wanted = |kernel: &Kernel| only.as_ref().is_none_or(|only| *only == format!("{kernel:?}"));
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()).filter(wanted) {
        for levels in [Levels::Bits8, Levels::Bits12] {
            let encoder = minilm().with_kernel(kernel).with_levels(levels);
            for length in [32, 128, 208, 512] {
                let [one, two] = [1, 2].map(|threads| encode(&encoder, length, threads));
                let names = (format!("{kernel:?}"), format!("{levels:?}"));
                println!("{:>10} {:>10} {length:>10} {one:>12.0} {two:>12.0}", names.0, names.1);
            }
        }
    }
}

fn products() {
    println!("product on one thread, GFLOP/s (a multiplication and an addition are two)");
    println!("{:>22} {}", "tokens x in x out", Kernel::ALL.map(|kernel| format!("{kernel:?}").pad()).concat());
    for (inputs, outputs) in [(384, 384), (384, 1536), (1536, 384), (768, 768), (768, 3072), (3072, 768)] {
        for tokens in [32, 208, 512] {
            let rates = Kernel::ALL.map(|kernel| match kernel.is_available() {
                true => format!("{:.0}", product(kernel, [tokens, inputs, outputs])).pad(),
                false => "-".to_owned().pad(),
            });
            println!("{:>22} {}", format!("{tokens} x {inputs} x {outputs}"), rates.concat());
        }
    }
    println!();
}

trait Pad {
    fn pad(&self) -> String;
}

impl Pad for String {
    fn pad(&self) -> String {
        format!("{self:>10}")
    }
}

/// How often `work` is done in a second: the median of several rounds, after one that warms up.
fn rate(mut work: impl FnMut()) -> f64 {
    let mut round = |times: usize| {
        let began = Instant::now();
        (0..times).for_each(|_| work());
        began.elapsed().as_secs_f64()
    };
    let mut times = 1;
    while round(times) < SECONDS_MIN {
        times *= 2;
    }
    let mut seconds: Vec<f64> = (0..ROUNDS).map(|_| round(times)).collect();
    seconds.sort_by(f64::total_cmp);
    times as f64 / seconds[ROUNDS / 2]
}

fn random(count: usize) -> Vec<f32> {
    let mut random = SmallRng::seed_from_u64(count as u64);
    (0..count).map(|_| random.random_range(-0.05..0.05)).collect()
}

fn product(kernel: Kernel, [tokens, inputs, outputs]: [usize; 3]) -> f64 {
    let matrix = Matrix::pack(&random(inputs * outputs), &random(outputs));
    let mut x = Quantised::default();
    x.reserve(tokens, inputs, Levels::Bits8);
    random(tokens * inputs).chunks_exact(inputs).enumerate().for_each(|(token, values)| x.set(token, values));
    let mut out = vec![0.0; tokens * outputs];
    let work = || matrix.product(kernel, (black_box(&x), 0), After::Write, black_box(&mut out));
    rate(work) * 2e-9 * (tokens * inputs * outputs) as f64
}

fn minilm() -> Encoder {
    let (hidden, intermediate, vocabulary, positions) = (384, 1536, 30522, 512);
    let config =
        EncoderConfig { hidden, layers: 6, heads: 12, intermediate, layer_norm_eps: 1e-12, vocabulary, positions };
    let values = |name: &str| match name {
        "bert.embeddings.word_embeddings.weight" => vocabulary * hidden,
        "bert.embeddings.position_embeddings.weight" => positions * hidden,
        "bert.embeddings.token_type_embeddings.weight" => 2 * hidden,
        "classifier.weight" => 6 * hidden,
        "classifier.bias" => 6,
        _ if name.ends_with("intermediate.dense.bias") => intermediate,
        _ if name.contains("LayerNorm") || name.ends_with("bias") => hidden,
        _ if name.contains("attention") => hidden * hidden,
        _ => hidden * intermediate,
    };
    Encoder::new(config, 6, |name| Some(random(values(name)))).expect("every tensor has its length")
}

fn encode(encoder: &Encoder, length: usize, threads: usize) -> f64 {
    let mut rates = vec![0.0; threads];
    std::thread::scope(|scope| {
        for (thread, one) in rates.iter_mut().enumerate() {
            scope.spawn(move || {
                let mut random = SmallRng::seed_from_u64(thread as u64);
                let ids: Vec<u32> = (0..length).map(|_| random.random_range(0..30522)).collect();
                let mut scratch = Scratch::default();
                *one = rate(|| {
                    black_box(encoder.logits(black_box(&ids), &mut scratch).expect("the window fits"));
                });
            });
        }
    });
    rates.iter().sum::<f64>() * length as f64
}
