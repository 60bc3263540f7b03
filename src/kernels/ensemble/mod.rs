//! The mean of the bases of an ensemble, and its gradient.

pub mod gradient;
pub mod mean;
