//! `pytorch_model.bin`: what `torch.save` makes of a state dict, as an archive (from PyTorch 1.6 on) and in the format before.
//!
//! burn-store has a reader, too. It takes tensors that the file lacks for zeros, fills up those that are cut off and passes over
//! unknown names, so that a damaged file would train, and it does not look at strides, so that matrices that were converted from
//! TensorFlow, as early ones were, come out transposed.

use super::Stored;
use super::pickle::{Pickles, Tensor, Value};
use safetensors::Dtype;
use std::collections::{BTreeMap, HashSet};
use std::io::Cursor;
use std::ops::Range;
use std::rc::Rc;
use zip::{CompressionMethod, ZipArchive};

/// What the old format begins with, and its version: `torch/serialization.py`, `MAGIC_NUMBER` and `PROTOCOL_VERSION`.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// Why a file cannot be read, and what to do.
type Refused = String;

/// The tensors of a file, with their names in it, row by row.
#[derive(Default)]
pub(super) struct Found {
    /// Their names and places.
    pub(super) tensors: Vec<(String, Stored)>,
    /// Bytes to be appended to the file: of tensors that it has in another order.
    pub(super) more: Vec<u8>,
}

/// Reads a file.
///
/// # Errors
/// When it is neither format, is cut off, or holds anything else than tensors.
pub(super) fn read(file: &[u8]) -> Result<Found, Refused> {
    if file.starts_with(b"PK") { archive(file) } else { legacy(file) }
}

/// A ZIP archive: `NAME/data.pkl`, and `NAME/data/KEY` for each storage.
fn archive(file: &[u8]) -> Result<Found, Refused> {
    let damaged = |error: zip::result::ZipError| format!("it is damaged or cut off ({error}); fetch it anew");
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(damaged)?;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        // Storages are not compressed, so that they can be mapped into memory.
        let is_plain = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
        let start = entry.data_start().filter(|_| is_plain);
        let start = start.ok_or_else(|| format!("{name:?} in it is compressed; fetch it anew"))?;
        let end = start.checked_add(entry.size()).filter(|end| *end <= file.len() as u64);
        let end = end.ok_or("it is cut off; fetch it anew")?;
        entries.insert(name, start as usize..end as usize);
    }
    let pickle = entries.keys().find_map(|name| name.strip_suffix("data.pkl"));
    let folder = pickle.ok_or("it has no data.pkl, which torch.save writes; fetch it anew")?.to_owned();
    let entry = |name: &str| entries.get(&format!("{folder}{name}")).cloned();
    if entry("byteorder").is_some_and(|order| &file[order] != b"little") {
        return Err(BIG_ENDIAN.to_owned());
    }
    let state = Pickles::new(&file[entry("data.pkl").unwrap_or_default()]).read()?;
    locate(file, &state, |tensor| entry(&format!("data/{}", tensor.storage.key)))
}

/// Pickles one after the other, the keys of the storages last, and then the storages in this order, each after its number of
/// elements.
fn legacy(file: &[u8]) -> Result<Found, Refused> {
    let mut pickles = Pickles::new(file);
    let unknown = "it is nothing that torch.save wrote; fetch it anew";
    if !matches!(pickles.read().map_err(|_| unknown)?, Value::Int(MAGIC))
        || !matches!(pickles.read()?, Value::Int(VERSION))
    {
        return Err(unknown.to_owned());
    }
    let Value::Dict(about) = pickles.read()? else { return Err(unknown.to_owned()) };
    let is_big = |(key, value): &(Rc<str>, Value)| **key == *"little_endian" && !matches!(value, Value::Bool(true));
    if about.borrow().iter().any(is_big) {
        return Err(BIG_ENDIAN.to_owned());
    }
    let state = pickles.read()?;
    let Value::List(keys) = pickles.read()? else { return Err(unknown.to_owned()) };
    let (mut at, mut storages) = (pickles.position(), BTreeMap::new());
    for key in keys.borrow().iter() {
        let cut_off = || "it is cut off; fetch it anew".to_owned();
        let storage = pickles.storages.get(key).ok_or("it has a storage that nothing refers to; fetch it anew")?;
        let elements = file.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or_else(cut_off)?;
        if u64::from_le_bytes(*elements) != storage.elements as u64 {
            return Err("a storage is not as long as is said of it; fetch it anew".to_owned());
        }
        let range = range_of(storage.dtype, at + 8, storage.elements).filter(|range| range.end <= file.len());
        let range = range.ok_or_else(cut_off)?;
        at = range.end;
        storages.insert(Rc::clone(key), range);
    }
    locate(file, &state, |tensor| storages.get(&tensor.storage.key).cloned())
}

const BIG_ENDIAN: &str = "it was written on a big-endian machine; save it on another";

/// Finds the tensors of a state dict in the file; `storage` is where one's storage is.
fn locate(file: &[u8], state: &Value, storage: impl Fn(&Tensor) -> Option<Range<usize>>) -> Result<Found, Refused> {
    let Value::Dict(state) = state else {
        return Err(
            "it holds no state dict; save the model's state_dict(), or convert it to model.safetensors".to_owned()
        );
    };
    let (mut found, mut names) = (Found::default(), HashSet::new());
    for (name, value) in state.borrow().iter() {
        let Value::Tensor(tensor) = value else { continue };
        // No dictionary has a key twice, and each name is copied.
        if !names.insert(Rc::clone(name)) {
            return Err(format!("it has {name:?} twice; fetch it anew"));
        }
        let lacks = || format!("it lacks the storage of {name:?}, or a part of it; fetch it anew");
        let whole = storage(tensor).ok_or_else(lacks)?;
        let (dtype, shape) = (tensor.storage.dtype, tensor.shape.clone());
        let range = match is_by_row(tensor) {
            true => {
                let elements = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
                let skipped = range_of(dtype, whole.start, tensor.first).map(|skipped| skipped.end);
                let range = skipped.zip(elements).and_then(|(start, elements)| range_of(dtype, start, elements));
                range.filter(|range| range.end <= whole.end).ok_or_else(lacks)?
            }
            false => {
                let bytes = by_row(&file[whole], dtype.bitsize() / 8, tensor).ok_or_else(lacks)?;
                let start = file.len() + found.more.len();
                // Views of one storage could otherwise come to any size.
                if found.more.len() + bytes.len() > file.len() {
                    return Err("its tensors are larger than itself; fetch it anew".to_owned());
                }
                found.more.extend(&bytes);
                start..start + bytes.len()
            }
        };
        found.tensors.push((name.to_string(), Stored { dtype, shape, range }));
    }
    Ok(found)
}

/// Whether elements follow one another as in rows; how far apart they are where there is one does not matter.
fn is_by_row(tensor: &Tensor) -> bool {
    let mut next = Some(1usize);
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || next == Some(stride);
        next = next.and_then(|next| next.checked_mul(size));
        fits
    })
}

/// The bytes of a tensor row by row; `storage` has them in another order, elements of `size` bytes. Nothing where it lacks some, or
/// where the tensor would have more than it.
fn by_row(storage: &[u8], size: usize, tensor: &Tensor) -> Option<Vec<u8>> {
    let dimensions: Vec<(usize, usize)> = tensor.shape.iter().copied().zip(tensor.strides.iter().copied()).collect();
    // Where there is one element, its stride leads nowhere.
    let dimensions: Vec<(usize, usize)> = dimensions.into_iter().filter(|(count, _)| *count != 1).collect();
    let elements = dimensions.iter().try_fold(1usize, |product, (count, _)| product.checked_mul(*count))?;
    let beyond_first = |(count, stride): &(usize, usize)| count.checked_sub(1)?.checked_mul(*stride);
    let last = dimensions.iter().try_fold(tensor.first, |sum, dimension| sum.checked_add(beyond_first(dimension)?))?;
    if elements > storage.len() / size || last >= storage.len() / size {
        return None;
    }
    let (mut bytes, mut index, mut at) = (Vec::with_capacity(elements * size), vec![0; dimensions.len()], tensor.first);
    for _ in 0..elements {
        bytes.extend(&storage[at * size..][..size]);
        for (index, (count, stride)) in index.iter_mut().zip(&dimensions).rev() {
            *index += 1;
            at += stride;
            if *index < *count {
                break;
            }
            at -= stride * count;
            *index = 0;
        }
    }
    Some(bytes)
}

/// The bytes of so many elements from `start` on.
fn range_of(dtype: Dtype, start: usize, elements: usize) -> Option<Range<usize>> {
    let bytes = elements.checked_mul(dtype.bitsize() / 8)?;
    Some(start..start.checked_add(bytes)?)
}
