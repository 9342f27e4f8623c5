//! BERT token classification for one window on one core, with its matrices in 8 bits; `cuda` has it for many windows on a CUDA device.
//!
//! Word pieces flow in, logits `[tokens, outputs]` flow out. On a processor [`Encoder`] holds the packed weights and is shared between
//! threads by `Arc`; each thread has a [`Scratch`], so that nothing is allocated once the longest window was seen. Windows are never
//! padded and never batched: a window is long enough to keep one core busy, and another core takes another window.
//!
//! ```text
//! ids ─ embeddings ─ norm ─┬─ query, key, value ─ attention ─ output + ─ norm ─ up, gelu ─ down + ─ norm ─┬─ head ─ logits
//!                          └──────────────────────────── layers ──────────────────────────────────────────┘
//! ```
//!
//! The products with weights ([`Matrix`]) take most of the time. They multiply bytes and add up in `i32`, exactly, by the
//! [`Kernel`] that the processor has; every kernel gives the same integers. Weights have 8 bits and activations 12, in two passes
//! of bytes ([`Levels`]): with 8, the F1 of the student that comes with stillroom moves by up to 0.005 on a development split,
//! with 12 by up to 0.0014. Embeddings, attention, norms and the head are `f32`.

mod attention;
#[cfg(feature = "cuda")]
pub mod cuda;
mod encoder;
mod error;
mod kernel;
mod matrix;
mod pointwise;
mod quantise;
pub mod training;
mod weights;

pub use encoder::{Encoder, Scratch};
pub use error::EncoderError;
pub use kernel::Kernel;
pub use matrix::{After, Matrix};
pub use pointwise::{bias_gelu, gelu_backward};
pub use quantise::{Levels, Quantised};
pub use weights::EncoderConfig;
