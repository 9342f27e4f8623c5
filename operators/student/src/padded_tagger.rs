//! The student behind the dataflow's trait on a GPU: padded texts, one launching thread a device.
//!
//! ```text
//! tagger ─┐ jobs: ids and lengths   ┌─ launcher of cuda:0: copies in and launches, waits for nothing ─┐
//! tagger ─┴─────────────────────────┴─ launcher of cuda:1 …                                           │
//!    ▲       reads the probabilities, which is where it waits, and pools them into words              │
//!    └──────────────────────── outputs that are still being computed ─────────────────────────────────┘
//! ```
//!
//! There are two taggers a device: while the launches of one are computed, the other reads its own and prepares the next, so that
//! copies and the processor's work lie beside the work of the device.

use crate::backend::StudentBackend;
use crate::bert::padded::{AttentionKind, Padded};
use crate::calibration::Head;
use crate::launcher::Launcher;
use crate::shapes::{Launch, Shape, Shapes};
use crate::tagger::{names_and_thresholds, words_of_pieces};
use crate::{GpuConfig, Student, StudentError};
use burn::prelude::*;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::thread::JoinHandle;
use stillroom_dataflow::{Probabilities, Tagger, TaggerError, WINDOW_PIECES_MAX, Window};
use stillroom_schemas::{ModelId, Task};

/// Taggers that share a device.
const TAGGERS_A_DEVICE: usize = 2;

/// Jobs of a device that wait to be launched; taggers wait beyond.
const JOBS_WAITING_MAX: usize = 4;

/// A tagger of devices that all taggers of one call share.
///
/// # Panics
/// [`Tagger::tag`] does when a device fails: that is no fault of the windows, so their notes must not become dead letters. The
/// pool then ends the run, and what was not committed is read again by the next.
pub(crate) struct PaddedTagger<B: Backend> {
    model: ModelId,
    thresholds: [f32; Task::ALL.len()],
    /// The columns of the devices' outputs.
    heads: Arc<[Head]>,
    shapes: Arc<Shapes>,
    devices: Arc<Devices<B>>,
}

/// The launching threads, which end with the last tagger.
struct Devices<B: Backend> {
    jobs: Option<Sender<Job<B>>>,
    threads: Vec<JoinHandle<()>>,
}

/// Texts to launch.
struct Job<B: Backend> {
    number: usize,
    shape: Shape,
    /// `[rows, length]`.
    ids: Vec<i32>,
    /// `[rows]`.
    lengths: Vec<i32>,
    outputs: Sender<(usize, Tensor<B, 2>)>,
}

impl<B: StudentBackend> PaddedTagger<B> {
    /// Loads `students` on every one of `devices`, which go by the names given, warms all shapes there, and gives two taggers a
    /// device.
    ///
    /// # Errors
    /// When a device or the weights cannot be used.
    pub(crate) fn start(
        students: &[Student],
        devices: Vec<(String, B::Device)>,
        config: &GpuConfig,
    ) -> Result<Vec<Box<dyn Tagger>>, StudentError> {
        let precision = config.precision.on_gpu()?;
        let attention = if config.fused_attention { AttentionKind::Fused } else { AttentionKind::Plain };
        let (shapes, count) = (Arc::new(Shapes::new(config.pieces_max)), devices.len());
        let (jobs, queue) = bounded(count * JOBS_WAITING_MAX);
        let (ready, started) = bounded(count);
        let mut threads = Vec::new();
        for (name, device) in devices {
            let (students, shapes) = (students.to_vec(), Arc::clone(&shapes));
            let (queue, ready) = (queue.clone(), ready.clone());
            let failed = |error: std::io::Error| StudentError::Device {
                device: name.clone(),
                cause: format!("no thread could be started: {error}"),
            };
            let thread = std::thread::Builder::new().name(format!("launcher-{name}"));
            let launch = {
                let name = name.clone();
                move || {
                    let launcher = Launcher::<B>::load(&students, device, precision)
                        .and_then(|launcher| launcher.warmed(&name, attention, &shapes));
                    let (outcome, launcher) = match launcher {
                        Ok(launcher) => (Ok(()), Some(launcher)),
                        Err(error) => (Err(error), None),
                    };
                    // Nobody waits any more when another device failed.
                    let _unwanted = ready.send(outcome);
                    drop((ready, students));
                    launcher.into_iter().for_each(|launcher| serve(&launcher, &queue));
                }
            };
            threads.push(thread.spawn(launch).map_err(failed)?);
        }
        drop((queue, ready));
        let devices = Devices { jobs: Some(jobs), threads };
        for _ in 0..count {
            started.recv().unwrap_or_else(|_| {
                let cause = "its thread ended while it was warmed; what it said stands above".to_owned();
                Err(StudentError::Device { device: "cuda".into(), cause })
            })?;
        }
        let (model, thresholds) = names_and_thresholds(students);
        let heads = students.iter().flat_map(Student::heads).collect();
        let tagger = PaddedTagger { model, thresholds, heads, shapes, devices: Arc::new(devices) };
        Ok((0..count * TAGGERS_A_DEVICE).map(|_| Box::new(tagger.clone()) as Box<dyn Tagger>).collect())
    }

    /// The word pieces of a launch's windows, padded.
    fn job(
        &self,
        number: usize,
        launch: &Launch,
        windows: &[&Window],
        outputs: &Sender<(usize, Tensor<B, 2>)>,
    ) -> Job<B> {
        let shape = launch.shape;
        let mut ids = vec![0; shape.pieces()];
        // A row without a window has one piece, so that it has something to attend to.
        let mut lengths = vec![1; shape.rows];
        for (row, &window) in launch.windows.iter().enumerate() {
            let pieces = &windows[window].ids;
            lengths[row] = pieces.len() as i32;
            for (place, &id) in ids[row * shape.length..].iter_mut().zip(pieces) {
                *place = id as i32;
            }
        }
        Job { number, shape, ids, lengths, outputs: outputs.clone() }
    }

    /// The mean over a word's pieces of the probability of class I, for every word of every window.
    fn probabilities(&self, windows: &[&Window]) -> Vec<Probabilities> {
        let lengths: Vec<usize> = windows.iter().map(|window| window.ids.len()).collect();
        let launches = self.shapes.plan(&lengths);
        let (outputs, computed) = bounded(launches.len());
        for (number, launch) in launches.iter().enumerate() {
            self.devices.submit(self.job(number, launch, windows, &outputs));
        }
        drop(outputs);
        let mut rows: Vec<Probabilities> =
            windows.iter().map(|window| vec![[0.0; Task::ALL.len()]; window.words.len()]).collect();
        for _ in &launches {
            let (number, inside) = received(&computed);
            let Launch { shape, windows: of_launch } = &launches[number];
            for (row, &window) in of_launch.iter().enumerate() {
                let start = row * shape.length * self.heads.len();
                let end = start + lengths[window] * self.heads.len();
                words_of_pieces(windows[window], (&self.heads, &inside[start..end]), &mut rows[window]);
            }
        }
        rows
    }
}

impl<B: Backend> Clone for PaddedTagger<B> {
    fn clone(&self) -> Self {
        PaddedTagger {
            model: self.model.clone(),
            thresholds: self.thresholds,
            heads: Arc::clone(&self.heads),
            shapes: Arc::clone(&self.shapes),
            devices: Arc::clone(&self.devices),
        }
    }
}

impl<B: StudentBackend> Tagger for PaddedTagger<B> {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn thresholds(&self) -> [f32; Task::ALL.len()] {
        self.thresholds
    }

    fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
        if let Some(window) = windows.iter().find(|window| window.ids.len() > WINDOW_PIECES_MAX) {
            let cause = format!("a window has {} word pieces, and {WINDOW_PIECES_MAX} fit", window.ids.len());
            return Err(TaggerError { model: self.model.0.clone(), windows: windows.len(), cause });
        }
        Ok(self.probabilities(windows))
    }
}

impl<B: Backend> Devices<B> {
    fn submit(&self, job: Job<B>) {
        let is_sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        assert!(is_sent, "{DEVICE_FAILED}");
    }
}

impl<B: Backend> Drop for Devices<B> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // Who waited for its outputs has said that it failed.
            let _failed = thread.join();
        }
    }
}

const DEVICE_FAILED: &str =
    "a student's device failed; what is not committed is read again on restart, and what the device said stands above";

/// Launches what comes, as long as there are taggers.
fn serve<B: StudentBackend>(launcher: &Launcher<B>, jobs: &Receiver<Job<B>>) {
    for Job { number, shape, ids, lengths, outputs } in jobs {
        let texts = Padded::new(shape, ids, lengths, launcher.device());
        // A tagger that is gone wants no output.
        let _gone = outputs.send((number, launcher.launch(&texts)));
    }
}

/// The next output, `[rows · length, tasks]`, once it is computed.
fn received<B: Backend>(computed: &Receiver<(usize, Tensor<B, 2>)>) -> (usize, Vec<f32>) {
    let Ok((number, output)) = computed.recv() else { panic!("{DEVICE_FAILED}") };
    match crate::launcher::read(output) {
        Ok(inside) => (number, inside),
        Err(cause) => panic!("{DEVICE_FAILED}: {cause}"),
    }
}
