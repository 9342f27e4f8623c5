//! A stream with memory of its own, on which batches are computed one after the other.

use super::network::CudaEncoder;
use super::products::{Products, ROWS_STEP};
use super::{Real, failed};
use crate::EncoderError;
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, PinnedHostSlice, result};
use std::ops::Range;
use std::sync::Arc;

/// Queries of a block of attention, as `kernels.cu` has them.
const QUERIES: usize = 64;

/// Batches that are so many times [`ROWS_STEP`] word pieces from full have products that were timed: notes that wait fill a batch but for
/// what the next window would be too long for, which are 512 word pieces at most.
const STEPS_TUNED: usize = 5;

/// Numbers of a tile: where its window starts and ends, and its first query.
const TILE: usize = 3;

/// Networks that read the same windows, with a stream and memory of their own. One thread uses it at a time.
pub struct CudaSession {
    encoders: Arc<[CudaEncoder]>,
    stream: Arc<CudaStream>,
    products: Vec<Products>,
    memory: Memory,
    inputs: PinnedHostSlice<i32>,
    outputs: PinnedHostSlice<f32>,
    /// What has happened when the outputs are there.
    done: CudaEvent,
    pieces_max: usize,
    /// Tasks of all networks.
    columns: usize,
}

/// Memory of a device.
pub(super) struct Memory {
    /// What a [`Batch`] says.
    pub(super) inputs: CudaSlice<i32>,
    /// The word pieces, `[pieces, hidden]`.
    pub(super) x: CudaSlice<u8>,
    /// What attention gathers, `[pieces, hidden]`.
    pub(super) context: CudaSlice<u8>,
    /// Queries, keys and values, or the inside of a feed-forward block: `[pieces, max(3 hidden, intermediate)]`.
    pub(super) wide: CudaSlice<u8>,
    /// What a block adds, `[pieces, hidden]`.
    pub(super) added: CudaSlice<u8>,
    /// `[pieces, columns]`.
    pub(super) outputs: CudaSlice<f32>,
}

/// How many word pieces and tiles of attention are in the inputs.
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub(super) pieces: usize,
    pub(super) tiles: usize,
}

impl Batch {
    /// Where ids, places and tiles lie.
    pub(super) fn parts(self) -> [Range<usize>; 3] {
        let Batch { pieces, tiles } = self;
        [0..pieces, pieces..2 * pieces, 2 * pieces..2 * pieces + TILE * tiles]
    }
}

impl CudaSession {
    /// A session for at most `pieces_max` word pieces at once, with what it meets first already loaded.
    ///
    /// # Errors
    /// When the device has no memory for it, or fails.
    ///
    /// # Panics
    /// When there is no network, or they are on several devices or of several precisions.
    pub fn new(encoders: Arc<[CudaEncoder]>, pieces_max: usize) -> Result<CudaSession, EncoderError> {
        let (device, real) = (Arc::clone(&encoders[0].device), encoders[0].real);
        let is_like_first = |encoder: &CudaEncoder| Arc::ptr_eq(&encoder.device, &device) && encoder.real == real;
        assert!(encoders.iter().all(is_like_first), "networks of a session share a device and a precision");
        let stream = device.context.new_stream().map_err(failed)?;
        let columns = encoders.iter().map(|encoder| encoder.tasks).sum();
        let widest = |features: fn(&CudaEncoder) -> usize| encoders.iter().map(features).max().unwrap_or(0);
        let hidden = widest(|encoder| encoder.config.hidden);
        let wide = widest(|encoder| encoder.config.intermediate.max(3 * encoder.config.hidden));
        let pieces = pieces_max.next_multiple_of(ROWS_STEP);
        let of = |features: usize| stream.alloc_zeros::<u8>(pieces * features * Real::bytes(real)).map_err(failed);
        // A tile has a word piece at least.
        let numbers = pieces * (2 + TILE);
        let memory = Memory {
            inputs: stream.alloc_zeros(numbers).map_err(failed)?,
            x: of(hidden)?,
            context: of(hidden)?,
            wide: of(wide)?,
            added: of(hidden)?,
            outputs: stream.alloc_zeros(pieces * columns).map_err(failed)?,
        };
        // SAFETY: what is read of both was written before: inputs by this thread, outputs by the device.
        let (inputs, outputs) = unsafe {
            (
                device.context.alloc_pinned(numbers).map_err(failed)?,
                device.context.alloc_pinned_with_flags(pieces * columns, 0),
            )
        };
        let products = encoders.iter().map(|_| Products::new(&device, &stream, real)).collect::<Result<_, _>>()?;
        let outputs = outputs.map_err(failed)?;
        // A thread that waits for it sleeps.
        let done = device.context.new_event(Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC)).map_err(failed)?;
        let mut session =
            CudaSession { encoders, stream, products, memory, inputs, outputs, done, pieces_max: pieces, columns };
        session.warm()?;
        Ok(session)
    }

    /// The probabilities of class I, `[pieces, columns]`: the word pieces of all windows one behind the other, and the tasks of
    /// all networks in their order.
    ///
    /// # Errors
    /// When a window is longer than the positions of a network, when a word piece is outside of its vocabulary, or when the device
    /// fails.
    ///
    /// # Panics
    /// When the windows have more word pieces than the session was made for.
    pub fn probabilities(&mut self, windows: &[&[u32]]) -> Result<&[f32], EncoderError> {
        self.encoders
            .iter()
            .try_for_each(|encoder| windows.iter().try_for_each(|ids| encoder.config.check_window(ids)))?;
        let pieces: usize = windows.iter().map(|ids| ids.len()).sum();
        assert!(pieces <= self.pieces_max, "{pieces} word pieces, and the session has room for {}", self.pieces_max);
        if pieces == 0 {
            return Ok(&[]);
        }
        let batch = write(windows, pieces, self.inputs.as_mut_slice().map_err(failed)?);
        let [.., tiles] = batch.parts();
        let (host, (to, _)) =
            (&self.inputs.as_slice().map_err(failed)?[..tiles.end], self.memory.inputs.device_ptr_mut(&self.stream));
        // SAFETY: the memory of the device is as large as the host's, which stays as it is until this call has waited for all.
        unsafe { result::memcpy_htod_async(to, host, self.stream.cu_stream()) }.map_err(failed)?;
        let mut first = 0;
        for (encoder, products) in self.encoders.iter().zip(&mut self.products) {
            encoder.launch(&self.stream, products, &mut self.memory, (&batch, self.columns, first))?;
            first += encoder.tasks;
        }
        let outputs = &mut self.outputs.as_mut_slice().map_err(failed)?[..pieces * self.columns];
        let (from, _) = self.memory.outputs.device_ptr(&self.stream);
        // SAFETY: as above.
        unsafe { result::memcpy_dtoh_async(outputs, from, self.stream.cu_stream()) }.map_err(failed)?;
        self.done.record(&self.stream).map_err(failed)?;
        self.done.synchronize().map_err(failed)?;
        Ok(outputs)
    }

    /// Chooses the products of full batches, and computes made-up windows of every order of magnitude, so that CUDA loads its
    /// kernels before notes wait.
    fn warm(&mut self) -> Result<(), EncoderError> {
        for step in 0..STEPS_TUNED {
            let pieces = self.pieces_max.saturating_sub(step * ROWS_STEP);
            for (encoder, products) in self.encoders.iter().zip(&mut self.products).filter(|_| pieces > 0) {
                encoder.tune(&self.stream, products, &mut self.memory, pieces)?;
            }
        }
        let longest = self.encoders.iter().map(|encoder| encoder.config.positions).min().unwrap_or(0);
        let mut pieces = self.pieces_max;
        while pieces > 0 {
            let window = vec![0; longest.min(pieces)];
            let windows = vec![window.as_slice(); pieces / window.len()];
            self.probabilities(&windows)?;
            pieces /= 2;
        }
        Ok(())
    }
}

/// Writes ids, places and tiles of `windows`, which have `pieces` word pieces together.
fn write(windows: &[&[u32]], pieces: usize, inputs: &mut [i32]) -> Batch {
    let (ids, rest) = inputs.split_at_mut(pieces);
    let (places, rest) = rest.split_at_mut(pieces);
    let mut start = 0;
    let mut tiles = Vec::new();
    for window in windows {
        let end = start + window.len();
        for (place, &id) in window.iter().enumerate() {
            ids[start + place] = id as i32;
            places[start + place] = place as i32;
        }
        tiles.extend((start..end).step_by(QUERIES).map(|query| [start as i32, end as i32, query as i32]));
        start = end;
    }
    // The longest first, so that no device is left with one of them at the end.
    tiles.sort_by_key(|[start, end, _]| start - end);
    rest[..TILE * tiles.len()].copy_from_slice(tiles.as_flattened());
    Batch { pieces, tiles: tiles.len() }
}
