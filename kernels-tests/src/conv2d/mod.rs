//! Convolution, in three directions.

mod backward_data;
mod backward_weight;
mod forward;

pub use backward_data::conv2d_backward_data;
pub use backward_weight::conv2d_backward_weight;
pub use forward::conv2d_forward;
