//! Max-pooling, in both directions.

mod backward;
mod forward;

pub use backward::max_pool_backward;
pub use forward::max_pool_forward;
