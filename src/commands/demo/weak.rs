//! The weak student of a demo: weakened on purpose, so that there is something to learn.
//!
//! It has the embeddings and the first layers of a better one, and new heads, which begin at random and learn from as
//! few notes as one reads over a coffee. These are notes that the demo does not stream.

use crate::config::Config;
use crate::generator::annotated_notes;
use crate::training::{corpus_of, train_student, training_device};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stillroom_dataflow::SoftSpans;
use stillroom_schemas::{Note, Span, Task, TaskSet};
use stillroom_student::{BertConfig, Document, Precision, Recipe, TrainConfig, base_files};

/// Its name, and that of its folder.
pub(super) const NAME: &str = "weak";

/// Layers that it keeps, if there are so many.
pub(super) const LAYERS: usize = 2;

/// Notes that its heads learn from, and as many by which their thresholds are chosen.
const NOTES: u64 = 4;

/// Passes over them.
const PASSES: usize = 4;

/// Its folder, by a demo's configuration.
pub(super) fn folder(config: &Config) -> PathBuf {
    config.log.dir.join(NAME)
}

/// Makes it in the folder of the demo, unless it is there.
///
/// # Errors
/// When the better student cannot be read, or the folder cannot be written.
pub(super) fn make(model: &Path, dir: &Path, seed: u64) -> Result<()> {
    let out = dir.join(NAME);
    // The manifest is written last, and then the checkpoint goes.
    if out.join("manifest.json").exists() && !out.join("checkpoint").exists() {
        return Ok(());
    }
    let base = dir.join(format!("{NAME}-base"));
    let layers = cut(model, &base)?;
    eprintln!(
        "a weak student is made on purpose: the first {layers} layers of {}, with new heads that see {NOTES} notes",
        model.display()
    );
    // Another seed's, none of which is in the stream.
    let documents: Vec<Document> = annotated_notes(!seed, 2 * NOTES).map(document).collect();
    let (train, dev) = documents.split_at(NOTES as usize);
    let config = TrainConfig {
        base,
        out,
        name: NAME.to_owned(),
        command: format!("stillroom demo --seed {seed}"),
        tasks: Task::ALL.to_vec(),
        recipe: Recipe {
            learning_rate: 5e-4,
            head_rate_factor: 10.0,
            batch: 1,
            epochs: PASSES,
            linear_decay: true,
            freeze: layers,
            ..Recipe::default()
        },
        patience: PASSES,
        dev_documents_max: NOTES as usize,
        teachers: Vec::new(),
        threads: 1,
        device: training_device("cpu", Precision::Auto)?,
    };
    let train = corpus_of("demo/train".to_owned(), train.to_vec())?;
    let dev = corpus_of("demo/dev".to_owned(), dev.to_vec())?;
    train_student(&config, &[train], &[dev])?;
    Ok(())
}

fn document((note, spans): (Note, Vec<Span>)) -> Document {
    Document { id: note.note_id, text: note.text, tasks: TaskSet::from(Task::ALL), spans, soft: SoftSpans::new() }
}

/// Copies a student without its heads and without its last layers, as a base; the layers that it has then. The weights
/// of the others stay in the file, where nobody reads them.
///
/// # Errors
/// When it cannot be read, or the copy not be written.
fn cut(model: &Path, base: &Path) -> Result<usize> {
    let config = BertConfig::load(model)?;
    let layers = config.num_hidden_layers.min(LAYERS);
    let about = |path: &Path| format!("cannot write {}", path.display());
    std::fs::create_dir_all(base).with_context(|| about(base))?;
    for path in base_files(model)? {
        let copy = base.join(path.file_name().unwrap_or_default());
        std::fs::copy(&path, &copy).with_context(|| about(&copy))?;
    }
    // Without names of its outputs it has no head that could be learned on.
    let config = BertConfig { num_hidden_layers: layers, id2label: BTreeMap::new(), ..config };
    let path = base.join("config.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&config)?).with_context(|| about(&path))?;
    Ok(layers)
}
