//! Plain f64 twins of the kernels in `shaders/`.
//!
//! Each file mirrors the WGSL file of the same name: the same mathematics, written as the definition reads, in f64,
//! without any of the layout and tiling that make the kernels fast. A twin computes **one lane** (one replica of one
//! base network) at a time, on flat row-major slices in PyTorch's layouts: activations are N·C·H·W, convolution
//! weights O·I·H·W, linear weights `[out][in]`. Shapes are the small structs of [`shape`].
//!
//! The crate depends on nothing, so that the engine's self-test can carry it to any platform. Twins panic on slices of
//! a wrong length: a wrong reference is worse than none.
//!
//! [`compare`] judges a kernel's f32 output against a twin's; [`network`] composes the twins into a whole training
//! step.

pub mod adam;
pub mod attack;
pub mod average_pool_backward;
pub mod average_pool_forward;
pub mod batch_norm_backward;
pub mod batch_norm_forward;
pub mod batch_norm_mix;
pub mod batch_norm_statistics;
pub mod compare;
pub mod conv2d_backward_data;
pub mod conv2d_backward_weight;
pub mod conv2d_forward;
pub mod copy_bases;
pub mod corner;
pub mod ensemble_gradient;
pub mod ensemble_mean;
pub mod gather_images;
pub mod linear_backward_data;
pub mod linear_backward_weight;
pub mod linear_forward;
pub mod max_pool_backward;
pub mod max_pool_forward;
pub mod network;
pub mod proximal;
pub mod relu_backward;
pub mod relu_forward;
pub mod residual_add;
pub mod row_distance;
pub mod running_statistics;
pub mod sgd;
pub mod shape;
pub mod softmax_cross_entropy;
pub mod weighted_average;

#[cfg(test)]
mod gradient_check;
