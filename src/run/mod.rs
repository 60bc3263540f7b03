//! A run: its configuration and its metrics.

pub mod config;
pub mod metrics;

pub use config::{TrainConfig, TrainOverrides};
pub use metrics::{RoundCost, RoundMetrics, WidthMetrics};
