//! The figures of `benches/README.md`: `cargo run --release --example figures -- engine`, `gpu`, `interpret`, `kafka`,
//! `parity`, `restart`, `sampling`, `score`, `student` or `training`, each with numbers of its own; `gpu` has options,
//! which `benches/gpu` gives it. `feed`, `pace` and `swap` are parts of `benches/end_to_end.py`.

mod engine;
mod feed;
mod gpu;
mod interpret;
mod kafka;
mod live;
mod parity;
mod sampling;
mod score;
mod student;
mod support;
mod training;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, numbers) = arguments.split_first().map_or(("", &[][..]), |(name, numbers)| (name.as_str(), numbers));
    if name == "gpu" {
        return gpu::run_all(numbers);
    }
    let numbers = numbers.iter().map(|number| Ok(number.parse()?)).collect::<Result<Vec<u64>>>()?;
    println!("{}", support::machine());
    match name {
        "engine" => engine::run_all(&numbers),
        "feed" => feed::run_all(&numbers),
        "interpret" => interpret::run_all(&numbers),
        "kafka" => kafka::run_all(&numbers),
        "pace" => live::pace(&numbers),
        "parity" => parity::run_all(),
        "restart" => kafka::restart(&numbers),
        "sampling" => sampling::run_all(),
        "score" => score::run_all(&numbers),
        "student" => student::run_all(&numbers),
        "swap" => live::swap(&numbers),
        "training" => training::run_all(&numbers),
        _ => bail!(
            "{name:?} is no group of figures; name engine, feed, gpu, interpret, kafka, pace, parity, restart, sampling, score, student, swap or training"
        ),
    }
}
