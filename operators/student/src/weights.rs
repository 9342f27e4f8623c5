//! A model's weights: reading what Hugging Face, PyTorch and stillroom write, and writing them small.
//!
//! ```text
//! model.safetensors ──────────────┐
//! pytorch_model.bin, ZIP ─────────┼─► names and places of tensors ─► BERT's names ─► checked ─► Burn, encoder
//! pytorch_model.bin, before 1.6 ──┘
//! ```
//!
//! stillroom stores every matrix in 8 bits with one scale a row (symmetric, as in LLM.int8(), arXiv 2208.07339, without its
//! outlier columns): the tensor `x.weight` of type I8 and beside it `x.weight_scale` of type F32, one entry a row, so that
//! `weight[r][c] = scale[r] · int8[r][c]`. Vectors stay in F32. The tensors' names and layout are those of Hugging Face.

mod names;
mod pickle;
mod pytorch;
mod writing;

pub(crate) use writing::save;

use crate::StudentError;
use crate::backend::StudentBackend;
use crate::bert::Bert;
use crate::config::BertConfig;
use crate::files;
use burn_store::{ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use pytorch::Found;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use writing::{Owned, serialize};

const SCALE_SUFFIX: &str = "_scale";

/// The files that hold weights, the better one first.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// Rows of the table of token types that DistilBERT gets: as many as BERT has.
pub(crate) const TOKEN_TYPES: usize = 2;

/// A file of weights with its tensors under the names that they have in `BertForTokenClassification`.
pub(crate) struct Weights {
    path: PathBuf,
    hash: String,
    /// The file, and behind it what it has in another order, or does without.
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Stored>,
}

/// Where a tensor is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Its bytes in the file, or behind it: row by row, little-endian.
    range: Range<usize>,
}

/// The file that weights are read from: `model.safetensors`, or else `pytorch_model.bin`, in `folder`.
///
/// # Errors
/// When neither is there.
pub(crate) fn weights_file(folder: &Path) -> Result<PathBuf, StudentError> {
    let path = FILES.map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    path.ok_or_else(|| StudentError::Unsupported {
        path: folder.to_owned(),
        cause: format!("it has neither {} nor {}; fetch the model anew", FILES[0], FILES[1]),
    })
}

impl Weights {
    /// Reads `model.safetensors`, or else `pytorch_model.bin`, in `folder`.
    ///
    /// # Errors
    /// When neither is there, or the file is damaged, is of neither format, or has anything else in it than tensors.
    pub(crate) fn read(folder: &Path) -> Result<Weights, StudentError> {
        let path = weights_file(folder)?;
        let mut bytes = files::read(&path)?;
        let hash = files::sha256(&bytes);
        let found = match path.ends_with(FILES[0]) {
            true => safetensors(&bytes).map(|tensors| Found { tensors, ..Found::default() }),
            false => pytorch::read(&bytes),
        };
        let Found { tensors, more } = found.map_err(|cause| StudentError::Unsupported { path: path.clone(), cause })?;
        bytes.extend(more);
        let is_distilbert = tensors.iter().any(|(name, _)| names::is_of_distilbert(name));
        let mut weights = Weights { hash, path, bytes, tensors: BTreeMap::new() };
        for (name, stored) in tensors {
            let name = names::canonical(&name);
            if weights.tensors.contains_key(&name) {
                return Err(weights.refuse(&name, "is there under two names; keep one"));
            }
            weights.tensors.insert(name, stored);
        }
        if is_distilbert {
            weights.add_token_types();
        }
        Ok(weights)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// Refuses weights that are not those of an architecture, with a head of `outputs` if there is to be one.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape or a type that is not read, or a value that is not finite.
    pub(crate) fn check(&self, config: &BertConfig, outputs: Option<usize>) -> Result<(), StudentError> {
        for (name, shape) in names::expected(config, outputs) {
            let Some(stored) = self.tensors.get(&name) else {
                return Err(self.refuse(&name, "is missing; fetch the model anew, or give the whole of it"));
            };
            if stored.shape != shape {
                let found = &stored.shape;
                let cause = format!("is {found:?}, and by config.json {shape:?}; take both from one model");
                return Err(self.refuse(&name, &cause));
            }
            let scales = (stored.dtype == Dtype::I8).then(|| self.scales(&name)).transpose()?;
            for stored in [Some(stored), scales].into_iter().flatten() {
                match is_finite(stored.dtype, &self.bytes[stored.range.clone()]) {
                    Some(true) => {}
                    Some(false) => {
                        let cause = "has a value that is not finite; fetch the model anew, or train it at a lower rate";
                        return Err(self.refuse(&name, cause));
                    }
                    None => {
                        let cause = format!("is of {:?}; F32, F16, BF16 and I8 with scales are read", stored.dtype);
                        return Err(self.refuse(&name, &cause));
                    }
                }
            }
        }
        Ok(())
    }

    /// Fills `model` with the tensors of an architecture that were checked.
    ///
    /// # Errors
    /// When Burn refuses them.
    pub(crate) fn load<B: StudentBackend>(
        &self,
        model: &mut Bert<B>,
        config: &BertConfig,
        outputs: Option<usize>,
    ) -> Result<(), StudentError> {
        let full = |(name, shape): (String, Vec<usize>)| {
            let values = self.values(&name).unwrap_or_default();
            Owned {
                name,
                dtype: Dtype::F32,
                shape,
                bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            }
        };
        let tensors: Vec<Owned> = names::expected(config, outputs).map(full).collect();
        let failed = |cause: String| StudentError::Unsupported { path: self.path.clone(), cause };
        let mut store = SafetensorsStore::from_bytes(Some(serialize(&tensors, &self.path)?))
            .with_from_adapter(PyTorchToBurnAdapter)
            .with_key_remapping(r"attention\.self\.", "attention.")
            .with_key_remapping(r"LayerNorm\.", "layer_norm.")
            .allow_partial(true)
            .validate(false);
        let result = model.load_from(&mut store).map_err(|error| failed(error.to_string()))?;
        if let Some(error) = result.errors.first() {
            return Err(failed(error.to_string()));
        }
        match result.missing.iter().find(|(name, _)| outputs.is_some() || !name.starts_with("classifier.")) {
            Some((name, _)) => Err(failed(format!("{name} was not loaded"))),
            None => Ok(()),
        }
    }

    /// The values of a tensor, scales multiplied out; nothing for one that is not there or not of a type that is read.
    pub(crate) fn values(&self, name: &str) -> Option<Vec<f32>> {
        let stored = self.tensors.get(name)?;
        let mut values = floats(stored.dtype, &self.bytes[stored.range.clone()])?;
        if stored.dtype == Dtype::I8 {
            let scales = self.scales(name).ok()?;
            let scales = floats(scales.dtype, &self.bytes[scales.range.clone()])?;
            let columns = values.len() / scales.len().max(1);
            for (row, scale) in values.chunks_exact_mut(columns.max(1)).zip(scales) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
        }
        Some(values)
    }

    /// The scales of a matrix in 8 bits, one a row.
    fn scales(&self, name: &str) -> Result<&Stored, StudentError> {
        let scales = self.tensors.get(&format!("{name}{SCALE_SUFFIX}"));
        let rows = self.tensors.get(name).and_then(|matrix| matrix.shape.first());
        scales
            .filter(|scales| scales.dtype == Dtype::F32 && scales.shape.first() == rows && scales.shape.len() == 1)
            .ok_or_else(|| self.refuse(name, "is in 8 bits without a scale a row; fetch the model anew"))
    }

    /// BERT adds the embedding of a token's type, and DistilBERT none: zeros make them one.
    fn add_token_types(&mut self) {
        let norm = self.tensors.get(names::EMBEDDINGS_NORM).map(|norm| norm.shape.clone());
        let Some([hidden]) = norm.as_deref() else { return };
        let start = self.bytes.len();
        self.bytes.resize(start + TOKEN_TYPES * hidden * size_of::<f32>(), 0);
        let stored = Stored { dtype: Dtype::F32, shape: vec![TOKEN_TYPES, *hidden], range: start..self.bytes.len() };
        self.tensors.insert(names::TOKEN_TYPES.to_owned(), stored);
    }

    fn refuse(&self, tensor: &str, cause: &str) -> StudentError {
        StudentError::Weights { path: self.path.clone(), tensor: tensor.to_owned(), cause: cause.to_owned() }
    }
}

/// The tensors of a file in the format of safetensors, with their names in it.
fn safetensors(file: &[u8]) -> Result<Vec<(String, Stored)>, String> {
    let read = SafeTensors::read_metadata(file).and_then(|(header, metadata)| {
        // The metadata alone does not tell whether all of the bytes are there.
        SafeTensors::deserialize(file).map(|_| (header + size_of::<u64>(), metadata))
    });
    let (start, metadata) =
        read.map_err(|error| format!("it is damaged, cut off or not safetensors ({error}); fetch it anew"))?;
    let stored = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (from, to) = info.data_offsets;
        (name, Stored { dtype: info.dtype, shape: info.shape.clone(), range: start + from..start + to })
    };
    Ok(metadata.tensors().into_iter().map(stored).collect())
}

/// The values of a tensor as `f32`; integers as they are, before any scale.
fn floats(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|&bytes| half::f16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|&bytes| half::bf16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::I8 => bytes.iter().map(|&byte| f32::from(byte as i8)).collect(),
        _ => return None,
    })
}

/// Whether all values are finite; nothing for a type that is not read.
fn is_finite(dtype: Dtype, bytes: &[u8]) -> Option<bool> {
    Some(match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().all(|&bytes| f32::from_le_bytes(bytes).is_finite()),
        Dtype::F16 => bytes.as_chunks().0.iter().all(|&bytes| half::f16::from_le_bytes(bytes).is_finite()),
        Dtype::BF16 => bytes.as_chunks().0.iter().all(|&bytes| half::bf16::from_le_bytes(bytes).is_finite()),
        Dtype::I8 => true,
        _ => return None,
    })
}
