//! Where a student runs, and in what precision.

use crate::StudentError;
use burn::tensor::FloatDType;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};
use std::str::FromStr;
use stillroom_encoder::Kernel;
#[cfg(feature = "cuda")]
use stillroom_encoder::cuda::Real;

/// Where a student runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor: one single-threaded tagger a core.
    Cpu(Precision),
    /// CUDA devices, in a build with the feature `cuda`.
    Cuda(GpuConfig),
    /// How a GPU trains, on the processor and slowly: padded texts, in half precision if asked for. For checks.
    Padded(GpuConfig),
}

/// How GPUs run a student.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuConfig {
    /// The devices, by index; all that are found when there are none.
    pub indices: Vec<usize>,
    /// In what matrices are multiplied.
    pub precision: Precision,
    /// Word pieces that are computed at once, at most; memory is taken for as many, up to 131,072, above which nothing is faster.
    pub pieces_max: usize,
}

impl Default for GpuConfig {
    /// All devices, `bf16`, and 32,768 word pieces at once.
    fn default() -> GpuConfig {
        GpuConfig { indices: Vec::new(), precision: Precision::Auto, pieces_max: 32_768 }
    }
}

impl Default for Device {
    fn default() -> Device {
        Device::Cpu(Precision::default())
    }
}

/// In what precision a student multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// What is fastest where it runs: on a processor `int8`, and `f32` where there is no instruction for products of bytes; on a
    /// GPU `bf16`.
    #[default]
    Auto,
    /// Of a processor: matrices in 8 bits, as they are stored, and what they multiply in 12; the rest in `f32`. Faster
    /// than `f32`, in a quarter of the memory, and F1 within 0.002 of it on the development splits, for the student that comes with
    /// stillroom.
    Int8,
    /// Of a GPU: 8 bits of mantissa and the range of `f32`.
    Bf16,
    /// Of a GPU: 11 bits of mantissa, and no number above 65504.
    F16,
    /// `f32`, as in training.
    F32,
}

impl Precision {
    const ALL: [Precision; 5] = [Precision::Auto, Precision::Int8, Precision::Bf16, Precision::F16, Precision::F32];

    /// Whether a processor is to multiply in 8 bits rather than in `f32`.
    ///
    /// # Errors
    /// When it is a precision of GPUs.
    pub(crate) fn is_eight_bit(self) -> Result<bool, StudentError> {
        match self {
            Precision::Auto => Ok(Kernel::fastest() != Kernel::Portable),
            Precision::Int8 => Ok(true),
            Precision::F32 => Ok(false),
            Precision::Bf16 | Precision::F16 => Err(StudentError::Device {
                device: "cpu".into(),
                cause: format!("{self} is a precision of GPUs; choose auto, int8 or f32"),
            }),
        }
    }

    /// In what a GPU multiplies.
    ///
    /// # Errors
    /// When it is a precision of processors.
    pub(crate) fn on_gpu(self) -> Result<FloatDType, StudentError> {
        match self {
            Precision::Auto | Precision::Bf16 => Ok(FloatDType::BF16),
            Precision::F16 => Ok(FloatDType::F16),
            Precision::F32 => Ok(FloatDType::F32),
            Precision::Int8 => Err(StudentError::Device {
                device: "cuda".into(),
                cause: "int8 is a precision of processors; choose auto, bf16, f16 or f32".into(),
            }),
        }
    }

    /// The same for tagging.
    ///
    /// # Errors
    /// As above.
    #[cfg(feature = "cuda")]
    pub(crate) fn real(self) -> Result<Real, StudentError> {
        Ok(match self.resolved(true)? {
            Precision::F16 => Real::F16,
            Precision::F32 => Real::F32,
            _ => Real::Bf16,
        })
    }

    /// What it stands for on a GPU, or else on this processor: `auto` for what is fastest there, the others for themselves.
    ///
    /// # Errors
    /// When it is a precision of the other.
    pub fn resolved(self, is_on_gpu: bool) -> Result<Precision, StudentError> {
        if !is_on_gpu {
            return Ok(if self.is_eight_bit()? { Precision::Int8 } else { Precision::F32 });
        }
        Ok(match self.on_gpu()? {
            FloatDType::BF16 => Precision::Bf16,
            FloatDType::F16 => Precision::F16,
            _ => Precision::F32,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Precision::Auto => "auto",
            Precision::Int8 => "int8",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
            Precision::F32 => "f32",
        }
    }
}

impl Display for Precision {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Precision, String> {
        let found = Precision::ALL.into_iter().find(|precision| precision.name() == name);
        found.ok_or_else(|| format!("{name} is not a precision; write auto, int8, bf16, f16 or f32"))
    }
}

/// The devices that a user names: `None` for `cpu`, the indices of `cuda:0` or `cuda:0,cuda:1`, and none for `cuda`, which is all.
///
/// # Errors
/// When it names no device, or one twice.
pub fn cuda_indices(name: &str) -> Result<Option<Vec<usize>>, String> {
    let refuse = || format!("{name}; write cpu, cuda, cuda:0 or cuda:0,cuda:1");
    match name {
        "cpu" => Ok(None),
        "cuda" => Ok(Some(Vec::new())),
        _ => {
            let index = |one: &str| one.strip_prefix("cuda:").and_then(|index| index.parse::<usize>().ok());
            let indices = name.split(',').map(index).collect::<Option<Vec<_>>>().ok_or_else(refuse)?;
            let is_twice = |(at, index): (usize, &usize)| indices[..at].contains(index);
            if indices.iter().enumerate().any(is_twice) { Err(refuse()) } else { Ok(Some(indices)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_users_write_them() {
        let check = |name: &str, expected: Option<&[usize]>| {
            assert_eq!(cuda_indices(name), Ok(expected.map(<[usize]>::to_vec)), "{name}");
        };
        check("cpu", None);
        check("cuda", Some(&[]));
        check("cuda:1", Some(&[1]));
        check("cuda:1,cuda:0", Some(&[1, 0]));
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:0,", "cuda:0,cuda:0", "cuda:0,1", "cpu,cuda:0"] {
            assert!(cuda_indices(name).is_err_and(|error| error.contains("write cpu, cuda")), "{name}");
        }
    }

    #[test]
    fn a_precision_belongs_to_a_device() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
            assert_eq!(serde_json::to_value(precision).unwrap(), precision.name());
        }
        assert!("int4".parse::<Precision>().is_err_and(|error| error.contains("write auto, int8, bf16, f16 or f32")));
        assert!(Precision::Bf16.is_eight_bit().unwrap_err().to_string().contains("precision of GPUs"));
        assert!(Precision::Int8.on_gpu().unwrap_err().to_string().contains("precision of processors"));
        let resolved = |is_on_gpu: bool| Precision::ALL.map(|precision| precision.resolved(is_on_gpu).ok());
        let [_, int8, bf16, f16, f32] = Precision::ALL.map(Some);
        let fastest = if Kernel::fastest() == Kernel::Portable { f32 } else { int8 };
        assert_eq!(resolved(false), [fastest, int8, None, None, f32]);
        assert_eq!(resolved(true), [bf16, None, bf16, f16, f32]);
    }
}
