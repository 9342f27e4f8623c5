//! Students with random weights in the architecture of others, for speed alone, and documents to train on.

use crate::support;
use anyhow::{Context, Result};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use std::path::Path;
use stillroom_schemas::{Task, TaskSet};
use stillroom_student::{Corpus, DataFile, Document};

/// The sizes of a BERT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) intermediate: usize,
}

impl Sizes {
    /// BERT base.
    pub(crate) const BASE: Sizes = Sizes { layers: 12, hidden: 768, heads: 12, intermediate: 3072 };
    /// The student that comes with stillroom.
    pub(crate) const MINILM: Sizes = Sizes { layers: 6, hidden: 384, heads: 12, intermediate: 1536 };
    /// As small as makes sense, to see whether the bench runs.
    pub(crate) const TINY: Sizes = Sizes { layers: 2, hidden: 32, heads: 2, intermediate: 64 };

    /// Floating-point operations of a word piece among `length` of its window, a multiplication and an addition counted as two: in
    /// each layer four products of hidden by hidden, two of hidden by intermediate, and scores and context over the window.
    pub(crate) fn operations(self, length: f64) -> f64 {
        let (hidden, intermediate) = (self.hidden as f64, self.intermediate as f64);
        let a_layer = 8.0 * hidden * hidden + 4.0 * hidden * intermediate + 4.0 * hidden * length;
        self.layers as f64 * a_layer
    }

    /// Names and shapes of the matrices.
    fn matrices(self, vocabulary: usize) -> Vec<(String, [usize; 2])> {
        let Sizes { layers, hidden, intermediate, .. } = self;
        let embeddings = [("word", vocabulary), ("position", 512), ("token_type", 2)];
        let mut all: Vec<(String, [usize; 2])> = embeddings
            .map(|(name, rows)| (format!("bert.embeddings.{name}_embeddings.weight"), [rows, hidden]))
            .to_vec();
        for layer in 0..layers {
            let linear = [
                ("attention.self.query", [hidden, hidden]),
                ("attention.self.key", [hidden, hidden]),
                ("attention.self.value", [hidden, hidden]),
                ("attention.output.dense", [hidden, hidden]),
                ("intermediate.dense", [intermediate, hidden]),
                ("output.dense", [hidden, intermediate]),
            ];
            all.extend(linear.map(|(name, shape)| (format!("bert.encoder.layer.{layer}.{name}.weight"), shape)));
        }
        all.push(("classifier.weight".into(), [2 * Task::ALL.len(), hidden]));
        all
    }
}

/// Writes a student with random weights of BERT's spread (a standard deviation of 0.02) in 8 bits, as stillroom stores them, with the
/// tokenizer of the student that comes with it.
pub(crate) fn write_student(folder: &Path, sizes: Sizes) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let source = support::student();
    std::fs::copy(source.join("tokenizer.json"), folder.join("tokenizer.json"))
        .or_else(|_| std::fs::copy(source.join("vocab.txt"), folder.join("vocab.txt")))
        .context("the student that comes with stillroom has no tokenizer")?;
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(source.join("config.json"))?)?;
    config["num_hidden_layers"] = json!(sizes.layers);
    config["hidden_size"] = json!(sizes.hidden);
    config["num_attention_heads"] = json!(sizes.heads);
    config["intermediate_size"] = json!(sizes.intermediate);
    let vocabulary = config["vocab_size"].as_u64().context("config.json has no vocab_size")? as usize;
    std::fs::write(folder.join("config.json"), serde_json::to_vec_pretty(&config)?)?;

    let mut random = SmallRng::seed_from_u64(1);
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let floats = |values: Vec<f32>| values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let mut vector = |name: String, length: usize, value: f32| {
        tensors.push((name, Dtype::F32, vec![length], floats(vec![value; length])));
    };
    for (name, [rows, _]) in sizes.matrices(vocabulary) {
        // The deviation of a byte that is drawn evenly is 74.
        vector(format!("{name}_scale"), rows, 0.02 / 74.0);
        if !name.contains("embeddings") {
            vector(name.replace(".weight", ".bias"), rows, 0.0);
        }
    }
    let layers = (0..sizes.layers).flat_map(|layer| {
        ["attention.output", "output"].map(|block| format!("bert.encoder.layer.{layer}.{block}.LayerNorm"))
    });
    for norm in layers.chain(["bert.embeddings.LayerNorm".into()]) {
        vector(format!("{norm}.weight"), sizes.hidden, 1.0);
        vector(format!("{norm}.bias"), sizes.hidden, 0.0);
    }
    for (name, [rows, columns]) in sizes.matrices(vocabulary) {
        let bytes = (0..rows * columns).map(|_| random.random_range(-127i8..=127) as u8).collect();
        tensors.push((name, Dtype::I8, vec![rows, columns], bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors"))?;
    Ok(())
}

/// Notes as documents without a mention: for the speed of training it is all the same.
pub(crate) fn corpus(notes: usize) -> Corpus {
    let document = |note: stillroom_schemas::Note| Document {
        id: note.note_id.to_string(),
        text: note.text.to_string(),
        tasks: TaskSet::from(Task::ALL),
        spans: Vec::new(),
        soft: Default::default(),
    };
    let documents: Vec<Document> = support::notes(notes).into_iter().map(document).collect();
    let file = DataFile { name: "demo".into(), hash: "demo".into(), documents: documents.len() };
    Corpus { file, documents }
}
