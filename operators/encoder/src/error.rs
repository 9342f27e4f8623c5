//! What can be wrong with weights, with a window or with a device.

/// Why an encoder cannot be made, or cannot read a window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncoderError {
    /// The shapes do not fit together.
    #[error("the encoder's configuration cannot be used: {0}; take config.json and the weights from one model")]
    Config(String),
    /// A tensor is not there.
    #[error("the weights have no tensor {tensor}; fetch the model anew, or give the whole of it")]
    Missing {
        /// Its name in Hugging Face's layout.
        tensor: String,
    },
    /// A tensor has another length than the configuration says.
    #[error("tensor {tensor} has {values} values, not {expected}; take config.json and the weights from one model")]
    Length {
        /// Its name in Hugging Face's layout.
        tensor: String,
        /// What the weights have.
        values: usize,
        /// What the configuration asks for.
        expected: usize,
    },
    /// A tensor has a value that is not a number, or infinite.
    #[error("tensor {tensor} has a value that is not finite; fetch the model anew, or train it at a lower rate")]
    NotFinite {
        /// Its name in Hugging Face's layout.
        tensor: String,
    },
    /// The window is longer than the model's positions.
    #[error("a window has {tokens} word pieces and the model {positions} positions; cut notes into shorter windows")]
    TooLong {
        /// Word pieces of the window.
        tokens: usize,
        /// What the model takes.
        positions: usize,
    },
    /// A word piece is not in the vocabulary.
    #[error("word piece {id} is outside of a vocabulary of {vocabulary}; use the model's own tokenizer")]
    Vocabulary {
        /// The word piece.
        id: u32,
        /// Word pieces of the model.
        vocabulary: usize,
    },
    /// A CUDA device cannot have the network.
    #[error("a GPU cannot run the network: {0}; use device cpu")]
    OnDevice(String),
    /// A device or a library of its maker failed, or lacks something.
    #[error("{0}")]
    Device(String),
}
