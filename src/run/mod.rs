//! A run: its configuration, its checkpoints, its metrics and the folder that holds them.
//!
//! Configuration values, checkpoint bytes and metric lines are plain data and work everywhere; reading and writing
//! files needs the `native` feature.

pub mod checkpoint;
pub mod config;
pub mod federation;
mod init;
pub mod metrics;
pub mod mix;
pub mod model;
pub mod onnx;
pub mod robust;
#[cfg(feature = "native")]
pub mod run_dir;
pub mod run_state;
#[cfg(feature = "native")]
pub mod tensorboard;
pub mod trained;
#[cfg(feature = "native")]
pub mod written;

pub use checkpoint::{Checkpoint, Header, Tensor};
pub use config::{TrainConfig, TrainOverrides};
pub use federation::{Federation, FederationBuilder, RoundOutcome};
pub use metrics::{RoundCost, RoundMetrics, WidthMetrics};
pub use model::{Accuracy, Model, Report};
#[cfg(feature = "native")]
pub use run_dir::{Resumed, RunDir};
pub use run_state::{Run, RunSpec};
pub use trained::Trained;
