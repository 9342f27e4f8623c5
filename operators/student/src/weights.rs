//! `model.safetensors`: reading what Hugging Face and stillroom write, and writing it small.
//!
//! stillroom stores every matrix in 8 bits with one scale a row (symmetric, as in LLM.int8(), arXiv 2208.07339, without its
//! outlier columns): the tensor `x.weight` of type I8 and beside it `x.weight_scale` of type F32, one entry a row, so that
//! `weight[r][c] = scale[r] · int8[r][c]`. Vectors stay in F32. The tensors' names and layout are those of Hugging Face.

use crate::StudentError;
use crate::backend::StudentBackend;
use crate::bert::Bert;
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

const SCALE_SUFFIX: &str = "_scale";

/// Fills `model` from a file's bytes. Returns the names of parameters that the file does not have.
///
/// # Errors
/// When the file is not safetensors, or a tensor has another shape than the model's.
pub(crate) fn load<B: StudentBackend>(
    model: &mut Bert<B>,
    bytes: &[u8],
    path: &Path,
) -> Result<Vec<String>, StudentError> {
    let full = to_full_precision(bytes, path)?;
    let mut store = SafetensorsStore::from_bytes(Some(full))
        .with_from_adapter(PyTorchToBurnAdapter)
        .with_key_remapping(r"^(embeddings|encoder)\.", "bert.$1.")
        .with_key_remapping(r"attention\.self\.", "attention.")
        .with_key_remapping(r"LayerNorm\.", "layer_norm.")
        .allow_partial(true)
        .validate(false);
    let result = model
        .load_from(&mut store)
        .map_err(|error| StudentError::Unsupported { path: path.to_owned(), cause: error.to_string() })?;
    if !result.errors.is_empty() {
        let tensors = result.errors.iter().map(|error| error.to_string()).collect::<Vec<_>>().join("; ");
        return Err(StudentError::Weights { path: path.to_owned(), tensors });
    }
    Ok(result.missing.into_iter().map(|(name, _)| name).collect())
}

/// The bytes of a file that holds `model` with its matrices in 8 bits.
///
/// # Errors
/// When the module cannot be written.
pub(crate) fn save<B: StudentBackend>(model: &Bert<B>, path: &Path) -> Result<Vec<u8>, StudentError> {
    let failed = |cause: String| StudentError::Unsupported { path: path.to_owned(), cause };
    let mut store = SafetensorsStore::from_bytes(None)
        .with_to_adapter(BurnToPyTorchAdapter)
        .with_key_remapping(r"attention\.(query|key|value)\.", "attention.self.$1.")
        .with_key_remapping(r"layer_norm\.", "LayerNorm.");
    model.save_into(&mut store).map_err(|error| failed(error.to_string()))?;
    let bytes = store.get_bytes().map_err(|error| failed(error.to_string()))?;
    to_eight_bit(&bytes, path)
}

/// The same file without the heads.
///
/// # Errors
/// When it is not safetensors.
pub(crate) fn without_heads(bytes: &[u8], path: &Path) -> Result<Vec<u8>, StudentError> {
    let file = parse(bytes, path)?;
    let trunk = file.iter().filter(|(name, _)| !name.starts_with("classifier."));
    let stored = |(name, view): (&str, TensorView<'_>)| Stored {
        name: name.to_owned(),
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    serialize(&trunk.map(stored).collect::<Vec<_>>(), path)
}

/// A tensor that owns its bytes.
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl safetensors::View for &Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>, StudentError> {
    SafeTensors::deserialize(bytes).map_err(|error| StudentError::Unsupported {
        path: path.to_owned(),
        cause: format!("not safetensors: {error}"),
    })
}

fn serialize(tensors: &[Stored], path: &Path) -> Result<Vec<u8>, StudentError> {
    safetensors::serialize(tensors.iter().map(|tensor| (&tensor.name, tensor)), None)
        .map_err(|error| StudentError::Unsupported { path: path.to_owned(), cause: error.to_string() })
}

/// The same file with every tensor in F32 and scales multiplied out.
fn to_full_precision(bytes: &[u8], path: &Path) -> Result<Vec<u8>, StudentError> {
    let stored = |(name, shape, values): Full| {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Stored { name, dtype: Dtype::F32, shape, bytes }
    };
    serialize(&full_precision(bytes, path)?.into_iter().map(stored).collect::<Vec<_>>(), path)
}

/// The values of every tensor by its name in `BertForTokenClassification`, scales multiplied out.
///
/// # Errors
/// When the file is not safetensors, or has a tensor that cannot be read.
pub(crate) fn tensors(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Vec<f32>>, StudentError> {
    let named = |(name, _, values): Full| {
        // A file of the encoder alone has no prefix.
        let is_bare = name.starts_with("embeddings.") || name.starts_with("encoder.");
        (if is_bare { format!("bert.{name}") } else { name }, values)
    };
    Ok(full_precision(bytes, path)?.into_iter().map(named).collect())
}

/// Name, shape and values of a tensor, scales multiplied out.
type Full = (String, Vec<usize>, Vec<f32>);

/// Every tensor of a file.
fn full_precision(bytes: &[u8], path: &Path) -> Result<Vec<Full>, StudentError> {
    let file = parse(bytes, path)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter().filter(|(name, view)| !name.ends_with(SCALE_SUFFIX) && view.dtype() != Dtype::I64) {
        let mut values = floats(&view).ok_or_else(|| StudentError::Unsupported {
            path: path.to_owned(),
            cause: format!("{name} is stored as {:?}; F32, F16, BF16 and I8 with scales are read", view.dtype()),
        })?;
        if view.dtype() == Dtype::I8 {
            let scales = file.tensor(&format!("{name}{SCALE_SUFFIX}")).ok().and_then(|scales| floats(&scales));
            let scales = scales.filter(|scales| view.shape().first() == Some(&scales.len())).ok_or_else(|| {
                StudentError::Weights { path: path.to_owned(), tensors: format!("{name}{SCALE_SUFFIX}") }
            })?;
            let columns = values.len() / scales.len().max(1);
            for (row, scale) in values.chunks_exact_mut(columns.max(1)).zip(scales) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
        }
        // The first BERT checkpoints name the parameters of a layer norm as TensorFlow did.
        let name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
        tensors.push((name, view.shape().to_vec(), values));
    }
    Ok(tensors)
}

/// The same file with every matrix in 8 bits.
fn to_eight_bit(bytes: &[u8], path: &Path) -> Result<Vec<u8>, StudentError> {
    let file = parse(bytes, path)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let shape = view.shape().to_vec();
        let (&[rows, columns], Some(values)) = (shape.as_slice(), floats(&view)) else {
            tensors.push(Stored { name: name.to_owned(), dtype: view.dtype(), shape, bytes: view.data().to_vec() });
            continue;
        };
        let scale = |row: &[f32]| row.iter().fold(0f32, |max, value| max.max(value.abs())) / 127.0;
        let scales: Vec<f32> = values.chunks_exact(columns).map(scale).collect();
        let quantised = |(row, scale): (&[f32], &f32)| -> Vec<u8> {
            // A row of zeros has scale 0 and stays zeros.
            row.iter().map(|value| if *scale > 0.0 { (value / scale).round() as i8 as u8 } else { 0 }).collect()
        };
        let bytes = values.chunks_exact(columns).zip(&scales).flat_map(quantised).collect();
        tensors.push(Stored { name: name.to_owned(), dtype: Dtype::I8, shape, bytes });
        let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        tensors.push(Stored { name: format!("{name}{SCALE_SUFFIX}"), dtype: Dtype::F32, shape: vec![rows], bytes });
    }
    serialize(&tensors, path)
}

/// The values of a tensor as `f32`; integers as they are, before any scale.
fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = view.data();
    Some(match view.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|&bytes| half::f16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::BF16 => data.as_chunks().0.iter().map(|&bytes| half::bf16::from_le_bytes(bytes).to_f32()).collect(),
        Dtype::I8 => data.iter().map(|&byte| f32::from(byte as i8)).collect(),
        _ => return None,
    })
}
