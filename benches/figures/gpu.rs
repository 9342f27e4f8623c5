//! Students on a GPU: word pieces and notes a second, latency, memory, the share of the roof, agreement with `f32` on the processor,
//! the whole engine, and training. `benches/gpu` calls it, and PyTorch after it on the same windows.
//!
//!     cargo run --release --features cuda --example figures -- gpu --device cuda:0 --seconds 400 --out /tmp/gpu
//!
//! What matters most is measured first, and every row is printed as it is there, so that a run that is cut off leaves the first rows.
//! With `--device cpu` the same program runs on the processor, on tiny students unless `--students` names others: that says whether the bench works, and nothing of speed.

mod made_up;
mod measure;
mod report;

use crate::support;
use anyhow::{Context, Result, bail};
use clap::Parser;
use made_up::Sizes;
use measure::Bench;
use report::Report;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stillroom_dataflow::Window;
use stillroom_student::{Device, GpuConfig, Precision, Student, cuda_indices, gpus};

/// What to measure, and where.
#[derive(Parser)]
#[command(name = "figures gpu", no_binary_name = true)]
struct Options {
    /// cuda, cuda:0 or cuda:0,cuda:1, or cpu for a look at whether the bench works.
    #[arg(long, default_value = "cuda")]
    device: String,
    /// Seconds after which nothing more is begun.
    #[arg(long, default_value_t = 400)]
    seconds: u64,
    /// A folder for `gpu.json`, or `gpu-training.json` of training alone, `windows.json` and made-up students.
    #[arg(long, default_value = "target/gpu-figures")]
    out: PathBuf,
    /// Notes of the demo to read; their windows are read again and again.
    #[arg(long, default_value_t = 2000)]
    notes: usize,
    /// Seconds of each measurement of speed.
    #[arg(long, default_value_t = 3.0)]
    round: f64,
    /// Students in the order in which they are measured: base and tiny (random weights), minilm (the one that comes with stillroom).
    #[arg(long, value_delimiter = ',')]
    students: Vec<String>,
    /// What to measure; all unless it is said.
    #[arg(long, value_delimiter = ',', value_parser = ["speed", "engine", "parity", "training"])]
    only: Vec<String>,
}

/// A student and the size of its network.
pub(crate) struct Subject {
    name: String,
    student: Student,
    sizes: Sizes,
    folder: PathBuf,
}

pub(crate) fn run_all(arguments: &[String]) -> Result<()> {
    let options = Options::try_parse_from(arguments)?;
    std::fs::create_dir_all(&options.out).with_context(|| format!("cannot create {}", options.out.display()))?;
    let indices = cuda_indices(&options.device).map_err(anyhow::Error::msg)?;
    let name = ["gpu"].into_iter().chain(options.only.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
    let mut report = Report::begin(&options.out.join(format!("{name}.json")), options.device.clone());
    report.say(format!("training by burn 0.21.0, cubecl 0.10.0; {}", support::machine()));
    if let Some(indices) = &indices {
        for gpu in gpus(indices)? {
            report.say(format!(
                "cuda:{} {}, {} MiB, driver for CUDA {}.{}",
                gpu.index,
                gpu.name,
                gpu.memory_bytes >> 20,
                gpu.cuda_version / 1000,
                gpu.cuda_version % 1000 / 10
            ));
        }
    }
    let windows = windows(options.notes)?;
    let lengths: Vec<usize> = windows.iter().map(|window| window.ids.len()).collect();
    let ids: Vec<&[u32]> = windows.iter().map(|window| window.ids.as_slice()).collect();
    std::fs::write(options.out.join("windows.json"), serde_json::to_vec(&ids)?)?;
    report.say(format!(
        "{} notes of the demo, {} windows, {} word pieces",
        options.notes,
        windows.len(),
        lengths.iter().sum::<usize>()
    ));
    let bench = Bench {
        windows,
        lengths,
        notes: options.notes,
        round: Duration::from_secs_f64(options.round),
        end: Instant::now() + Duration::from_secs(options.seconds),
        on_gpu: indices.is_some(),
        pieces_max: if indices.is_some() { GpuConfig::default().pieces_max } else { 512 },
        indices: indices.unwrap_or_default(),
    };
    let subjects = subjects(&options, bench.on_gpu)?;
    plan(&bench, &subjects, &options.only, &mut report)?;
    report.end();
    Ok(())
}

/// Every measurement that is asked for, the most important first.
fn plan(bench: &Bench, subjects: &[Subject], only: &[String], report: &mut Report) -> Result<()> {
    let (first, others): (Precision, &[Precision]) = match bench.on_gpu {
        true => (Precision::Bf16, &[Precision::F16, Precision::F32]),
        false => (Precision::Int8, &[Precision::F32]),
    };
    let budgets: &[usize] = if bench.on_gpu { &[131_072, 65_536, 16_384, 8192] } else { &[1024] };
    let usual = bench.pieces_max;
    let is_asked = |what: &str| only.is_empty() || only.iter().any(|one| one == what);
    let speeds = |subject: &Subject, configs: &[(Precision, usize)], report: &mut Report| {
        configs
            .iter()
            .filter(|_| is_asked("speed"))
            .try_for_each(|&(precision, pieces_max)| bench.speed(subject, &bench.config(precision, pieces_max), report))
    };
    for subject in subjects {
        speeds(subject, &[(first, usual)], report)?;
    }
    for subject in subjects.iter().filter(|_| is_asked("engine")) {
        bench.pipeline(subject, first, report)?;
    }
    for subject in subjects.iter().filter(|_| is_asked("parity")) {
        bench.parity(subject, &[&[first], others].concat(), report)?;
    }
    for subject in subjects {
        speeds(subject, &others.iter().map(|&precision| (precision, usual)).collect::<Vec<_>>(), report)?;
        speeds(subject, &budgets.iter().map(|&pieces_max| (first, pieces_max)).collect::<Vec<_>>(), report)?;
    }
    for subject in subjects.iter().filter(|_| is_asked("training")) {
        for precision in [Precision::Bf16, Precision::F32] {
            bench.training(subject, precision, report)?;
        }
    }
    Ok(())
}

/// The students that are asked for.
fn subjects(options: &Options, on_gpu: bool) -> Result<Vec<Subject>> {
    let usual = if on_gpu { ["base", "minilm"].as_slice() } else { ["tiny"].as_slice() };
    let names = if options.students.is_empty() {
        usual.iter().map(|name| (*name).to_owned()).collect()
    } else {
        options.students.clone()
    };
    let subject = |name: String| {
        let sizes = match name.as_str() {
            "base" => Sizes::BASE,
            "minilm" => Sizes::MINILM,
            "tiny" => Sizes::TINY,
            _ => bail!("{name} is no student of this bench; name base, minilm or tiny"),
        };
        let folder = if name == "minilm" { support::student() } else { options.out.join(&name) };
        if name != "minilm" {
            made_up::write_student(&folder, sizes)?;
        }
        let student = Student::load(&folder)?;
        Ok(Subject { name, student, sizes, folder })
    };
    names.into_iter().map(subject).collect()
}

fn windows(notes: usize) -> Result<Vec<Window>> {
    let tokenizer = support::tokenizer()?;
    let mut windows = Vec::new();
    for note in support::notes(notes) {
        windows.extend(tokenizer.tokenize(&note.text)?.windows);
    }
    Ok(windows)
}

impl Bench {
    fn config(&self, precision: Precision, pieces_max: usize) -> GpuConfig {
        GpuConfig { indices: self.indices.clone(), precision, pieces_max }
    }

    fn tagging_on(&self, config: &GpuConfig) -> Device {
        if self.on_gpu { Device::Cuda(config.clone()) } else { Device::Cpu(config.precision) }
    }

    fn training_on(&self, config: &GpuConfig) -> Device {
        if self.on_gpu { Device::Cuda(config.clone()) } else { Device::Padded(config.clone()) }
    }
}
