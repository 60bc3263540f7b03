//! Split-Mix federated learning on any GPU.
#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "native")]
pub mod bench;
#[cfg(feature = "native")]
pub mod cli;
pub mod data;
pub mod engine;
mod error;
pub mod fl;
pub mod gpu;
pub mod kernels;
pub mod net;
pub mod plan;
#[cfg(feature = "native")]
pub mod report;
pub mod run;
pub mod verify;
pub use error::{Error, Result};
