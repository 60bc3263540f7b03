//! Batch norm: statistics, both directions, mixes, running statistics.

mod backward;
mod forward;
mod mix;
mod running_statistics;
mod statistics;

pub use backward::{BatchNormGradients, batch_norm_backward, batch_norm_backward_running};
pub use forward::{Normalization, batch_norm_forward};
pub use mix::{Mixed, batch_norm_mix};
pub use running_statistics::running_statistics;
pub use statistics::{Statistics, batch_norm_statistics};
