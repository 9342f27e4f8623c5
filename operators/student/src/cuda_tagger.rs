//! The student behind the dataflow's trait on CUDA devices.
//!
//! A device has two taggers, each with a stream and memory of its own: while the batch of one is computed, the other copies and pools
//! its word pieces into words, so that the device does not wait for the processor.

use crate::calibration::Head;
use crate::tagger::{at_most, names_and_thresholds, words_of_pieces};
use crate::{Gpu, GpuConfig, Precision, Student, StudentError, gpus};
use std::sync::Arc;
use stillroom_dataflow::{Probabilities, Tagger, TaggerError, WINDOW_PIECES_MAX, Window};
use stillroom_encoder::EncoderError;
use stillroom_encoder::cuda::{CudaDevice, CudaEncoder, CudaSession};
use stillroom_schemas::{ModelId, Task};

/// Taggers that share a device.
const TAGGERS_A_DEVICE: usize = 2;

/// Word pieces that are computed at once, at most: on an H200 131,072 are not faster than 32,768 by more than half a percent.
const PIECES_AT_ONCE_MAX: usize = 131_072;

/// A tagger of networks that together have a head for every task that they serve.
///
/// # Panics
/// [`Tagger::tag`] does when the device fails: that is no fault of the windows, so their notes must not become dead letters. The
/// pool then ends the run, and what was not committed is read again by the next.
pub(crate) struct CudaTagger {
    /// The device's, as in `cuda:0`.
    name: String,
    precision: Precision,
    model: ModelId,
    thresholds: [f32; Task::ALL.len()],
    /// The columns of the session's probabilities.
    heads: Arc<[Head]>,
    session: CudaSession,
    pieces_max: usize,
}

impl CudaTagger {
    /// Loads `students` on every device of `config`, and gives two taggers a device, whose kernels are compiled and loaded.
    ///
    /// # Errors
    /// When a device or the weights cannot be used.
    pub(crate) fn start(students: &[Student], config: &GpuConfig) -> Result<Vec<Box<dyn Tagger>>, StudentError> {
        let devices = gpus(&config.indices)?;
        let on_device = |gpu: &Gpu| CudaTagger::on_device(students, gpu, config);
        // Each device compiles and copies on its own.
        let loaded: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = devices.iter().map(|gpu| scope.spawn(move || on_device(gpu))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        Ok(loaded.into_iter().collect::<Result<Vec<_>, StudentError>>()?.into_iter().flatten().collect())
    }

    fn on_device(students: &[Student], gpu: &Gpu, config: &GpuConfig) -> Result<Vec<Box<dyn Tagger>>, StudentError> {
        let name = format!("cuda:{}", gpu.index);
        let failed = |error: EncoderError| StudentError::Device { device: name.clone(), cause: error.to_string() };
        let device = CudaDevice::open(gpu.index, crate::gpus::headers()).map_err(failed)?;
        let real = config.precision.real()?;
        let encoder = |student: &Student| {
            student.cuda_encoder(&device, real).map_err(|error| match error {
                EncoderError::Device(_) => failed(error),
                error => student.refused(&error),
            })
        };
        let encoders: Arc<[CudaEncoder]> = students.iter().map(encoder).collect::<Result<_, _>>()?;
        let (model, thresholds) = names_and_thresholds(students);
        let heads: Arc<[Head]> = students.iter().flat_map(Student::heads).collect();
        let pieces_max = config.pieces_max.clamp(WINDOW_PIECES_MAX, PIECES_AT_ONCE_MAX);
        let tagger = |_| {
            let session = CudaSession::new(Arc::clone(&encoders), pieces_max).map_err(failed)?;
            let (name, precision, model, heads) = (name.clone(), config.precision, model.clone(), Arc::clone(&heads));
            Ok(Box::new(CudaTagger { name, precision, model, thresholds, heads, session, pieces_max })
                as Box<dyn Tagger>)
        };
        (0..TAGGERS_A_DEVICE).map(tagger).collect()
    }

    /// The mean over a word's pieces of the probability of class I, for every word of windows that fit at once.
    ///
    /// # Errors
    /// When windows are not the network's, or what it computes leaves the range of its precision.
    ///
    /// # Panics
    /// When the device fails.
    fn probabilities(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, String> {
        let ids: Vec<&[u32]> = windows.iter().map(|window| window.ids.as_slice()).collect();
        let mut inside = self.session.probabilities(&ids).map_err(|error| match error {
            EncoderError::Device(cause) => panic!("{DEVICE_FAILED}: {}: {cause}", self.name),
            error => error.to_string(),
        })?;
        if inside.iter().any(|probability| probability.is_nan()) {
            return Err(format!("its numbers leave the range of precision {}; choose bf16 or f32", self.precision));
        }
        let words = |window: &&Window| {
            let of_window;
            (of_window, inside) = inside.split_at(window.ids.len() * self.heads.len());
            let mut words = vec![[0.0; Task::ALL.len()]; window.words.len()];
            words_of_pieces(window, (&self.heads, of_window), &mut words);
            words
        };
        Ok(windows.iter().map(words).collect())
    }
}

impl Tagger for CudaTagger {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn thresholds(&self) -> [f32; Task::ALL.len()] {
        self.thresholds
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        let mut answers = Vec::with_capacity(windows.len());
        for windows in at_most(windows, self.pieces_max) {
            let said = self.probabilities(windows);
            let failed = |cause| TaggerError { model: self.model.0.clone(), windows: windows.len(), cause };
            answers.extend(said.map_err(failed)?);
        }
        Ok(answers)
    }
}

const DEVICE_FAILED: &str = "a student's device failed; what is not committed is read again on restart";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use std::path::Path;

    const NOTE: &str = "Mr. Alder is a 71 y/o man with type 2 diabetes mellitus, hypertension and COPD who presents with three days of \
                        worsening shortness of breath, productive cough and fever. He denies chest pain. Home medications: metformin \
                        1000 mg BID, lisinopril 20 mg daily, tiotropium inhaler, albuterol PRN. ";

    fn student(folder: &str) -> Student {
        Student::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap()
    }

    fn taggers(student: &Student, device: Device) -> Vec<Box<dyn Tagger>> {
        Student::taggers(std::slice::from_ref(student), device, 1).unwrap()
    }

    /// Windows of every length from 1 on that a block of attention or a product sees as another case, and of a note.
    fn windows(student: &Student) -> Vec<Window> {
        let vocabulary = student.tokenizer().vocabulary_size() as u32;
        let of_length = |length: usize| Window {
            ids: (0..length as u32).map(|at| at * 7 % vocabulary).collect(),
            words: 0..length,
            pieces: (0..=length as u16).collect(),
        };
        let lengths = [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 300, 511, WINDOW_PIECES_MAX];
        let of_note = student.tokenizer().tokenize(&NOTE.repeat(20)).unwrap().windows;
        lengths.map(of_length).into_iter().chain(of_note).collect()
    }

    /// The devices, or none and a word to whoever reads the tests' output.
    fn devices() -> Vec<Gpu> {
        gpus(&[]).inspect_err(|missing| eprintln!("skipped, as no GPU can be used here: {missing}")).unwrap_or_default()
    }

    /// On tensor cores (heads of 32 features) and without (12 and 8), of a BERT and a DistilBERT, in every precision; alone and in a
    /// batch a window is the same.
    #[test]
    fn a_gpu_says_what_the_processor_says() {
        for (folder, precision, off_max) in [
            ("../../models/stillroom-minilm-l6", Precision::F32, 1e-4),
            ("../../models/stillroom-minilm-l6", Precision::F16, 0.02),
            ("../../models/stillroom-minilm-l6", Precision::Bf16, 0.15),
            ("tests/tiny", Precision::F32, 1e-4),
            ("tests/tiny", Precision::Bf16, 0.1),
            ("tests/bases/distilbert", Precision::F32, 1e-4),
            ("tests/bases/distilbert", Precision::F16, 0.02),
        ] {
            for gpu in devices() {
                let student = student(folder);
                let windows = windows(&student);
                let windows: Vec<&Window> = windows.iter().collect();
                let exact = taggers(&student, Device::Cpu(Precision::F32))[0].tag(&windows).unwrap();
                let config = GpuConfig { indices: vec![gpu.index], precision, pieces_max: 2048 };
                let mut ours = taggers(&student, Device::Cuda(config));
                assert_eq!(ours.len(), TAGGERS_A_DEVICE);
                let together = ours[0].tag(&windows).unwrap();
                let apart = |one: &Probabilities, other: &Probabilities| {
                    assert_eq!(one.len(), other.len());
                    let both = one.iter().flatten().zip(other.iter().flatten());
                    both.map(|(one, other)| (one - other).abs())
                        .fold(0.0, |most: f32, one| if one <= most { most } else { one })
                };
                for ((window, exact), together) in windows.iter().zip(&exact).zip(&together) {
                    let about = format!("{folder} in {precision}, {} word pieces", window.ids.len());
                    let off = apart(together, exact);
                    assert!(off <= off_max, "{about}: off by {off}");
                    let alone = ours[1].tag(&[window]).unwrap().remove(0);
                    let off = apart(together, &alone);
                    assert!(off <= off_max, "{about}: alone off by {off}");
                }
            }
        }
    }

    #[test]
    fn a_window_that_does_not_fit_is_refused_and_the_next_is_read() {
        for gpu in devices() {
            let student = student("tests/tiny");
            let config = GpuConfig { indices: vec![gpu.index], precision: Precision::F32, pieces_max: 1 };
            let mut tagger = taggers(&student, Device::Cuda(config)).remove(0);
            assert_eq!(tagger.tag(&[]).unwrap(), Vec::<Probabilities>::new());
            let long = Window { ids: vec![5; WINDOW_PIECES_MAX + 1], words: 0..1, pieces: vec![1, 2] };
            let refused = tagger.tag(&[&long]).unwrap_err().to_string();
            assert!(refused.contains("513 word pieces"), "{refused}");
            let fitting = Window { ids: vec![5; 3], words: 0..1, pieces: vec![1, 2] };
            assert_eq!(tagger.tag(&[&fitting]).unwrap()[0].len(), 1);
        }
    }
}
