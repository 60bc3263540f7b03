//! A run: its configuration.

pub mod config;

pub use config::{TrainConfig, TrainOverrides};
