//! Split-Mix federated learning on any GPU.

#[cfg(feature = "native")]
pub mod cli;
mod error;
pub mod fl;
pub mod run;
pub use error::{Error, Result};
