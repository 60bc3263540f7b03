//! Adaptive average pooling, in both directions.

mod backward;
mod forward;

pub use backward::average_pool_backward;
pub use forward::average_pool_forward;
