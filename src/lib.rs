//! Split-Mix federated learning on any GPU.

#[cfg(feature = "native")]
pub mod cli;
pub mod data;
mod error;
pub use error::{Error, Result};
