//! A network's weights on a device, and the order of its kernels.

use super::device::Kernels;
use super::products::{Product, Products};
use super::session::{Batch, Memory};
use super::{CudaDevice, Real, failed, no_room};
use crate::weights::{LayerNames, Tensors};
use crate::{EncoderConfig, EncoderError};
use cudarc::driver::{CudaSlice, CudaStream, CudaView, DeviceRepr, LaunchConfig, PushKernelArg};
use std::sync::Arc;

/// Threads of a block of the kernels in which a warp has a word piece, and word pieces of a block.
const THREADS: u32 = 256;
const PIECES_OF_BLOCK: usize = THREADS as usize / 32;

/// The features of an attention head at most: what a block without tensor cores keeps of keys and values fills its memory then.
const HEAD_MAX: usize = 192;

/// Rows of activations are loaded by so many features at once.
const VECTOR: usize = 8;

/// A BERT encoder with heads that tell O from I, on one device. Sessions share it.
pub struct CudaEncoder {
    pub(super) device: Arc<CudaDevice>,
    pub(super) config: EncoderConfig,
    pub(super) real: Real,
    pub(super) tasks: usize,
    kernels: Kernels,
    /// `[vocabulary, hidden]`.
    words: CudaSlice<u8>,
    /// `[positions, hidden]`, with the embedding of token type 0, which notes are of, added.
    positions: CudaSlice<u8>,
    norm: Norm,
    layers: Vec<Layer>,
    /// For each task the weights of class I less those of class O, `[tasks, hidden]` and `[tasks]`.
    log_odds: [CudaSlice<f32>; 2],
}

/// The parameters of a layer normalisation, `[hidden]` each.
struct Norm {
    weight: CudaSlice<f32>,
    bias: CudaSlice<f32>,
}

struct Layer {
    /// Queries, keys and values: `[3 hidden, hidden]`.
    project: Product,
    attended: Product,
    attended_norm: Norm,
    up: Product,
    down: Product,
    norm: Norm,
}

impl CudaEncoder {
    /// An encoder for `tasks` tasks, from tensors as [`crate::Encoder::new`] takes them, rounded to `real`.
    ///
    /// # Errors
    /// When a tensor is missing, has another length than the configuration says or a value that is not finite, when the
    /// configuration contradicts itself, has features that are no multiple of 8 or heads of more than 192, or when the device fails or
    /// lacks `real`.
    pub fn new(
        (device, real): (&Arc<CudaDevice>, Real),
        config: EncoderConfig,
        tasks: usize,
        tensors: impl FnMut(&str) -> Option<Vec<f32>>,
    ) -> Result<CudaEncoder, EncoderError> {
        config.check()?;
        let hidden = config.hidden;
        if !hidden.is_multiple_of(VECTOR) || !config.intermediate.is_multiple_of(VECTOR) {
            return Err(EncoderError::OnDevice("it has layers whose features are no multiple of 8".into()));
        }
        if hidden / config.heads > HEAD_MAX {
            return Err(EncoderError::OnDevice(format!("it has attention heads of more than {HEAD_MAX} features")));
        }
        let kernels = device.kernels(&config, real)?;
        let stream = device.context.new_stream().map_err(failed)?;
        let mut loading = Loading { tensors: Tensors::new(tensors, &config), stream: &stream, real };
        let embeddings = loading.tensors.embeddings(&config)?;
        let [words, positions] = embeddings.map(|table| loading.rounded(&table));
        let norm = loading.norm("bert.embeddings.LayerNorm", hidden)?;
        let layers = (0..config.layers).map(|index| loading.layer(&config, index)).collect::<Result<_, _>>()?;
        let weight = loading.tensors.take("classifier.weight", 2 * tasks * hidden)?;
        let bias = loading.tensors.take("classifier.bias", 2 * tasks)?;
        let log_odds = [loading.differences(&weight, hidden)?, loading.differences(&bias, 1)?];
        let (words, positions) = (words?, positions?);
        Ok(CudaEncoder {
            device: Arc::clone(device),
            config,
            real,
            tasks,
            kernels,
            words,
            positions,
            norm,
            layers,
            log_odds,
        })
    }

    /// Finds the fastest products for batches of `pieces` word pieces.
    pub(super) fn tune(
        &self,
        stream: &Arc<CudaStream>,
        products: &mut Products,
        memory: &mut Memory,
        pieces: usize,
    ) -> Result<(), EncoderError> {
        let Memory { x, context, wide, added, .. } = memory;
        // All layers have the same shapes.
        self.layers.first().map_or(Ok(()), |layer| {
            products.tune(stream, &layer.project, pieces, (x, wide))?;
            products.tune(stream, &layer.attended, pieces, (context, added))?;
            products.tune(stream, &layer.up, pieces, (x, wide))?;
            products.tune(stream, &layer.down, pieces, (wide, added))
        })
    }

    /// Computes the probabilities of class I of a batch into `columns` of `memory.outputs`, from the one numbered `first` on. The
    /// work is put on the stream, and not waited for.
    pub(super) fn launch(
        &self,
        stream: &Arc<CudaStream>,
        products: &mut Products,
        memory: &mut Memory,
        (batch, columns, first): (&Batch, usize, usize),
    ) -> Result<(), EncoderError> {
        let Memory { inputs, x, context, wide, added, outputs } = memory;
        let (pieces, [ids, places, tiles]) = (batch.pieces, batch.parts().map(|part| inputs.slice(part)));
        self.embed(stream, (&ids, &places), pieces, x)?;
        for layer in &self.layers {
            products.multiply(stream, &layer.project, pieces, (x, wide))?;
            self.attend(stream, (wide, &tiles, batch.tiles), context)?;
            products.multiply(stream, &layer.attended, pieces, (context, added))?;
            self.add_norm(stream, (added, pieces), &layer.attended_norm, x)?;
            products.multiply(stream, &layer.up, pieces, (x, wide))?;
            if self.real == Real::F32 {
                self.gelu(stream, pieces, wide)?;
            }
            products.multiply(stream, &layer.down, pieces, (wide, added))?;
            self.add_norm(stream, (added, pieces), &layer.norm, x)?;
        }
        let (pieces, tasks, columns, first) = (pieces as i32, self.tasks as i32, columns as i32, first as i32);
        let [weight, bias] = &self.log_odds;
        let mut launch = stream.launch_builder(&self.kernels.heads);
        launch.arg(x).arg(&pieces).arg(weight).arg(bias).arg(&tasks).arg(outputs).arg(&columns).arg(&first);
        // SAFETY: the arguments are those of the kernel, and have rows for the word pieces of the batch.
        unsafe { launch.launch(warps(batch.pieces)) }.map_err(failed)?;
        Ok(())
    }

    fn embed(
        &self,
        stream: &Arc<CudaStream>,
        (ids, places): (&CudaView<i32>, &CudaView<i32>),
        pieces: usize,
        x: &mut CudaSlice<u8>,
    ) -> Result<(), EncoderError> {
        let (eps, count) = (self.config.layer_norm_eps, pieces as i32);
        let mut launch = stream.launch_builder(&self.kernels.embed);
        launch.arg(ids).arg(places).arg(&count).arg(&self.words).arg(&self.positions);
        launch.arg(&self.norm.weight).arg(&self.norm.bias).arg(&eps).arg(x);
        // SAFETY: as for the heads; ids are in the vocabulary and places in the positions, as the session has checked.
        unsafe { launch.launch(warps(pieces)) }.map_err(failed)?;
        Ok(())
    }

    fn attend(
        &self,
        stream: &Arc<CudaStream>,
        (projected, tiles, count): (&CudaSlice<u8>, &CudaView<i32>, usize),
        context: &mut CudaSlice<u8>,
    ) -> Result<(), EncoderError> {
        let mut launch = stream.launch_builder(&self.kernels.attend);
        launch.arg(projected).arg(tiles).arg(context);
        let grid_dim = (count as u32, self.config.heads as u32, 1);
        let block_dim = (self.kernels.attend_threads, 1, 1);
        // SAFETY: as for the heads; tiles are of the batch's word pieces.
        unsafe { launch.launch(LaunchConfig { grid_dim, block_dim, shared_mem_bytes: 0 }) }.map_err(failed)?;
        Ok(())
    }

    /// `x` becomes the layer normalisation of `added + x`.
    fn add_norm(
        &self,
        stream: &Arc<CudaStream>,
        (added, pieces): (&CudaSlice<u8>, usize),
        norm: &Norm,
        x: &mut CudaSlice<u8>,
    ) -> Result<(), EncoderError> {
        let (eps, count) = (self.config.layer_norm_eps, pieces as i32);
        let mut launch = stream.launch_builder(&self.kernels.add_norm);
        launch.arg(added).arg(x).arg(&count).arg(&norm.weight).arg(&norm.bias).arg(&eps);
        // SAFETY: as for the heads.
        unsafe { launch.launch(warps(pieces)) }.map_err(failed)?;
        Ok(())
    }

    fn gelu(&self, stream: &Arc<CudaStream>, pieces: usize, wide: &mut CudaSlice<u8>) -> Result<(), EncoderError> {
        let vectors = (pieces * self.config.intermediate / VECTOR) as u64;
        let mut launch = stream.launch_builder(&self.kernels.gelu);
        launch.arg(wide).arg(&vectors);
        let (grid_dim, block_dim) = ((vectors.div_ceil(u64::from(THREADS)) as u32, 1, 1), (THREADS, 1, 1));
        // SAFETY: as for the heads.
        unsafe { launch.launch(LaunchConfig { grid_dim, block_dim, shared_mem_bytes: 0 }) }.map_err(failed)?;
        Ok(())
    }
}

/// A warp for each word piece.
fn warps(pieces: usize) -> LaunchConfig {
    let grid_dim = (pieces.div_ceil(PIECES_OF_BLOCK) as u32, 1, 1);
    LaunchConfig { grid_dim, block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 }
}

/// Tensors on their way to a device.
struct Loading<'a, F> {
    tensors: Tensors<F>,
    stream: &'a Arc<CudaStream>,
    real: Real,
}

impl<F: FnMut(&str) -> Option<Vec<f32>>> Loading<'_, F> {
    fn layer(&mut self, config: &EncoderConfig, index: usize) -> Result<Layer, EncoderError> {
        let (hidden, inner, names) = (config.hidden, config.intermediate, LayerNames::new(index));
        Ok(Layer {
            project: self.product(&names.project, [hidden, hidden], false)?,
            attended: self.product(&[names.attended], [hidden, hidden], false)?,
            attended_norm: self.norm(&names.attended_norm, hidden)?,
            up: self.product(&[names.up], [inner, hidden], self.real != Real::F32)?,
            down: self.product(&[names.down], [hidden, inner], false)?,
            norm: self.norm(&names.norm, hidden)?,
        })
    }

    /// The linear layers `names`, all of `shape`, one below the other.
    fn product(&mut self, names: &[String], shape: [usize; 2], is_gelu: bool) -> Result<Product, EncoderError> {
        let (weight, bias) = self.tensors.linear(names, shape)?;
        let sizes = (shape[1], bias.len());
        Product::new(self.stream, [self.rounded(&weight)?, self.rounded(&bias)?], sizes, is_gelu)
    }

    fn norm(&mut self, name: &str, hidden: usize) -> Result<Norm, EncoderError> {
        let norm = self.tensors.norm(name, hidden)?;
        Ok(Norm { weight: self.copied(&norm.weight)?, bias: self.copied(&norm.bias)? })
    }

    /// From rows of classes O, I of each task to their differences I − O.
    fn differences(&self, pairs: &[f32], columns: usize) -> Result<CudaSlice<f32>, EncoderError> {
        let of_task = |pair: &[f32]| {
            let (outside, inside) = pair.split_at(columns);
            inside.iter().zip(outside).map(|(inside, outside)| inside - outside).collect::<Vec<f32>>()
        };
        self.copied(&pairs.chunks_exact(2 * columns).flat_map(of_task).collect::<Vec<f32>>())
    }

    fn rounded(&self, values: &[f32]) -> Result<CudaSlice<u8>, EncoderError> {
        self.copied(&self.real.rounded(values))
    }

    /// Values on the device, once they are there: sessions read them on streams of their own.
    fn copied<T: DeviceRepr>(&self, values: &[T]) -> Result<CudaSlice<T>, EncoderError> {
        let copied = self.stream.clone_htod(values);
        let copied =
            copied.map_err(|error| no_room(error, "the student's weights; give the device fewer processes"))?;
        self.stream.synchronize().map_err(failed)?;
        Ok(copied)
    }
}
