//! The one error type of the crate. Every message says what was wrong, where, and what to do about it.

use std::path::PathBuf;

/// What can go wrong, grouped by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option, a configuration key or a combination of them is not valid (exit code 2).
    #[error("{0}")]
    Config(String),
    /// A data file or a checkpoint is missing, damaged or not of the expected kind (exit code 2).
    #[error("{0}")]
    Data(String),
    /// Reading or writing a file failed (exit code 1).
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, as in "cannot write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own word.
        source: std::io::Error,
    },
    /// No adapter, a lost device, an out-of-memory condition, a refused shader (exit code 1).
    #[error("{0}")]
    Gpu(String),
    /// A file could not be had from the network (exit code 1).
    #[error("{0}")]
    Network(String),
    /// Training went where it cannot go on from, as a loss that is not a number (exit code 1).
    #[error("{0}")]
    Training(String),
    /// The run was stopped by the user after its checkpoint was written (exit code 130).
    #[error("{0}")]
    Interrupted(String),
}

impl Error {
    /// Process exit code: 1 run-time failure, 2 usage, configuration or data, 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Io { .. } | Error::Gpu(_) | Error::Network(_) | Error::Training(_) => 1,
            Error::Config(_) | Error::Data(_) => 2,
            Error::Interrupted(_) => 130,
        }
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
