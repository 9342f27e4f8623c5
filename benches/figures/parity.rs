//! How far the logits of models are from those of a reference, in `f32` and in 8 bits.
//!
//!     STILLROOM_BASES=FOLDER cargo run --release --example figures -- parity
//!
//! The folder has models with a `logits.json` each, as `bases.py` writes them.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::path::PathBuf;
use stillroom_student::{Precision, Student};

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    /// `[word pieces, outputs]`.
    logits: Vec<Vec<f32>>,
}

pub(crate) fn run_all() -> Result<()> {
    let bases =
        std::env::var_os("STILLROOM_BASES").context("STILLROOM_BASES is not set; python benches/bases.py sets it")?;
    let folders = std::fs::read_dir(bases)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    println!("| model | word pieces | largest logit | f32 | 8 bits |\n|---|---|---|---|---|");
    for folder in folders {
        let reference: Reference = serde_json::from_slice(&std::fs::read(folder.join("logits.json"))?)?;
        let student = Student::load(&folder)?;
        let texts: Vec<&[u32]> = reference.cases.iter().map(|case| case.ids.as_slice()).collect();
        let theirs: Vec<f32> = reference.cases.iter().flat_map(|case| case.logits.iter().flatten().copied()).collect();
        let distance = |precision| -> Result<f32> {
            let ours = student.logits(&texts, precision)?.concat();
            ensure!(ours.len() == theirs.len(), "{} has logits of another shape", folder.display());
            Ok(ours.iter().zip(&theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max))
        };
        let largest = theirs.iter().fold(0f32, |largest, logit| largest.max(logit.abs()));
        let (name, pieces) = (folder.file_name().unwrap_or_default().to_string_lossy(), texts.concat().len());
        let [full, eight_bit] = [distance(Precision::F32)?, distance(Precision::Int8)?];
        println!("| {name} | {pieces} | {largest:.2} | {full:.1e} | {eight_bit:.4} |");
    }
    Ok(())
}
