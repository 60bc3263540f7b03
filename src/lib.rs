//! Federated learning on any GPU: [Split-Mix](https://arxiv.org/abs/2203.09747) and the methods it is compared with, with hand-written
//! WGSL kernels. All clients of a round train side by side, in the same dispatches.
//!
//! A [`Federation`] is made of a [`Gpu`], a [`Dataset`] and a [`TrainConfig`], whose options are those of `splitmix train --help`. It gives
//! its rounds one after the other, is saved as a [`Checkpoint`] after any of them, and is tested at every width:
//!
//! ```
//! use splitmix_fl::{Federation, Gpu, GpuOptions, TrainConfig, embedded};
//!
//! # fn main() -> splitmix_fl::Result<()> {
//! # pollster::block_on(async {
//! # let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
//! let gpu = Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() }).await?;
//! let dataset = embedded()?;
//! let config = TrainConfig { rounds: 2, clients_per_domain: 1, train_per_domain: Some(40), ..TrainConfig::default() };
//! let mut federation = Federation::builder(gpu, &dataset).config(config).build().await?;
//! while let Some(outcome) = federation.next_round().await.transpose()? {
//!     println!("round {}: loss {:.3}", outcome.metrics.round, outcome.metrics.train_loss);
//! }
//! let saved = federation.checkpoint().await?.to_bytes()?;
//! for width in federation.test().await?.widths {
//!     println!("width {}: {:?} of the test images are right", width.width, width.mean);
//! }
//! # assert!(!saved.is_empty());
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! Every wait is `async`, so that the same code runs in a browser. A trained checkpoint becomes a [`Trained`] model, which predicts and is
//! attacked at any width. The crate's root is its front door; the modules below it are how it is built, and change with it.
#![deny(unsafe_code)]
#![warn(missing_docs)]

// Messages are written to standard error by these two everywhere below: the standard ones end the program in a panic where it is closed, as of
// `2>&1 | head`, or full.
#[cfg(feature = "native")]
macro_rules! eprint {
    ($($message:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($message)*);
    }};
}
#[cfg(feature = "native")]
macro_rules! eprintln {
    ($($message:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($message)*);
    }};
}

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
mod text;
pub mod verify;
pub use data::{Dataset, embedded};
pub use error::{Error, Result, camel_case};
pub use gpu::{Gpu, GpuOptions};
pub use run::{Checkpoint, Federation, FederationBuilder, Report, RoundOutcome, TrainConfig, Trained};
