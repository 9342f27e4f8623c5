//! Training with a progress bar, and what it starts from: what `train` and `study` share.

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use stillroom_connectors::GoldDocument;
use stillroom_dataflow::Tokenizer;
use stillroom_hub::{Base, Hub, HubConfig};
use stillroom_student::{
    Corpus, DataFile, Device, Document, GpuConfig, Manifest, Precision, Progress, TrainConfig, cuda_indices, train,
};

/// Passes without a better F1 on dev after which training stops, where nothing is said.
pub(crate) const PATIENCE: usize = 3;

/// Documents of every dev file that are tagged after a pass, where nothing is said.
pub(crate) const DEV_DOCUMENTS_MAX: usize = 100;

/// Trains a student, and shows how that goes.
///
/// # Errors
/// As those of [`train`].
pub(crate) fn train_student(config: &TrainConfig, train_files: &[Corpus], dev_files: &[Corpus]) -> Result<Manifest> {
    let bar =
        ProgressBar::no_length().with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left")?);
    let manifest = train(config, train_files, dev_files, &mut |progress| match progress {
        Progress::Step { step, steps, loss, tokens_per_second } => {
            bar.set_length(steps as u64);
            bar.set_position(step as u64);
            bar.set_message(format!("loss {loss:.4}, {tokens_per_second:.0} word pieces/s"));
        }
        Progress::Epoch { epoch, dev_f1 } => {
            bar.suspend(|| eprintln!("pass {epoch}: mean word-level F1 on dev {dev_f1:.4}"));
        }
    })?;
    bar.finish_and_clear();
    Ok(manifest)
}

/// Ties this process to the one that started it: it ends when its stdin is closed, and goes on once no other process
/// has the lock of the file at `path`, which it holds for as long as the returned file is open.
///
/// # Errors
/// When the file cannot be written or locked.
pub(crate) fn leash(path: &Path) -> Result<File> {
    // Before it waits for the lock: who started it may end meanwhile.
    std::thread::spawn(|| {
        let (mut stdin, mut bytes) = (std::io::stdin().lock(), [0; 64]);
        while stdin.read(&mut bytes).is_ok_and(|read| read > 0) {}
        std::process::exit(1);
    });
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let lock = lock.with_context(|| format!("cannot write {}", path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(lock)
}

/// Bounds what this process may have in memory: its data, which are heap and stacks, as what is read of files in place
/// can be given up and read again. What needs more ends the process, and leaves no core, which would have texts of
/// notes in it. 0 is no bound.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub(crate) fn bound_memory(bytes_max: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if bytes_max == 0 {
        return Ok(());
    }
    let bound = |resource: Resource, bytes: u64| {
        // A bound that is there already is never raised.
        let bytes = getrlimit(resource).maximum.map_or(bytes, |maximum| maximum.min(bytes));
        setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) })
    };
    bound(Resource::Core, 0)
        .and_then(|()| bound(Resource::Data, bytes_max))
        .with_context(|| format!("cannot bound the memory to {bytes_max} bytes"))
}

/// Elsewhere there is no such bound.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub(crate) fn bound_memory(_bytes_max: u64) -> Result<()> {
    Ok(())
}

/// What trains: a processor, in `f32`, or a GPU.
///
/// # Errors
/// When the name is none of a device, or of several, or a processor is to train in another precision.
pub(crate) fn training_device(name: &str, precision: Precision) -> Result<Device> {
    match cuda_indices(name).map_err(|refused| anyhow!("the device is {refused}"))? {
        None => {
            ensure!(
                matches!(precision, Precision::Auto | Precision::F32),
                "the precision is {precision}, and a processor trains in f32; leave it out"
            );
            Ok(Device::Cpu(Precision::Auto))
        }
        Some(indices) => {
            ensure!(indices.len() <= 1, "the device is {name}; training takes one device");
            Ok(Device::Cuda(GpuConfig { indices, precision, ..GpuConfig::default() }))
        }
    }
}

/// The folder of a base, which is downloaded where need be.
///
/// # Errors
/// When there is no such base, or it cannot be had.
pub(crate) fn base_folder(name: &str, config: &HubConfig) -> Result<PathBuf> {
    let base = Base::parse(name)?;
    let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}, {eta} left")?;
    let bar = ProgressBar::no_length().with_style(style);
    let folder = Hub::new(config)?.folder(&base, &mut |download| {
        bar.set_message(download.file.to_owned());
        bar.set_length(download.size);
        bar.set_position(download.bytes);
    });
    bar.finish_and_clear();
    let folder = folder?;
    if Tokenizer::load(&folder)?.assumes_lower_case() {
        eprintln!(
            "{name} has a vocabulary with capitals and does not say whether texts keep theirs: they are read in lower case, as \
             transformers does it; to keep them, write {{\"do_lower_case\": false}} to tokenizer_config.json in a copy of {}, and name \
             that as --base",
            folder.display()
        );
    }
    Ok(folder)
}

/// A gold document to learn from.
pub(crate) fn document(gold: GoldDocument) -> Document {
    Document { id: gold.id, text: gold.text, tasks: gold.tasks, spans: gold.spans, soft: gold.soft }
}

/// Documents under a name, told from others by what is in them.
///
/// # Errors
/// As those of [`hash_of`].
pub(crate) fn corpus_of(name: String, documents: Vec<Document>) -> Result<Corpus> {
    let file = DataFile { name, hash: hash_of(&documents)?, documents: documents.len() };
    Ok(Corpus { file, documents })
}

/// Tells documents from others, as the hash of a file does.
///
/// # Errors
/// Never, as they can be written as JSON.
pub(crate) fn hash_of(documents: &[Document]) -> Result<String> {
    let mut hash = Sha256::new();
    for Document { id, text, tasks, spans, soft } in documents {
        hash.update(serde_json::to_vec(&(id, text, tasks, spans))?);
        if !soft.is_empty() {
            hash.update(serde_json::to_vec(soft)?);
        }
    }
    Ok(format!("{:x}", hash.finalize()))
}
