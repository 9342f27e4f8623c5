//! A stream with memory of its own, on which batches are computed one after the other.

use super::network::CudaEncoder;
use super::products::{Products, ROWS_STEP};
use super::{Real, failed, no_room};
use crate::EncoderError;
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DriverError, PinnedHostSlice, result};
use std::ops::Range;
use std::sync::Arc;

/// Queries of a block of attention, as `kernels.cu` has them.
const QUERIES: usize = 64;

/// Batches that are less than so many times [`ROWS_STEP`] word pieces from full have products that were timed: notes that wait fill a
/// batch but for what the next window is too long for, which are 512 word pieces at most.
const STEPS_TUNED: usize = 5;

/// Numbers of a tile: where its window starts and ends, and its first query.
const TILE: usize = 3;

/// Networks that read the same windows, with a stream and memory of their own. One thread uses it at a time.
pub struct CudaSession {
    encoders: Arc<[CudaEncoder]>,
    stream: Arc<CudaStream>,
    products: Products,
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
        let no_room =
            |error: DriverError| no_room(error, &format!("batches of {pieces} word pieces; lower [engine] tokens_max"));
        let of = |features: usize| stream.alloc_zeros::<u8>(pieces * features * Real::bytes(real)).map_err(no_room);
        // A tile has a word piece at least.
        let numbers = pieces * (2 + TILE);
        let memory = Memory {
            inputs: stream.alloc_zeros(numbers).map_err(no_room)?,
            x: of(hidden)?,
            context: of(hidden)?,
            wide: of(wide)?,
            added: of(hidden)?,
            outputs: stream.alloc_zeros(pieces * columns).map_err(no_room)?,
        };
        // SAFETY: what is read of it was written by this thread before.
        let inputs = unsafe { device.context.alloc_pinned(numbers) }.map_err(no_room)?;
        // SAFETY: what is read of it was written by the device before.
        let outputs = unsafe { device.context.alloc_pinned_with_flags(pieces * columns, 0) }.map_err(no_room)?;
        let products = Products::new(&device, &stream, real)?;
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
        // The thread may be another than the last.
        self.stream.context().bind_to_thread().map_err(failed)?;
        let queued = self.queue(windows, pieces);
        // Also what was queued before an error must be over before the memory is used again.
        let waited = if queued.is_ok() { self.done.synchronize() } else { self.stream.synchronize() };
        queued?;
        waited.map_err(failed)?;
        Ok(&self.outputs.as_slice().map_err(failed)?[..pieces * self.columns])
    }

    /// Puts a batch on the stream, from the copy of what it says to that of its probabilities.
    fn queue(&mut self, windows: &[&[u32]], pieces: usize) -> Result<(), EncoderError> {
        let batch = write(windows, pieces, self.inputs.as_mut_slice().map_err(failed)?);
        let [.., tiles] = batch.parts();
        let host = &self.inputs.as_slice().map_err(failed)?[..tiles.end];
        let (to, _) = self.memory.inputs.device_ptr_mut(&self.stream);
        // SAFETY: the memory of the device is as large as the host's, which stays as it is until the caller has waited for the stream.
        unsafe { result::memcpy_htod_async(to, host, self.stream.cu_stream()) }.map_err(failed)?;
        let mut first = 0;
        for encoder in self.encoders.iter() {
            encoder.launch(&self.stream, &mut self.products, &mut self.memory, (&batch, self.columns, first))?;
            first += encoder.tasks;
        }
        let outputs = &mut self.outputs.as_mut_slice().map_err(failed)?[..pieces * self.columns];
        let (from, _) = self.memory.outputs.device_ptr(&self.stream);
        // SAFETY: as above.
        unsafe { result::memcpy_dtoh_async(outputs, from, self.stream.cu_stream()) }.map_err(failed)?;
        self.done.record(&self.stream).map_err(failed)
    }

    /// Chooses the products of full batches, and computes made-up windows of every order of magnitude, so that CUDA loads its
    /// kernels before notes wait.
    fn warm(&mut self) -> Result<(), EncoderError> {
        for step in 0..STEPS_TUNED {
            let pieces = self.pieces_max.saturating_sub(step * ROWS_STEP);
            for encoder in self.encoders.iter().filter(|_| pieces > 0) {
                encoder.tune(&self.stream, &mut self.products, &mut self.memory, pieces)?;
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

impl Drop for CudaSession {
    fn drop(&mut self) {
        // What is on the stream uses memory, weights and kernels that go now. A device that fails here has said so before.
        let _failed = self.stream.synchronize();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncoderConfig;
    use crate::cuda::CudaDevice;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    const TASKS: usize = 3;

    /// The first device, or none and a word to whoever reads the tests' output.
    fn device() -> Option<Arc<CudaDevice>> {
        use cudarc::{cublaslt, driver, nvrtc};
        // SAFETY: it opens libraries and closes them; their initialisers may run in any thread.
        let are_there = unsafe {
            driver::sys::is_culib_present() && nvrtc::sys::is_culib_present() && cublaslt::sys::is_culib_present()
        };
        let toolkit = std::env::var_os("CUDA_PATH").unwrap_or_else(|| "/usr/local/cuda".into());
        let headers = std::path::Path::new(&toolkit).join("include");
        let device = are_there.then(|| CudaDevice::open(0, headers).ok()).flatten();
        if device.is_none() {
            eprintln!("skipped, as no GPU can be used here");
        }
        device
    }

    /// A network of two layers with random weights, the same for the same features and heads.
    fn network(device: &Arc<CudaDevice>, real: Real, (hidden, heads): (usize, usize)) -> CudaEncoder {
        let (layers, intermediate, vocabulary, positions) = (2, 4 * hidden, 100, 512);
        let config =
            EncoderConfig { hidden, layers, heads, intermediate, layer_norm_eps: 1e-12, vocabulary, positions };
        let mut random = SmallRng::seed_from_u64(hidden as u64);
        let tensors = |name: &str| {
            let rows = match name {
                _ if name.contains("word_embeddings") => vocabulary,
                _ if name.contains("position_embeddings") => positions,
                _ if name.contains("token_type") => 2,
                _ if name.contains("classifier") => 2 * TASKS,
                _ if name.contains("intermediate") => intermediate,
                _ => hidden,
            };
            let columns = match name {
                _ if name.contains("LayerNorm") || name.ends_with("bias") => 1,
                _ if name.contains("output.dense") && !name.contains("attention") => intermediate,
                _ => hidden,
            };
            let shift = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            Some((0..rows * columns).map(|_| shift + random.random_range(-0.05..0.05f32)).collect())
        };
        CudaEncoder::new((device, real), config, TASKS, tensors).unwrap()
    }

    /// Windows of the lengths at which a block of attention begins another part.
    fn windows() -> Vec<Vec<u32>> {
        let window = |length: usize| (0..length as u32).map(|at| at * 37 % 100).collect();
        [1, 15, 16, 17, 63, 64, 65, 129, 300, 512].map(window).into()
    }

    /// What a session of networks says of the windows, `[pieces, columns]`.
    fn said(encoders: Vec<CudaEncoder>) -> Vec<f32> {
        let windows = windows();
        let windows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
        CudaSession::new(encoders.into(), 2048).unwrap().probabilities(&windows).unwrap().to_vec()
    }

    fn assert_near(ours: &[f32], expected: &[f32], off_max: f32, about: &str) {
        assert_eq!(ours.len(), expected.len(), "{about}");
        for (one, other) in ours.iter().zip(expected) {
            assert!((one - other).abs() <= off_max, "{about}: {one}, not {other}");
        }
    }

    /// Half precision, on tensor cores or not, beside `f32`, of which the student's tests say that it is the processor's.
    #[test]
    fn heads_of_every_size_attend_alike() {
        if let Some(device) = device() {
            for shape in [(768, 12), (384, 12), (192, 4), (64, 4), (96, 4), (512, 4)] {
                let exact = said(vec![network(&device, Real::F32, shape)]);
                for (real, off_max) in [(Real::F16, 0.01), (Real::Bf16, 0.06)] {
                    let ours = said(vec![network(&device, real, shape)]);
                    assert_near(&ours, &exact, off_max, &format!("{shape:?} in {real:?}"));
                }
            }
        }
    }

    #[test]
    fn networks_of_a_session_say_what_each_says_alone() {
        if let Some(device) = device() {
            let shapes = [(384, 12), (64, 4), (768, 12)];
            let alone = shapes.map(|shape| said(vec![network(&device, Real::F32, shape)]));
            let together = said(shapes.map(|shape| network(&device, Real::F32, shape)).into());
            let pieces = together.len() / (TASKS * shapes.len());
            for (index, alone) in alone.iter().enumerate() {
                let of_piece = |piece: usize| &together[(piece * shapes.len() + index) * TASKS..][..TASKS];
                let ours: Vec<f32> = (0..pieces).flat_map(of_piece).copied().collect();
                assert_near(&ours, alone, 1e-5, &format!("{:?}", shapes[index]));
            }
        }
    }

    #[test]
    fn a_session_goes_on_after_a_window_that_it_refuses() {
        if let Some(device) = device() {
            let mut session = CudaSession::new(vec![network(&device, Real::F32, (64, 4))].into(), 512).unwrap();
            let before = session.probabilities(&[&[1, 2, 3]]).unwrap().to_vec();
            let refused = session.probabilities(&[&[1], &[100]]).unwrap_err().to_string();
            assert!(refused.contains("word piece 100 is outside of a vocabulary of 100"), "{refused}");
            assert!(session.probabilities(&[&[0; 513]]).is_err());
            assert_eq!(session.probabilities(&[]).unwrap(), [0f32; 0]);
            assert_eq!(session.probabilities(&[&[1, 2, 3]]).unwrap(), before);
        }
    }

    #[test]
    fn a_batch_says_where_each_window_and_its_queries_are() {
        let windows: [&[u32]; 4] = [&[7, 8], &[], &[5; 130], &[9]];
        let mut inputs = vec![-1; 133 * (2 + TILE)];
        let batch = write(&windows, 133, &mut inputs);
        let [ids, places, tiles] = batch.parts().map(|part| inputs[part].to_vec());
        assert_eq!(ids, [&[7, 8][..], &[5; 130], &[9]].concat());
        assert_eq!(places, (0..2).chain(0..130).chain(0..1).collect::<Vec<i32>>());
        // Of the longest window first: start, end and first query.
        assert_eq!(tiles.as_chunks::<TILE>().0, [[2, 132, 2], [2, 132, 66], [2, 132, 130], [0, 2, 0], [132, 133, 132]]);
        assert!(inputs[batch.parts()[2].end..].iter().all(|&number| number == -1));
    }
}
