//! Rectification, in both directions.

mod backward;
mod forward;

pub use backward::relu_backward;
pub use forward::relu_forward;
