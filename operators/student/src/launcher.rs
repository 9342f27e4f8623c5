//! Students on one device, ready to compute padded texts: loading, warming, and the choice of attention.

use crate::backend::StudentBackend;
use crate::bert::padded::{AttentionKind, Padded, PaddedBert, Pass};
use crate::shapes::{Shape, Shapes};
use crate::{Student, StudentError};
use burn::prelude::*;
use burn::tensor::FloatDType;
use burn::tensor::activation::sigmoid;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Instant;

/// Networks that together have a head for every task, on one device.
pub(crate) struct Launcher<B: Backend> {
    networks: Vec<PaddedBert<B>>,
    attention: AttentionKind,
    precision: FloatDType,
    device: B::Device,
    vocabulary: usize,
    /// Shapes whose kernels are compiled and tuned.
    warmed: Vec<Shape>,
}

impl<B: StudentBackend> Launcher<B> {
    /// Loads `students`, their weights cast to `precision`; nothing is warmed yet.
    ///
    /// # Errors
    /// When weights cannot be used.
    pub(crate) fn load(students: &[Student], device: B::Device, precision: FloatDType) -> Result<Self, StudentError> {
        let network =
            |student: &Student| Ok(PaddedBert::new(&student.network::<B>(&device)?, student.tasks().len(), precision));
        let networks = students.iter().map(network).collect::<Result<_, StudentError>>()?;
        let vocabulary = students.iter().map(|student| student.tokenizer().vocabulary_size()).min().unwrap_or(1);
        let (attention, warmed) = (AttentionKind::Plain, Vec::new());
        Ok(Launcher { networks, attention, precision, device, vocabulary, warmed })
    }

    pub(crate) fn device(&self) -> &B::Device {
        &self.device
    }

    /// The probabilities of class I, `[rows · length, tasks]`, which may be still being computed.
    pub(crate) fn launch(&self, texts: &Padded<B>) -> Tensor<B, 2> {
        debug_assert!(self.warmed.contains(&texts.shape()), "{:?} was not warmed", texts.shape());
        self.probabilities(texts, self.attention)
    }

    fn probabilities(&self, texts: &Padded<B>, attention: AttentionKind) -> Tensor<B, 2> {
        let of = |network: &PaddedBert<B>| sigmoid(network.log_odds(texts, Pass::inference(attention)));
        Tensor::cat(self.networks.iter().map(of).collect(), 1)
    }

    /// Computes made-up texts of every shape, so that nothing is compiled or tuned while notes wait. Fused attention, if it is
    /// wanted, is compared with the plain one in each, and given up where they differ.
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn warmed(
        mut self,
        name: &str,
        attention: AttentionKind,
        shapes: &Shapes,
    ) -> Result<Self, StudentError> {
        let failed = |cause| StudentError::Device { device: name.to_owned(), cause };
        let (began, mut random) = (Instant::now(), SmallRng::seed_from_u64(0));
        self.attention = attention;
        for shape in shapes.all() {
            let (texts, lengths) = self.made_up(shape, &mut random);
            let plain = read(self.probabilities(&texts, AttentionKind::Plain)).map_err(failed)?;
            if self.attention == AttentionKind::Fused {
                let fused = read(self.probabilities(&texts, AttentionKind::Fused)).map_err(failed)?;
                let (apart, allowed) = (difference(shape, &lengths, [&plain, &fused]), tolerance(self.precision));
                // A number that is none is no agreement either.
                if apart.is_nan() || apart > allowed {
                    tracing::warn!(
                        device = name,
                        "fused attention differs by {apart} in a probability where {allowed} is allowed, so that the plain one is used"
                    );
                    self.attention = AttentionKind::Plain;
                }
            }
            self.warmed.push(shape);
        }
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(device = name, seconds, shapes = self.warmed.len(), attention = ?self.attention, "warmed");
        Ok(self)
    }

    /// Texts of random word pieces, of random lengths, and these lengths.
    fn made_up(&self, shape: Shape, random: &mut SmallRng) -> (Padded<B>, Vec<i32>) {
        let ids = (0..shape.pieces()).map(|_| random.random_range(0..self.vocabulary) as i32).collect();
        let lengths: Vec<i32> = (0..shape.rows).map(|_| random.random_range(1..=shape.length) as i32).collect();
        (Padded::new(shape, ids, lengths.clone(), &self.device), lengths)
    }
}

/// What a device has computed, once it has.
///
/// # Errors
/// When the device failed.
pub(crate) fn read<B: Backend>(output: Tensor<B, 2>) -> Result<Vec<f32>, String> {
    let data = burn::tensor::try_read_sync(output.into_data_async()).ok_or("the device cannot be waited for")?;
    data.map_err(|error| error.to_string())?.into_vec::<f32>().map_err(|error| format!("{error:?}"))
}

/// By how much two probabilities of a word piece may differ through rounding in another order.
fn tolerance(precision: FloatDType) -> f32 {
    match precision {
        FloatDType::BF16 => 0.05,
        FloatDType::F16 => 0.01,
        _ => 0.001,
    }
}

/// The largest difference in what is no padding; NaN if a number is none.
fn difference(shape: Shape, lengths: &[i32], [one, other]: [&[f32]; 2]) -> f32 {
    let columns = one.len() / shape.pieces();
    let of_row = |(row, &length): (usize, &i32)| {
        let start = row * shape.length * columns;
        start..start + length as usize * columns
    };
    let differences = lengths.iter().enumerate().flat_map(of_row).map(|at| (one[at] - other[at]).abs());
    differences.fold(0.0, |most, one| if one.is_nan() || one > most { one } else { most })
}
