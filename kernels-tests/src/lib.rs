//! Plain f64 twins of the kernels in `shaders/`.
//!
//! A module for each operation, under the name that it has in the engine's `src/kernels/` and `src/verify/`. Each file mirrors a
//! WGSL file: the same mathematics, written as the definition reads, in f64, without any of the layout and tiling that make the
//! kernels fast. A twin computes **one lane** (one replica of one
//! base network) at a time, on flat row-major slices in PyTorch's layouts: activations are N·C·H·W, convolution
//! weights O·I·H·W, linear weights `[out][in]`. Shapes are the small structs of [`shape`].
//!
//! The crate depends on nothing, so that the engine's self-test can carry it to any platform. Twins panic on slices of
//! a wrong length: a wrong reference is worse than none.
//!
//! [`network`] composes the twins into a whole training step.
//!
//! ```
//! use kernels_tests::linear::linear_forward;
//! use kernels_tests::shape::Linear;
//!
//! let shape = Linear { batch: 1, in_features: 2, out_features: 1 };
//! assert_eq!(linear_forward(&shape, &[1.0, 2.0], &[3.0, 4.0], &[0.5], 1.0), [11.5]);
//! ```

pub mod adam;
pub mod attack;
pub mod average_pool;
pub mod batch_norm;
pub mod control_variates;
pub mod conv2d;
pub mod copy_bases;
pub mod corner;
pub mod ensemble;
pub mod gather_images;
pub mod linear;
pub mod max_pool;
pub mod network;
pub mod proximal;
pub mod relu;
pub mod residual_add;
pub mod row_distance;
pub mod server_step;
pub mod sgd;
pub mod shape;
pub mod softmax_cross_entropy;
pub mod weighted_average;

#[cfg(test)]
mod gradient_check;
