//! `model.safetensors` as stillroom writes it: every matrix in 8 bits.

use super::{SCALE_SUFFIX, floats};
use crate::StudentError;
use crate::backend::StudentBackend;
use crate::bert::Bert;
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};
use safetensors::{Dtype, SafeTensors};
use std::borrow::Cow;
use std::path::Path;

/// A tensor that owns its bytes.
pub(super) struct Owned {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

impl safetensors::View for &Owned {
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

/// A file in the format of safetensors.
///
/// # Errors
/// When a tensor has not as many bytes as its shape says.
pub(super) fn serialize(tensors: &[Owned], path: &Path) -> Result<Vec<u8>, StudentError> {
    safetensors::serialize(tensors.iter().map(|tensor| (&tensor.name, tensor)), None)
        .map_err(|error| StudentError::Unsupported { path: path.to_owned(), cause: error.to_string() })
}

/// The same file with every matrix in 8 bits.
fn to_eight_bit(bytes: &[u8], path: &Path) -> Result<Vec<u8>, StudentError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| StudentError::Unsupported { path: path.to_owned(), cause: error.to_string() })?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let shape = view.shape().to_vec();
        let (&[rows, columns], Some(values)) = (shape.as_slice(), floats(view.dtype(), view.data())) else {
            tensors.push(Owned { name: name.to_owned(), dtype: view.dtype(), shape, bytes: view.data().to_vec() });
            continue;
        };
        if values.iter().any(|value| !value.is_finite()) {
            let cause = format!("{name} has values that are no numbers, so the training has failed; lower its rate");
            return Err(StudentError::Unsupported { path: path.to_owned(), cause });
        }
        let scale = |row: &[f32]| row.iter().fold(0f32, |max, value| max.max(value.abs())) / 127.0;
        let scales: Vec<f32> = values.chunks_exact(columns).map(scale).collect();
        let quantised = |(row, scale): (&[f32], &f32)| -> Vec<u8> {
            // A row of zeros has scale 0 and stays zeros.
            row.iter().map(|value| if *scale > 0.0 { (value / scale).round() as i8 as u8 } else { 0 }).collect()
        };
        let bytes = values.chunks_exact(columns).zip(&scales).flat_map(quantised).collect();
        tensors.push(Owned { name: name.to_owned(), dtype: Dtype::I8, shape, bytes });
        let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        tensors.push(Owned { name: format!("{name}{SCALE_SUFFIX}"), dtype: Dtype::F32, shape: vec![rows], bytes });
    }
    serialize(&tensors, path)
}
