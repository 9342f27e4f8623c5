//! The network on a CUDA device, over the word pieces of many windows at once.
//!
//! ```text
//! ids ─ embed ─┬─ Q, K, V ─ attend ─ output ─ add_norm ─ up, GELU ─ down ─ add_norm ─┬─ heads ─ probabilities
//!              └─────────────────────────────── layers ──────────────────────────────┘
//! ```
//!
//! Windows lie one behind the other as `[pieces, features]`: no window is padded, so a batch of any mix of lengths costs what its
//! word pieces cost, and only products of full batches are chosen by time when a session begins. Products with weights are
//! cuBLASLt's, which adds the bias as it stores; what lies between them is in `kernels.cu`, which is compiled for a network when it is
//! loaded. A [`CudaEncoder`] holds weights and is shared by [`CudaSession`]s: each has a stream and memory of its own, so that while
//! one computes, another copies or waits for the processor.

mod device;
mod network;
mod products;
mod session;

pub use device::CudaDevice;
pub use network::CudaEncoder;
pub use session::CudaSession;

use crate::EncoderError;
use cudarc::cublaslt::sys::cudaDataType;
use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

/// What weights and activations are kept in. Sums, layer normalisation and softmax are `f32` in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Real {
    /// 8 bits of mantissa and the range of `f32`.
    Bf16,
    /// 11 bits of mantissa, and no number above 65504.
    F16,
    /// `f32`, multiplied without tensor cores.
    F32,
}

impl Real {
    /// Bytes of a number.
    fn bytes(self) -> usize {
        if self == Real::F32 { 4 } else { 2 }
    }

    /// Its name in CUDA, and in the instruction that multiplies.
    fn names(self) -> [&'static str; 2] {
        match self {
            Real::Bf16 => ["__nv_bfloat16", "bf16"],
            Real::F16 => ["__half", "f16"],
            Real::F32 => ["float", ""],
        }
    }

    fn data_type(self) -> cudaDataType {
        match self {
            Real::Bf16 => cudaDataType::CUDA_R_16BF,
            Real::F16 => cudaDataType::CUDA_R_16F,
            Real::F32 => cudaDataType::CUDA_R_32F,
        }
    }

    /// Numbers as a device keeps them.
    fn rounded(self, values: &[f32]) -> Vec<u8> {
        match self {
            Real::Bf16 => values.iter().flat_map(|&value| half::bf16::from_f32(value).to_ne_bytes()).collect(),
            Real::F16 => values.iter().flat_map(|&value| half::f16::from_f32(value).to_ne_bytes()).collect(),
            Real::F32 => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
        }
    }
}

/// What a library of CUDA's says, as an error of the device.
fn failed(error: impl std::fmt::Display) -> EncoderError {
    EncoderError::Device(error.to_string())
}

/// The same where memory is taken, `for_what` with a remedy.
fn no_room(error: DriverError, for_what: &str) -> EncoderError {
    match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => EncoderError::Device(format!("there is no memory left for {for_what}")),
        _ => failed(error),
    }
}
