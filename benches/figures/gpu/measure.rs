//! One measurement each.

use super::Subject;
use super::made_up;
use super::report::Report;
use crate::engine::{Silent, fill, log_in, parts};
use crate::student::{batches, tag};
use crate::support;
use anyhow::{Context, Result};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use stillroom::engine::{EngineConfig, run};
use stillroom_dataflow::{Students, Tagger, TaggerFactory, TaggerPool, Window};
use stillroom_schemas::Task;
use stillroom_student::{Device, GpuConfig, Precision, Progress, Recipe, Student, TrainConfig, train};

/// The windows that are compared with the processor, which takes seconds for a hundred.
const PARITY_WINDOWS: usize = 64;

/// Windows one after the other, for latency.
const LATENCY_WINDOWS: usize = 300;

/// Goals for BERT base in half precision on an H200, a second. The roof has a goal too, of one half.
const GOAL_PIECES: f64 = 2.2e6;
const GOAL_NOTES: f64 = 700.0;

/// Notes a second of the student of the published study: 0.14 s each (Vedula et al., arXiv 2501.00031).
const STUDY_NOTES: f64 = 7.0;

/// What is measured on, and until when.
pub(crate) struct Bench {
    pub(crate) windows: Vec<Window>,
    pub(crate) lengths: Vec<usize>,
    pub(crate) notes: usize,
    /// The length of a measurement of speed.
    pub(crate) round: Duration,
    /// Nothing is begun after it.
    pub(crate) end: Instant,
    /// Word pieces that are computed at once where nothing else is said.
    pub(crate) pieces_max: usize,
    pub(crate) indices: Vec<usize>,
    pub(crate) on_gpu: bool,
}

impl Bench {
    /// Whether there is time for more; says so if there is not.
    fn has_time(&self, what: &str, report: &mut Report) -> bool {
        let has_time = Instant::now() < self.end;
        if !has_time {
            report.say(format!("left out for want of time: {what}"));
        }
        has_time
    }

    fn taggers(&self, subject: &Subject, config: &GpuConfig) -> Result<Vec<Box<dyn Tagger>>> {
        Ok(Student::taggers(std::slice::from_ref(&subject.student), self.tagging_on(config), 1)?)
    }

    /// Word pieces and notes a second, the share of the roof, the latency of a note alone, memory and the time to warm up.
    pub(crate) fn speed(&self, subject: &Subject, config: &GpuConfig, report: &mut Report) -> Result<()> {
        let of = format!("{} {}, {} pieces at once", subject.name, config.precision, config.pieces_max);
        if !self.has_time(&of, report) {
            return Ok(());
        }
        let began = Instant::now();
        let mut taggers = self.taggers(subject, config)?;
        let warm = began.elapsed().as_secs_f64();
        let rate = self.rate(&mut taggers, config);
        let pieces = self.lengths.iter().sum::<usize>() as f64;
        let notes = rate * self.notes as f64 / pieces;
        // The mean over word pieces, not windows, of the length of their window.
        let length = self.lengths.iter().map(|length| (length * length) as f64).sum::<f64>() / pieces;
        let mut figures = vec![
            ("word pieces/s", rate),
            ("notes/s", notes),
            ("TFLOP/s", rate * subject.sizes.operations(length) / 1e12),
        ];
        let devices = (taggers.len() as f64 / 2.0).max(1.0);
        if let Some(roof) = roof(config.precision, &self.indices) {
            figures.push(("% of the roof", 100.0 * rate * subject.sizes.operations(length) / (roof * devices)));
        }
        if self.has_goals(subject, config) {
            figures.extend(shares_of_goals(rate / devices, notes / devices));
        }
        let (half, most) = self.latency(taggers[0].as_mut())?;
        if taggers.len() > 1 {
            figures.push(("word pieces/s of one tagger alone", self.rate(&mut taggers[..1], config)));
        }
        figures.extend([("p50 ms", half), ("p99 ms", most), ("warm-up s", warm)]);
        figures.extend(gpu_memory(self.on_gpu).map(|mib| ("GPU MiB", mib)));
        report.row("speed", &of, &figures);
        Ok(())
    }

    /// Word pieces a second of taggers together, over a stream of batches as long as a measurement.
    fn rate(&self, taggers: &mut [Box<dyn Tagger>], config: &GpuConfig) -> f64 {
        let batches = batches(&self.windows, config.pieces_max);
        let began = Instant::now();
        let first = &batches[..batches.len().min(4)];
        tag(taggers, first);
        let rounds =
            self.round.as_secs_f64() / began.elapsed().as_secs_f64() * first.len() as f64 / batches.len() as f64;
        let rounds = (rounds.ceil() as usize).clamp(1, 1000);
        let stream: Vec<_> = batches.iter().cycle().take(rounds * batches.len()).cloned().collect();
        let pieces = self.lengths.iter().sum::<usize>();
        (rounds * pieces) as f64 / tag(taggers, &stream)
    }

    /// Whether goals were set for what is measured.
    fn has_goals(&self, subject: &Subject, config: &GpuConfig) -> bool {
        self.on_gpu && subject.name == "base" && config.precision != Precision::F32
    }

    /// Milliseconds of a window alone, p50 and p99.
    fn latency(&self, tagger: &mut dyn Tagger) -> Result<(f64, f64)> {
        let count = if self.on_gpu { LATENCY_WINDOWS } else { 10 };
        let mut took = Vec::with_capacity(count);
        for window in self.windows.iter().cycle().take(count) {
            let began = Instant::now();
            tagger.tag(&[window])?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
        Ok((at(0.5), at(0.99)))
    }

    /// Agreement with the processor in `f32`.
    pub(crate) fn parity(&self, subject: &Subject, precisions: &[Precision], report: &mut Report) -> Result<()> {
        if !self.has_time(&format!("parity of {}", subject.name), report) {
            return Ok(());
        }
        let windows: Vec<&Window> = self.windows.iter().take(PARITY_WINDOWS).collect();
        let students = std::slice::from_ref(&subject.student);
        let exact = Student::taggers(students, Device::Cpu(Precision::F32), 1)?.remove(0).tag(&windows)?.concat();
        for &precision in precisions {
            let config = self.config(precision, self.pieces_max);
            let said = self.taggers(subject, &config)?.remove(0).tag(&windows)?.concat();
            let of = format!("{} {precision}", subject.name);
            report.row("parity with f32 on the processor", &of, &agreement(&said, &exact, &subject.student));
        }
        Ok(())
    }

    /// The whole engine on a folder: a backlog of notes, tokenized, tagged and committed.
    pub(crate) fn pipeline(&self, subject: &Subject, precision: Precision, report: &mut Report) -> Result<()> {
        if !self.has_time(&format!("the engine with {}", subject.name), report) {
            return Ok(());
        }
        let workers = support::cores().div_ceil(2);
        let usual = if self.on_gpu { EngineConfig::for_gpu() } else { EngineConfig::default() };
        let engine = EngineConfig { workers, ..usual };
        let taggers = self.taggers(subject, &self.config(precision, self.pieces_max))?;
        let factory = |tagger| Box::new(move || Ok(tagger)) as TaggerFactory;
        let factories = taggers.into_iter().map(factory).collect();
        let folder = tempfile::tempdir()?;
        let log = log_in(folder.path(), &engine)?;
        fill(&log, &engine, self.notes as u64)?;
        let mut parts = parts(&log, &engine, |log| log.bounded(), Silent)?;
        parts.students = Students::only(TaggerPool::start(factories, engine.batches_open_max)?);
        let began = Instant::now();
        let progress = run(&engine, parts, Arc::new(AtomicBool::new(false)))?;
        let rate = progress.totals.notes as f64 / began.elapsed().as_secs_f64();
        let of = format!("{} {precision}, {workers} workers, {} notes", subject.name, progress.totals.notes);
        report.row("the whole engine", &of, &[("notes/s", rate)]);
        Ok(())
    }

    /// Training from the student's weights: word pieces a second in the second half of the steps.
    pub(crate) fn training(&self, subject: &Subject, precision: Precision, report: &mut Report) -> Result<()> {
        let of = format!("{} {precision}, batch 16", subject.name);
        if !self.has_time(&format!("training {of}"), report) {
            return Ok(());
        }
        let out = tempfile::tempdir()?;
        let notes = self.notes.min(400);
        let (corpus, dev) = (made_up::corpus(notes), made_up::corpus(notes.min(4)));
        let recipe = Recipe { batch: 16, epochs: 1, ..Recipe::default() };
        let config = TrainConfig {
            base: subject.folder.clone(),
            out: out.path().join("student"),
            name: "bench".into(),
            command: "bench".into(),
            tasks: subject.student.tasks().to_vec(),
            recipe,
            patience: 1,
            dev_documents_max: 4,
            teachers: Vec::new(),
            threads: 1,
            device: self.training_on(&self.config(precision, self.pieces_max)),
        };
        let (began, mut half, mut last) = (Instant::now(), (0.0, 0.0), (0.0, 0.0));
        train(&config, &[corpus], &[dev], &mut |progress| {
            if let Progress::Step { step, steps, tokens_per_second, .. } = progress {
                let seconds = began.elapsed().as_secs_f64();
                last = (seconds, seconds * tokens_per_second);
                if step <= steps / 2 {
                    half = last;
                }
            }
        })?;
        let rate = (last.1 - half.1) / (last.0 - half.0);
        report.row("training", &of, &[("word pieces/s", rate)]);
        Ok(())
    }
}

/// Operations a second that the devices could do at most in dense products of a precision; of one device, if it is known.
///
/// NVIDIA's data sheets: H100 SXM and H200 989 TFLOP/s in BF16 and FP16 without sparsity.
fn roof(precision: Precision, indices: &[usize]) -> Option<f64> {
    let name = stillroom_student::gpus(indices).ok()?.first()?.name.clone();
    let is_hopper = name.contains("H200") || (name.contains("H100") && !name.contains("PCIe") && !name.contains("NVL"));
    let is_half = matches!(precision, Precision::Bf16 | Precision::F16);
    (is_hopper && is_half).then_some(989e12)
}

/// What word pieces and notes a second of a device are of the goals, and of the study.
fn shares_of_goals(pieces: f64, notes: f64) -> [(&'static str, f64); 3] {
    [
        ("% of the goal of 2.2 million word pieces/s", 100.0 * pieces / GOAL_PIECES),
        ("% of the goal of 700 notes/s", 100.0 * notes / GOAL_NOTES),
        ("times the 7 notes/s of the study", notes / STUDY_NOTES),
    ]
}

/// Differences of probabilities and of their log odds, and tags that change.
fn agreement(said: &[OfWord], exact: &[OfWord], student: &Student) -> Vec<(&'static str, f64)> {
    let (thresholds, mut sum, mut most, mut odds, mut changed) = (student.thresholds(), 0.0, 0f64, 0f64, 0usize);
    for (said, exact) in said.iter().zip(exact) {
        for task in 0..thresholds.len() {
            let apart = f64::from((said[task] - exact[task]).abs());
            (sum, most) = (sum + apart, most.max(apart));
            let log_odds = |p: f32| (f64::from(p) / (1.0 - f64::from(p))).ln();
            let apart = (log_odds(said[task]) - log_odds(exact[task])).abs();
            // Near 0 and 1 a probability has no digits left for its odds.
            if (0.001..0.999).contains(&exact[task]) && apart.is_finite() {
                odds = odds.max(apart);
            }
            changed += usize::from((said[task] >= thresholds[task]) != (exact[task] >= thresholds[task]));
        }
    }
    let tags = (exact.len() * thresholds.len()) as f64;
    vec![
        ("mean difference of a probability", sum / tags),
        ("most", most),
        ("most of the log odds", odds),
        ("tags", tags),
        ("tags that change", changed as f64),
    ]
}

/// The probabilities of a word.
type OfWord = [f32; Task::ALL.len()];

/// Memory that is taken on the first GPU, in MiB, if `nvidia-smi` tells.
fn gpu_memory(on_gpu: bool) -> Option<f64> {
    if !on_gpu {
        return None;
    }
    let asked = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"];
    let output = Command::new("nvidia-smi").args(asked).output().context("no nvidia-smi").ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
