//! Training on the processor: word pieces a second of a pass (forward, backward, AdamW), with the shape of the default student.
//!
//!     STILLROOM_CORPORA=FOLDER cargo run --release --example figures -- training [DOCUMENTS]
//!
//! Documents are drawn evenly from all `FOLDER/*/train.jsonl`. With `STILLROOM_WORKLOAD=FILE` the windows are also written there, for
//! `training.py`, which tells what torch makes of the same word pieces on the same machine.

use crate::support;
use anyhow::{Context, Result};
use std::path::Path;
use stillroom_connectors::GoldDocuments;
use stillroom_schemas::Task;
use stillroom_student::{Corpus, DataFile, Device, Document, Progress, Recipe, TrainConfig, train};

const ROUNDS: usize = 3;

pub(crate) fn run_all(numbers: &[u64]) -> Result<()> {
    let documents = documents(numbers.first().copied().unwrap_or(120) as usize)?;
    let tokenizer = support::tokenizer()?;
    let mut windows = Vec::new();
    for document in &documents {
        windows.extend(tokenizer.tokenize(&document.text)?.windows.into_iter().map(|window| window.ids));
    }
    let tokens: usize = windows.iter().map(Vec::len).sum();
    println!("{} windows, {tokens} word pieces, mean {}", windows.len(), tokens / windows.len().max(1));
    if let Some(path) = std::env::var_os("STILLROOM_WORKLOAD") {
        std::fs::write(path, serde_json::to_vec(&windows)?)?;
    }
    let file = DataFile { name: "drawn".into(), hash: String::new(), documents: documents.len() };
    let corpora = [Corpus { file, documents }];
    let kinds = [("all layers", 0), ("three layers and the embeddings frozen", 3)];
    let mut rounds = kinds.map(|_| (Vec::new(), 0));
    for _ in 0..ROUNDS {
        for ((_, freeze), (rates, peak)) in kinds.iter().zip(&mut rounds) {
            support::forget_peak()?;
            rates.push(pass(&corpora, *freeze)?);
            *peak = support::peak()?.max(*peak);
        }
    }
    for ((name, _), (rates, peak)) in kinds.iter().zip(&mut rounds) {
        rates.sort_by(f64::total_cmp);
        let (median, least, most) = (rates[ROUNDS / 2], rates[0], rates[ROUNDS - 1]);
        let mib = *peak >> 20;
        println!("{name}: {median:.0} word pieces/s ({least:.0} to {most:.0}); peak of the process {mib} MiB");
    }
    Ok(())
}

/// Word pieces a second of one pass.
fn pass(corpora: &[Corpus], freeze: usize) -> Result<f64> {
    let out = std::env::temp_dir().join(format!("stillroom-training-{}", std::process::id()));
    let config = TrainConfig {
        base: support::student(),
        out: out.clone(),
        device: Device::default(),
        name: "figure".into(),
        command: "figures training".into(),
        tasks: Task::ALL.to_vec(),
        recipe: Recipe {
            learning_rate: 1.5e-4,
            head_rate_factor: 10.0,
            epochs: 1,
            linear_decay: true,
            freeze,
            ..Recipe::default()
        },
        patience: 1,
        dev_documents_max: 0,
        teachers: Vec::new(),
        threads: support::cores(),
    };
    let mut rate = 0.0;
    let trained = train(&config, corpora, &[], &mut |progress| {
        if let Progress::Step { tokens_per_second, .. } = progress {
            rate = tokens_per_second;
        }
    });
    std::fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
    trained?;
    Ok(rate)
}

/// `count` documents, evenly drawn from all training files.
fn documents(count: usize) -> Result<Vec<Document>> {
    let folder = std::env::var("STILLROOM_CORPORA").context("name the folder of corpora in STILLROOM_CORPORA")?;
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let mut files: Vec<_> = entries.map(|entry| Ok(entry?.path().join("train.jsonl"))).collect::<Result<_>>()?;
    files.retain(|path| path.exists());
    files.sort();
    let mut documents = Vec::new();
    for path in &files {
        documents.extend(read(path)?);
    }
    let every = (documents.len() / count.max(1)).max(1);
    Ok(documents.into_iter().step_by(every).take(count).collect())
}

fn read(path: &Path) -> Result<Vec<Document>> {
    GoldDocuments::open(path)?
        .map(|gold| {
            let gold = gold?;
            Ok(Document { id: gold.id, text: gold.text, tasks: gold.tasks, spans: gold.spans, soft: gold.soft })
        })
        .collect()
}
