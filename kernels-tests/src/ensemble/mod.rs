//! The mean of the bases of an ensemble, and its gradient.

mod gradient;
mod mean;

pub use gradient::ensemble_gradient;
pub use mean::{Mixed, ensemble_mean};
