//! Fully connected layer, in three directions.

mod backward_data;
mod backward_weight;
mod forward;

pub use backward_data::linear_backward_data;
pub use backward_weight::linear_backward_weight;
pub use forward::linear_forward;
